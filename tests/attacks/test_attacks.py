"""Hostile candidates, for real: none passes, none survives, nothing outside changes, and what
comes after them is judged right."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from diffufix.types import Candidate, State, Verdict
from diffufix.verify import ValidatorPool
from tests.attacks.arena import FAILING, TESTS, Arena, processes
from tests.attacks.every import ATTACKS
from tests.attacks.hostile import Attack
from tests.attacks.reaching import LEFT_OVER, LOOK

#: Tried by confirmation as well, which does not get to see them otherwise: one of each kind.
CONFIRMED = (
    *("exit_quietly", "skip", "equal_computed", "patch_runtest", "forge_by_computed_names"),
    *("plant_a_test_of_the_same_size", "kill_the_server", "daemon", "exit_at_import"),
)
BY_NAME = {attack.name: attack for attack in ATTACKS}


@pytest.fixture(scope="module")
def screen(arena: Arena) -> Iterator[ValidatorPool]:
    with arena.screen() as screen:
        yield screen
    for sandbox in arena.made:
        assert not sandbox.alive()


def ask(screen: ValidatorPool, candidate: Candidate, tests: tuple[str, ...] = TESTS) -> Verdict:
    token = screen.submit(candidate, tests)
    ((answered, verdict),) = screen.results(None)
    assert answered == token
    return verdict


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gets_nowhere(arena: Arena, screen: ValidatorPool, attack: Attack) -> None:
    outside = arena.outside()
    verdict = ask(screen, arena.candidate(attack))
    record(arena, attack, verdict)
    if verdict.state is State.PASS:
        verdict = arena.confirm(arena.candidate(attack))
    assert verdict.state is not State.PASS, verdict
    assert arena.outside() == outside
    settled(screen)
    right, wrong = ask(screen, arena.right()), ask(screen, arena.body("return 0"))
    assert right.state is State.PASS, right
    assert wrong.state is State.FAIL, wrong
    assert wrong.outcomes == {FAILING[0]: "failed"}


def test_nothing_is_there_for_the_next_one(arena: Arena, screen: ValidatorPool) -> None:
    for attack in LEFT_OVER:
        if attack.name.startswith(("leave_", "fill_")):
            first = ask(screen, arena.candidate(attack))
            assert first.state is not State.PASS, (attack.name, first)
            look = ask(screen, arena.body(LOOK))
            assert look.state is State.SUSPICIOUS, (attack.name, look)  # it was green


@pytest.mark.parametrize("name", CONFIRMED)
def test_confirmation_alone_is_not_fooled(arena: Arena, name: str) -> None:
    outside = arena.outside()
    verdict = arena.confirm(arena.candidate(BY_NAME[name]))
    assert verdict.state is not State.PASS, verdict
    assert arena.outside() == outside
    assert not arena.made[-1].alive()


def settled(screen: ValidatorPool) -> None:
    """No process but the server's: the early, the bare and the collected stage."""
    deadline = time.monotonic() + 10
    while True:
        running = processes(screen)
        if len(running) <= screen_size(screen) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert len(running) <= screen_size(screen), running


_sizes: dict[int, int] = {}


def screen_size(screen: ValidatorPool) -> int:
    """How many processes a sandbox has with a server and no candidate."""
    return _sizes.setdefault(id(screen), len(processes(screen)))


def record(arena: Arena, attack: Attack, verdict: Verdict) -> None:
    """For the table in docs/security.md: ATTACK_TABLE names the file to append to."""
    path = os.environ.get("ATTACK_TABLE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            state, detail = verdict.state.value, verdict.detail.replace("|", "/")[:120]
            file.write("|".join((arena.name, attack.threat, attack.name, state, detail)) + "\n")
