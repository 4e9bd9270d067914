"""Held-out tasks searched as `repair` does: the place of the first pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from diffufix.config import Settings
from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.train.rl.searching import Searcher, chosen
from diffufix.train.rl.self_play import SelfPlayEnv, Wanted
from tests.support.practised import write_project


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return load_model("mini", device="cpu")


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Iterator[SelfPlayEnv]:
    root = write_project(tmp_path_factory.mktemp("searching") / "project")
    wanted = Wanted(tasks=4, held_out=6, share=0.5, history=False)
    with SelfPlayEnv(Settings(root=root, sandbox="local", workers=2), mini, wanted) as opened:
        yield opened


def test_the_place_is_that_of_the_first_pass(practice: SelfPlayEnv, mini: LoadedModel) -> None:
    searcher = Searcher(practice.screen, tries=30)
    tasks = chosen(practice.held_out, 3)
    places = searcher.places(mini, tasks)
    assert len(places) == len(tasks) == 3
    assert any(places)  # small faults in small functions
    for task, place in zip(tasks, places, strict=True):
        expected = None
        for number, candidate in enumerate(searcher._candidates(mini, task), 1):
            if number > 30:
                break
            token = practice.screen.submit(candidate, task.tests)
            ((answered, verdict),) = practice.screen.results(None)
            assert answered == token
            if verdict.passed:
                expected = number
                break
        assert place == expected
    assert searcher.places(mini, tasks) == places  # from what is known
    tight = [place if place and place <= 2 else None for place in places]
    assert Searcher(practice.screen, tries=2).places(mini, tasks) == tight
    assert not practice.screen.pending


def test_every_function_has_its_turn(practice: SelfPlayEnv) -> None:
    tasks = practice.held_out
    names = {(task.path, task.qualname) for task in tasks}
    first = chosen(tasks, len(names))
    assert {(task.path, task.qualname) for task in first} == names
    assert set(map(id, chosen(tasks, 99))) == set(map(id, tasks))
    assert chosen(tasks, 0) == []
