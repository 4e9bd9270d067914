"""Tasks out of a real project: what they restore, what proves them, who is held out."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffufix.cli import main
from diffufix.config import Settings
from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.context import open_context
from diffufix.decode.rollout import Sampling
from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.tasks import candidate_of, prompt_of
from diffufix.train.bugs.history import FixPair, load_pairs
from diffufix.train.corpus.decontaminate import names
from diffufix.train.rl import failures as told
from diffufix.train.rl.failures import failures
from diffufix.train.rl.rollouts import Collector, evaluate
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from diffufix.types import Group, Task
from diffufix.verify import ValidatorPool
from tests.support.practised import CODE, write_project

WANTED = Wanted(tasks=20, held_out=6, share=0.4)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("mini", device="cpu")


@pytest.fixture(scope="module")
def practice(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SelfPlayEnv]:
    root = write_project(tmp_path_factory.mktemp("practice") / "project")
    with SelfPlayEnv(Settings(root=root, sandbox="local", workers=1), model, WANTED) as opened:
        yield opened


def verdict(screen: ValidatorPool, task: Task, text: str) -> str:
    screen.submit(candidate_of(task, text), task.tests)
    return str(next(v for _, v in screen.results(timeout=None)).state)


# -- tasks -----------------------------------------------------------------------------------------


def test_every_answer_gives_the_projects_own_text(practice: SelfPlayEnv) -> None:
    tasks = [*practice.tasks, *practice.held_out]
    assert len(practice.tasks) > 10
    assert practice.held_out
    for task in tasks:
        assert task.answer is not None
        assert task.source[: task.start] + task.answer + task.source[task.end :] == CODE
        assert (task.source == CODE) == (task.origin in ("masked", "intact"))


def test_broken_code_fails_its_tests_and_the_answer_passes_them(practice: SelfPlayEnv) -> None:
    for task in [*practice.tasks[::4], *practice.held_out[::3]]:
        stands = task.source[task.start : task.end]
        whole = task.origin in ("masked", "intact")
        assert verdict(practice.screen, task, stands) == ("pass" if whole else "fail")
        assert verdict(practice.screen, task, task.answer or "") == "pass"


def test_no_held_out_function_is_learned_from(practice: SelfPlayEnv) -> None:
    learned = {task.qualname for task in practice.tasks}
    held = {task.qualname for task in practice.held_out}
    assert learned
    assert held
    assert not learned & held
    kept = {function.qualname for function in practice.kept}
    assert held <= kept
    assert not any(f"def {name.split('.')[-1]}(" in text for name in kept for text in practice.code)
    assert any("def untested(" in text for text in practice.code)
    assert "untested" not in learned | held


def test_the_history_gives_back_what_was_once_wrong(practice: SelfPlayEnv) -> None:
    every = [*practice.functions, *practice.kept]
    found = practice.maker.history(practice.settings.root, every, random.Random(0))
    assert [task.origin for task in found] == ["history"]
    assert "len(word) < len(best)" in found[0].source
    assert list(practice.prove(found))


def test_a_wrong_fill_is_the_fault_of_a_new_task(practice: SelfPlayEnv) -> None:
    made = []
    for task in practice.tasks:
        function = next(f for f in practice.functions if f.qualname == task.qualname)
        answer = task.answer or ""
        text = answer[: len(answer) - len(answer.lstrip())] + "None"
        made.append(practice.maker.wrong_fill(function, task, text, random.Random(0)))
    found = [task for task in made if task is not None]
    assert len(found) > len(practice.tasks) / 3
    for task in found:
        assert task.origin == "wrong-fill"
        assert task.answer is not None
        assert task.source[: task.start] + task.answer + task.source[task.end :] == CODE


def test_the_same_seed_draws_the_same_tasks(practice: SelfPlayEnv) -> None:
    for origin in ("mutant", "masked", "intact"):
        make = getattr(practice.maker, origin)
        one, two = (
            [make(f, random.Random(f"{f.name}/3")) for f in practice.functions] for _ in range(2)
        )
        assert one == two
        assert any(one)


def test_the_model_can_be_asked_every_task(practice: SelfPlayEnv, model: LoadedModel) -> None:
    assert all(prompt_of(model, task) for task in [*practice.tasks, *practice.held_out])


# -- groups ----------------------------------------------------------------------------------------


def collected(practice: SelfPlayEnv, model: LoadedModel, collector: Collector) -> list[Group]:
    return collector.groups(model, practice.tasks[:4], 4, torch.Generator().manual_seed(5))


def test_groups_are_complete_scored_and_tried_once(
    practice: SelfPlayEnv, model: LoadedModel
) -> None:
    kept: list[Group] = []
    collector = Collector(
        practice.screen, estimator="coupled", inner=2, keep=kept.append, version="v"
    )
    groups = collected(practice, model, collector)
    assert [g.task.key for g in groups] == [t.key for t in practice.tasks[:4]]
    assert sorted(g.task.key for g in kept) == sorted(g.task.key for g in groups)
    for group in groups:
        assert group.model == "v"
        assert len(group.completions) == 4
        for one in group.completions:
            assert len(one.ids) == group.prompt.width
            assert one.reward is not None
            assert len(one.noise) == len(one.behaviour) == (2 if group.has_signal else 0)
    spent = replace(collector.spent)
    assert spent.samples == 16 == spent.verdicts + spent.known + spent.unparsed
    again = collected(practice, model, collector)
    assert collector.spent.verdicts == spent.verdicts
    assert not _different(groups, again)
    assert collector.spent.since(spent).samples == 16


def test_verdicts_are_those_of_the_tests(practice: SelfPlayEnv, model: LoadedModel) -> None:
    collector = Collector(practice.screen, sampling=Sampling(temperature=0.3))
    for group in collected(practice, model, collector)[:3]:
        for one in group.completions[:2]:
            state = verdict(practice.screen, group.task, one.text)
            assert one.state == state


def test_equal_seeds_pair_evaluations(practice: SelfPlayEnv, model: LoadedModel) -> None:
    collector = Collector(practice.screen)
    one, two = (evaluate(model, practice.held_out, 3, collector, seed=1) for _ in range(2))
    assert one == two
    assert len(one) == len(practice.held_out)
    assert all(0 <= passes <= samples == 3 for passes, samples in one)
    assert not any(group.completions[0].noise for group in collected(practice, model, collector))


def _different(left: list[Group], right: list[Group]) -> list[str]:
    return [
        a.task.key
        for a, b in zip(left, right, strict=True)
        if [(c.ids, c.noise, c.behaviour, c.reward) for c in a.completions]
        != [(c.ids, c.noise, c.behaviour, c.reward) for c in b.completions]
    ]


# -- what the tests said ---------------------------------------------------------------------------


def test_a_broken_task_holds_what_the_test_said(practice: SelfPlayEnv) -> None:
    for task in [*practice.tasks, *practice.held_out]:
        if task.origin not in ("mutant", "history"):
            assert not task.said
            continue
        message, *called = task.said.split("\n")
        assert "Error" in message or "assert" in message
        name = task.qualname.rpartition(".")[2]
        assert all(name in line for line in called)
    assert any("\n" in task.said for task in practice.tasks)


def test_only_a_model_that_reads_failures_is_asked_with_them(
    practice: SelfPlayEnv, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = next(task for task in practice.tasks if task.said)
    monkeypatch.setattr(model, "family", replace(model.family, failure=False))
    plain = prompt_of(model, task)
    monkeypatch.setattr(model, "family", replace(model.family, failure=True))
    told = prompt_of(model, task)
    assert plain is not None
    assert told is not None
    assert not plain.failure
    assert model.tokenizer.decode(told.failure) == task.said or len(told.failure) >= 40
    assert replace(told, failure=()) == plain
    seen = [open_context(model, [p]).logits([(0, [model.family.mask])]) for p in (plain, told)]
    assert not torch.allclose(seen[0], seen[1])
    context = AsideContext(model, [*told.left, *told.original, *told.right], failure=told.failure)
    start = len(told.left) + 1
    place = HoleSpan(start, start + len(told.original), told.original)
    alone = context.logits([place], [[model.family.mask]])
    kept = seen[1] > -1e29
    torch.testing.assert_close(seen[1][kept], alone[kept], rtol=1e-3, atol=1e-3)


def test_mutants_become_pairs_that_restore_the_function(practice: SelfPlayEnv) -> None:
    found = list(failures(practice, 12))
    tested = {function.qualname for function in practice.functions}
    assert len(found) == 12
    assert (
        {pair.qualname for pair in found}
        == {name for name in tested if name.rpartition(".")[2] not in names()}
        < tested
    )  # one of them has a benchmark's name
    for pair in found:
        assert pair.failure
        assert pair.after in CODE
        assert pair.before != pair.after


@pytest.mark.parametrize("stopped", [False, True])
def test_the_command_writes_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    root, out = write_project(tmp_path / "project"), tmp_path / "pairs.gz"
    made = told._pair

    def found(*args: Any) -> FixPair:
        if stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        return made(*args)

    monkeypatch.setattr(told, "_pair", found)
    options = ["--sandbox", "local", "--count", "8", "--out", str(out)]
    code = main(["train", "failures", str(root), *options])
    assert (code, len(load_pairs(out))) == ((130, 1) if stopped else (0, 8))


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs.gz"
    for options in ([], ["--sandbox", "nowhere"]):
        assert main(["train", "failures", str(tmp_path / "none"), "--out", str(out), *options]) > 0
        assert "error: " in capsys.readouterr().err
    assert not out.exists()
