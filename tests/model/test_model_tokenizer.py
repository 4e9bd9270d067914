"""The tokenizer built from vocab.json and merges.txt, and the one read from tokenizer.json."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffufix.errors import CheckpointError
from diffufix.model import load_tokenizer
from diffufix.model.tokenizer import Tokenizer
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return load_tokenizer(folder)


#: Texts that Unicode's composition leaves alone: the tokenizer composes before it splits.
texts = st.text(st.characters(max_codepoint=0x2FF, blacklist_categories=("Cs", "Mn")))
code = st.from_regex(
    r"(def|return| |\n    |x1|'ll|[+\-*/()\[\]]|12|é|→|🙂|\t|\r\n){0,20}", fullmatch=True
)


@given(text=texts | code)
def test_round_trip(tokenizer, text):
    ids, spans = tokenizer.encode_with_offsets(text)
    assert ids == tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.added.values())
    edge = 0
    for start, end in spans:  # in order, without gaps
        assert start <= edge <= end
        edge = end
    assert edge == len(text)


def test_source_code_round_trip(tokenizer):
    text = Path(re.__file__).read_text("utf-8")
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) < len(text) / 1.5


def test_pieces_follow_qwen2(tokenizer):
    """Single digits, one leading space with a word, indentation apart from the word after it."""
    ids, spans = tokenizer.encode_with_offsets("    return 123")
    pieces = ["    return 123"[a:b] for a, b in spans]
    assert pieces[-3:] == ["1", "2", "3"]
    assert not any(piece.endswith(" ") and piece.strip() for piece in pieces)
    assert len(ids) == len(pieces)


def test_special_tokens_mean_something_only_where_asked(tokenizer):
    text = "x<|mask|>y<|im_end|>"
    assert tokenizer.id("<|mask|>") in tokenizer.encode(text, special=True)
    plain = tokenizer.encode(text)
    assert not set(plain) & set(tokenizer.added.values())
    assert tokenizer.decode(plain) == tokenizer.decode(tokenizer.encode(text, special=True)) == text


def test_ids_are_the_checkpoint_s(folder, tokenizer):
    import json

    added = json.loads((folder / "added_tokens.json").read_text())
    assert tokenizer.added == added
    assert len(tokenizer) == max(added.values()) + 1
    assert tokenizer.unassigned == frozenset()
    for name, index in added.items():
        assert tokenizer.id(name) == index
        assert tokenizer.encode(name, special=True) == [index]


def test_tokenizer_json_gives_the_same(folder, tokenizer, tmp_path):
    tokenizer._engine.save(str(tmp_path / "tokenizer.json"))
    other = load_tokenizer(tmp_path)
    text = "def f(x):\n    return x ** 2  # é\n<|mask|>"
    assert other.encode(text, special=True) == tokenizer.encode(text, special=True)
    assert other.encode(text) == tokenizer.encode(text)
    assert len(other) == len(tokenizer)


def test_transformers_agrees(folder, tokenizer):
    """The same files read as Qwen2 by transformers give the same ids."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.Qwen2Tokenizer.from_pretrained(str(folder))
    for text in ("def f(x):\n    return x ** 2", "it's 12.50 €\n\n\n\tend ", "a<|mask|>b"):
        assert tokenizer.encode(text, special=True) == theirs.encode(text)


def test_no_files(tmp_path):
    with pytest.raises(CheckpointError, match="no tokenizer") as caught:
        load_tokenizer(tmp_path)
    assert caught.value.hint
