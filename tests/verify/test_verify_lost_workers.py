"""Workers that are lost with their place: their candidates go to others, and are never judged."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import Sandbox
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool, pool
from diffufix.verify.worker import Setup, Worker

TEST = "test_x.py::test_x"


class Fake(Worker):
    """Answers that every test passes, after `seconds`; `down` workers are lost with their place."""

    made: list[Fake]
    seconds = 0.0

    def __init__(self, factory: Callable[[], Sandbox], setup: Setup) -> None:
        super().__init__(factory, setup)
        self.down = threading.Event()
        self.asked = 0
        self.ready = {"ids": [TEST]}
        self.made.append(self)

    def start(self) -> None:
        if self.down.is_set():
            raise SandboxUnavailable("no place")

    restart = start
    interrupt = close = lambda self: None

    @property
    def sandbox(self) -> Any:
        return self

    tree = ""

    def read_file(self, path: str) -> bytes:
        return b"x = 1\n"

    @property
    def sandbox_alive(self) -> bool:
        return not self.down.is_set()

    def ask(self, request: Any, until: float | None = None) -> dict[str, Any]:
        self.asked += 1
        time.sleep(self.seconds)
        if self.down.is_set():
            raise SandboxUnavailable("lost")
        return {
            "ready": True, "ended": True, "clean": True, "status": 0,
            "outcomes": [["passed", ""] for _ in request["tests"]], "sentinel": "failed",
        }  # fmt: skip


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ValidatorPool]:
    monkeypatch.setattr(Fake, "made", [], raising=False)
    monkeypatch.setattr(pool, "AGAIN", 0.05)
    (tmp_path / "x.py").write_text("x = 1\n")

    def start(count: int, seconds: float = 0.0) -> ValidatorPool:
        monkeypatch.setattr(Fake, "seconds", seconds)
        return ValidatorPool(
            lambda: pytest.fail("no sandbox is made here"), python="python", args=[], root=tmp_path,
            expected={TEST: "passed"}, failing=[], workers=count, hire=Fake,
        )  # fmt: skip

    return start


def states(screen: ValidatorPool, count: int) -> Counter[State]:
    found: Counter[State] = Counter()
    for number in range(count):
        screen.submit(Candidate({"x.py": f"x = {number}\n"}), [TEST])
    while screen.pending:
        for _, verdict in screen.results(10):
            found[verdict.state] += 1
    return found


def test_candidates_of_a_lost_worker_are_taken_by_the_others(
    workers: Callable[..., ValidatorPool],
) -> None:
    with workers(2, seconds=0.02) as screen:
        first, second = Fake.made
        threading.Timer(0.05, first.down.set).start()
        found = states(screen, 8)
        assert State.INFRA not in found
        assert found.total() == 8
        assert first.asked < second.asked


def test_a_lost_worker_comes_back(workers: Callable[..., ValidatorPool]) -> None:
    with workers(2, seconds=0.02) as screen:
        first, second = Fake.made
        first.down.set()
        assert State.INFRA not in states(screen, 4)
        first.down.clear()
        time.sleep(0.2)
        before = first.asked
        second.down.set()
        assert State.INFRA not in states(screen, 4)
        assert first.asked > before


def test_one_that_never_started_is_done_without(workers: Callable[..., ValidatorPool]) -> None:
    screen = workers(2)
    Fake.made[0].down.set()
    with screen:
        assert screen.collected == {TEST}
        assert State.INFRA not in states(screen, 4)


def test_where_none_can_be_had_it_says_so(workers: Callable[..., ValidatorPool]) -> None:
    screen = workers(2)
    for worker in Fake.made:
        worker.down.set()
    with pytest.raises(SandboxUnavailable, match="no place"):
        screen.__enter__()


def test_where_all_are_lost_nothing_is_judged(workers: Callable[..., ValidatorPool]) -> None:
    with workers(2) as screen:
        for worker in Fake.made:
            worker.down.set()
        assert states(screen, 4) == {State.INFRA: 4}
