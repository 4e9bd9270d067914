"""The loop: all methods move the weights, a resumed session is the unbroken one; its parts."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.model import load_model
from diffufix.propose.tasks import make_task
from diffufix.store import Store
from diffufix.train.cost import cpu_seconds
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.curriculum import LEAST, Curriculum
from diffufix.train.rl.learn import LearnResult, Row, learn
from diffufix.train.rl.methods import METHODS
from diffufix.train.rl.metrics import arness
from diffufix.train.rl.objectives.imitation import PER_TASK, Passed
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from diffufix.types import Completion, Group, Prompt, Task
from tests.support.practised import write_project

PLAN = TrainConfig(minutes=0, steps=2, tasks=3, group=4, save_every=1, inner=1)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfPlayEnv]:
    root = write_project(tmp_path_factory.mktemp("learn") / "project")
    settings = Settings(root=root, sandbox="local", workers=1)
    wanted = Wanted(tasks=12, held_out=2, share=0.3, history=False)
    with SelfPlayEnv(settings, load_model("mini", device="cpu"), wanted) as opened:
        yield opened


def session(
    practice: SelfPlayEnv, out: Path, **changes: object
) -> tuple[LearnResult, torch.Tensor]:
    model = load_model("mini", device="cpu")
    result = learn(model, practice, TrainConfig(**{**PLAN.__dict__, **changes}), out)
    return result, torch.cat([p.detach().flatten() for p in model.parameters()])


def weights() -> torch.Tensor:
    model = load_model("mini", device="cpu")
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# -- the loop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_says_so(
    practice: SelfPlayEnv, tmp_path: Path, method: str
) -> None:
    result, after = session(practice, tmp_path, method=method, temperature=0.5)
    assert result.steps == 2
    assert result.cpu_seconds > 0
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == [1, 2]
    moved = any(row["steps"] for row in rows)
    assert moved == (not torch.equal(after, weights()))
    if method in ("answers", "repo"):
        assert moved
        assert result.groups == 0
    else:
        assert result.groups == 6
        assert {"reward", "passed", "arness"} & rows[0].keys()
    again = load_model(result.model, device="cpu")
    torch.testing.assert_close(
        torch.cat([p.flatten() for p in again.parameters()]), after, rtol=0, atol=0
    )


def test_an_adapter_is_saved_as_peft_has_it_and_gone_on_with(
    practice: SelfPlayEnv, tmp_path: Path
) -> None:
    plan = TrainConfig(**{**PLAN.__dict__, "method": "answers", "lora": True, "lr": 1e-2})
    model = load_model("mini", device="cpu")
    ids = torch.arange(40, 60)[None]
    before = model(ids)
    result = learn(model, practice, plan, tmp_path / "one")
    after = model(ids)
    assert (result.model / "adapter_config.json").is_file()
    merged = load_model("mini", device="cpu", adapter=result.model)
    assert not torch.allclose(after, before, atol=1e-3)
    torch.testing.assert_close(merged(ids), after, rtol=1e-3, atol=1e-3)
    further = learn(merged, practice, plan, tmp_path / "two")
    again = load_model("mini", device="cpu", adapter=further.model)
    torch.testing.assert_close(again(ids), merged(ids), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["count", "rft", "preference"])
def test_a_resumed_session_is_the_unbroken_one(
    practice: SelfPlayEnv, tmp_path: Path, method: str
) -> None:
    options = {"method": method, "temperature": 0.7, "steps": 4}
    _, whole = session(practice, tmp_path / "whole", **options)
    session(practice, tmp_path / "parts", **{**options, "steps": 2})
    result, parts = session(practice, tmp_path / "parts", **options)
    assert result.steps == 4
    assert torch.equal(whole, parts)
    logs = [[without_times(row) for row in rows_of(tmp_path / n)] for n in ("whole", "parts")]
    assert logs[0] == logs[1]


def rows_of(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def without_times(row: Row) -> dict[str, object]:
    timed = ("seconds", "per_second", "step_seconds", "cpu_seconds")
    return {k: v for k, v in row.items() if k not in timed and not k.endswith("/s")}


def test_another_plan_does_not_go_on_with_a_session(practice: SelfPlayEnv, tmp_path: Path) -> None:
    session(practice, tmp_path, method="repo")
    with pytest.raises(UsageError, match="another plan"):
        session(practice, tmp_path, method="answers")
    with pytest.raises(UsageError, match="when to stop"):
        session(practice, tmp_path, steps=0)


def test_what_was_collected_is_in_the_log_after_an_interrupt(
    practice: SelfPlayEnv, tmp_path: Path
) -> None:
    """A signal ends the session after its step, with a checkpoint; the groups are in the log."""
    with Store.open(practice.settings.root) as store:
        run = store.begin_run({}, "train")
        result = learn(
            load_model("mini", device="cpu"), practice, replace(PLAN, steps=50), tmp_path,
            store=store, run_id=run,
            listen=lambda row: os.kill(os.getpid(), signal.SIGINT),
        )  # fmt: skip
        assert result.interrupted
        assert result.steps == 1
        store.flush()
        assert store.query("SELECT count(*) FROM groups")[0][0] == result.groups == 3
    assert (tmp_path / "state.pt").is_file()
    assert (tmp_path / "model" / "config.json").is_file()


# -- its parts -------------------------------------------------------------------------------------


def task(number: int) -> Task:
    return make_task("m.py", "f", f"x = {number}\n", (4, 5), "expression", "mutant", ["t::a"])


def group(number: int, states: list[str], texts: list[str] | None = None) -> Group:
    texts = texts or [str(i) for i in range(len(states))]
    completions = tuple(
        Completion((i,), text, state, None if state == "infra" else float(state == "pass"))
        for i, (state, text) in enumerate(zip(states, texts, strict=True))
    )
    return Group(task(number), Prompt((1,), (2,), (), 1), completions, "m", "")


def test_tasks_solved_sometimes_are_drawn_most() -> None:
    curriculum = Curriculum()
    curriculum.add(task(i) for i in range(4))
    for _ in range(3):
        curriculum.note(
            [group(0, ["pass"] * 8), group(1, ["fail"] * 8), group(2, ["pass"] * 3 + ["fail"] * 5)]
        )
    weights = [curriculum.weight(task(i).key) for i in range(4)]
    assert weights[2] == weights[3] == 1.0
    assert all(LEAST < weight < 0.3 for weight in weights[:2])
    drawn = [curriculum.draw(1, random.Random(seed))[0].key for seed in range(300)]
    assert drawn.count(task(2).key) > 3 * drawn.count(task(0).key)


@given(st.lists(st.sampled_from(["pass", "fail", "infra"]), min_size=1, max_size=8), st.integers())
def test_a_restored_curriculum_draws_the_same(states: list[str], seed: int) -> None:
    one, two = Curriculum(), Curriculum()
    for curriculum in (one, two):
        curriculum.add(task(i) for i in range(5))
    one.note([group(1, states), group(2, states)])
    two.restore(json.loads(json.dumps(one.state())))
    assert one.draw(3, random.Random(seed)) == two.draw(3, random.Random(seed))
    assert 0.0 <= one.solve_rate <= 1.0


def test_passes_are_kept_once_and_a_few_of_each_task() -> None:
    passed = Passed()
    assert passed.add([group(0, ["pass", "fail", "pass"], ["a", "b", "a"])]) == 1
    assert passed.add([group(1, ["pass"] * 3)]) == 0  # what is always solved teaches nothing
    for number in range(2 * PER_TASK):
        passed.add([group(0, ["pass", "fail"], [f"t{number}", "x"])])
    assert len(passed.examples()) == PER_TASK
    other = Passed()
    other.restore(json.loads(json.dumps(passed.state())))
    assert other.examples() == passed.examples()


def test_arness_is_the_share_of_steps_to_the_right() -> None:
    assert arness([[0, 1, 2, 3]]) == 1.0
    assert arness([[3, 2, 1, 0]]) == 0.0
    assert arness([[0, 1, 3, 2]]) == pytest.approx(1 / 3)
    assert arness([[], [0]]) == 0.0


def test_processor_seconds_count_children_that_run_and_that_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = cpu_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = cpu_seconds() - before
        child.communicate(b"\n")
    assert running > 0.25
    assert cpu_seconds() - before > 0.25
