"""A corpus and a tokenizer of a few modules of the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.fresh import mini_family
from tests.support.mini import write_corpus, write_tokenizer


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost tiny matrices more than they give, most of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl.gz")


@pytest.fixture(scope="session")
def maker(tokenizer: Tokenizer) -> ExampleMaker:
    return ExampleMaker(tokenizer, mini_family(), 640)
