"""`diffufix train --self-play` with a fixed seed: the losses and gradient norms of every method.

What a step draws, what the tests say of it, what a method makes of that: all of it is in these
numbers. A change that is meant to change none of them shows here that it does not. They belong to
the weights of `mini`; DIFFUFIX_UPDATE_TRAJECTORIES=1 writes them anew.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from diffufix.config import Settings
from diffufix.model import load_model
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.learn import Row, learn
from diffufix.train.rl.methods import METHODS
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted

FILE = Path(__file__).parent / "learning.json"
UPDATE = bool(os.environ.get("DIFFUFIX_UPDATE_TRAJECTORIES"))
KEYS = ("loss", "norm", "reward", "passed")
RELATIVE, ABSOLUTE = 1e-3, 2e-5  # processors round differently; rows have five digits
SEED, STEPS, TASKS, GROUP, RATE, TEMPERATURE = 0, 3, 3, 4, 1e-4, 1.0
CODE = {
    "shop.py": """def total(prices, discount):
    whole = 0
    for price in prices:
        whole += price
    return whole - discount


def cheapest(prices):
    best = prices[0]
    for price in prices:
        if price < best:
            best = price
    return best
""",
    "test_shop.py": """from shop import cheapest, total


def test_total():
    assert total([1, 2, 4], 3) == 4


def test_cheapest():
    assert cheapest([4, 2, 3]) == 2
""",
    "pyproject.toml": "[tool.diffufix]\nworkers = 1\n",
}


def write(root: Path) -> Path:
    root.mkdir()
    for name, text in CODE.items():
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfPlayEnv]:
    root = write(tmp_path_factory.mktemp("golden") / "shop")
    settings = Settings(root=root, sandbox="local", workers=1)
    with SelfPlayEnv(settings, load_model("mini", device="cpu"), Wanted(held_out=0)) as opened:
        yield opened


def check(method: str, rows: Sequence[Row]) -> None:
    """The rows' trajectory is the committed one, or becomes it."""
    seen = {key: [row.get(key) for row in rows] for key in KEYS if any(key in r for r in rows)}
    mini = load_model("mini", device="cpu").fingerprint
    committed: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    if UPDATE:
        committed = {**committed, "mini": mini, method: seen}
        FILE.write_text(json.dumps(committed, indent=1, sort_keys=True) + "\n")
        return
    assert committed["mini"] == mini, "mini has other weights: see the first lines of this file"
    expected = committed[method]
    assert seen.keys() == expected.keys()
    for key, values in expected.items():
        assert [v is None for v in seen[key]] == [v is None for v in values], key
        both = zip(seen[key], values, strict=True)
        pairs = [(a, b) for a, b in both if a is not None and b is not None]
        close = [math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in pairs]
        assert all(close), (key, seen[key], values)


@pytest.mark.parametrize("method", METHODS)
def test_the_loop_goes_as_it_went(practice: SelfPlayEnv, tmp_path: Path, method: str) -> None:
    plan = TrainConfig(
        method, 0, steps=STEPS, tasks=TASKS, group=GROUP, lr=RATE, temperature=TEMPERATURE,
        seed=SEED, device="cpu",
    )  # fmt: skip
    result = learn(load_model("mini", device="cpu"), practice, plan, tmp_path)
    check(method, result.rows)


def test_the_command_line_goes_as_it_went(tmp_path: Path, diffufix_cli) -> None:
    root = write(tmp_path / "shop")
    done = diffufix_cli(
        "train", "--self-play", "--method", "coupled", "--seed", str(SEED), "--steps", str(STEPS),
        "--tasks", str(TASKS), "--group", str(GROUP), "--minutes", "0", "--held-out", "0",
        "--lr", str(RATE), "--temperature", str(TEMPERATURE),
        "--model", "mini", "--device", "cpu", "--json", cwd=root, OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # kept: nothing was held out to compare on
    folder = Path(json.loads(done.stdout)["training"][0]["folder"])
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    check("coupled", rows)


def test_what_is_committed_says_something() -> None:
    """Every method made a step, with a gradient."""
    committed = json.loads(FILE.read_text())
    for method in METHODS:
        norms = committed[method].get("norm", ())
        assert sum(norm is not None and norm > 0 for norm in norms) >= 1, method
