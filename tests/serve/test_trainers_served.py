"""The callables for TRL, verl and slime as those call them, backed by a server and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffufix.errors import SandboxUnavailable
from diffufix.serve.client import VerifyClient
from diffufix.serve.protocol import VerifyRequest
from diffufix.serve.shelf import Shelf
from diffufix.serve.verifiers import WarmVerifiers
from diffufix.trainers import scoring
from diffufix.trainers.scoring import GradedTask, Scorer
from diffufix.trainers.slime import custom_rm
from diffufix.trainers.trl import reward_function, verified_tests
from diffufix.trainers.verl import compute_score
from tests.support.served import Served, Shop

RIGHT = (
    "It is one off.\n```python\ndef total(prices, count=1):\n    return sum(prices) * count\n```"
)
WRONG = "```python\ndef total(prices, count=1):\n    return 7\n```"


@pytest.fixture
def row(shop: Shop) -> dict[str, Any]:
    return {"project": str(shop.root), "path": shop.path, "qualname": "total"}


@pytest.fixture
def served_scorer(server: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DIFFUFIX_SERVE_URL", server.url)
    monkeypatch.setenv("DIFFUFIX_SERVE_TOKEN", server.token)
    scoring.default_scorer.cache_clear()
    yield
    scoring.default_scorer().close()
    scoring.default_scorer.cache_clear()


@pytest.mark.usefixtures("served_scorer")
def test_trl(row: dict[str, Any]) -> None:
    told = [[{"role": "assistant", "content": text}] for text in (RIGHT, WRONG, "I do not know.")]
    columns = {key: [value] * 3 for key, value in row.items()}
    rewards = verified_tests(
        prompts=["?"] * 3, completions=told, completion_ids=[[1]] * 3, trainer_state=None, **columns
    )
    assert rewards == verified_tests(
        prompts=["?"] * 3, completions=[RIGHT, WRONG, "I do not know."], **columns
    )
    right, wrong, nothing = rewards
    assert right is not None
    assert right > 1.0
    assert wrong == pytest.approx(0.1)  # it parses, that is all
    assert nothing == 0.0
    assert verified_tests.__name__ == "verified_tests"


@pytest.mark.usefixtures("served_scorer")
def test_verl_and_slime(row: dict[str, Any]) -> None:
    right = compute_score(
        data_source="diffufix", solution_str=RIGHT, ground_truth=json.dumps(row), extra_info={}
    )
    assert right > 1.0
    assert compute_score("diffufix", WRONG, row) == pytest.approx(0.1)
    for sample in (
        SimpleNamespace(response=RIGHT, label=None, metadata=row),
        SimpleNamespace(response=RIGHT, label=json.dumps(row), metadata={}),
    ):
        assert asyncio.run(custom_rm(SimpleNamespace(), sample)) == right


@pytest.mark.slow
def test_without_a_server(row: dict[str, Any], shop: Shop, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 2)
    with WarmVerifiers(shelf, {"sandbox": "local", "workers": 1}) as verifiers:
        score = reward_function(Scorer(verifiers))
        columns = {key: [value] * 2 for key, value in row.items()}
        right, wrong = score(["?"] * 2, [RIGHT, WRONG], **columns)
        assert right is not None
        assert wrong is not None
        assert right > 1 > wrong
        hung = VerifyRequest(verifiers.add(shop.root), shop.with_body("import time; time.sleep(9)"))
        open = verifiers.ask(hung)
    with pytest.raises(SandboxUnavailable):  # what was closed has judged nothing
        open.result()


def test_a_server_that_is_gone_is_no_reward(row: dict[str, Any]) -> None:
    with VerifyClient("http://127.0.0.1:9", patience=0.2) as client:
        rewards = reward_function(Scorer(client))
        columns = {key: [value] for key, value in row.items()}
        assert rewards(["?"], [RIGHT], **columns) == [None]
        with pytest.raises(SandboxUnavailable):
            Scorer(client).score(GradedTask.of(row), RIGHT)
