"""Which projects stay warm, and what becomes of those that cannot be tested."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import ProjectError, SandboxUnavailable
from diffufix.serve import verifiers
from diffufix.serve.protocol import Busy, UnknownProject, VerifyAnswer, VerifyRequest
from diffufix.serve.shelf import Shelf
from diffufix.serve.verifiers import WarmVerifiers


class Standin:
    """A verifier of a project that answers when it is told."""

    made: list[Standin]

    def __init__(self, settings: Any, memory: int | None) -> None:
        self.settings, self.open, self.used = settings, 0, time.monotonic()
        self.failed: BaseException | None = None
        self.workers, self.closed = 1, False
        self.made.append(self)

    def ask(self, request: VerifyRequest) -> Future[VerifyAnswer]:
        return Future()

    def close(self, wait: bool = True) -> None:
        self.closed = True


@pytest.fixture
def warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WarmVerifiers:
    monkeypatch.setattr(verifiers, "ProjectVerifier", Standin)
    Standin.made = []
    for number in range(3):
        (tmp_path / "shelf" / (f"{number}" * 64) / "thing").mkdir(parents=True)
    return WarmVerifiers(Shelf(tmp_path / "shelf", 9), {"sandbox": "local"}, most=2, memory=1)


def ask(warm: WarmVerifiers, number: int, *args: str) -> Standin:
    warm.ask(VerifyRequest(f"{number}" * 64, {"a.py": ""}, args=args))
    return Standin.made[-1]


def test_the_least_recently_used_one_makes_room(warm: WarmVerifiers) -> None:
    first, second = ask(warm, 0), ask(warm, 1)
    assert ask(warm, 0) is second  # nothing new is made
    first.open = 1
    third = ask(warm, 2)
    assert (first.closed, second.closed, third.closed) == (False, True, False)
    assert third.settings.sandbox == "local"
    assert warm.workers == 2
    assert warm.in_use == {"0" * 64, "2" * 64}
    third.open = 1
    with pytest.raises(Busy):
        ask(warm, 1)
    warm.close()
    assert first.closed
    with pytest.raises(SandboxUnavailable):
        ask(warm, 0)


def test_a_selection_of_tests_is_another_suite(warm: WarmVerifiers) -> None:
    ask(warm, 0)
    assert ask(warm, 0, "-k", "x").settings.pytest_args == ("-k", "x")
    assert len(Standin.made) == 2


def test_what_failed_is_made_anew_where_that_may_help(warm: WarmVerifiers) -> None:
    ask(warm, 0).failed = SandboxUnavailable("the disk is full")
    ask(warm, 0).failed = ProjectError("no tests")
    assert len(Standin.made) == 2
    ask(warm, 0)
    assert len(Standin.made) == 2  # for a minute
    Standin.made[-1].used -= 61
    ask(warm, 0)
    assert len(Standin.made) == 3
    with pytest.raises(UnknownProject):
        ask(warm, 7)
