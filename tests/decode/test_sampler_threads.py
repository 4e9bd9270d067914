"""How the threads of torch wait, seen from a fresh process, and how many there are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from diffufix.decode import threads
from diffufix.decode.threads import Threads, threads_kept

ENTRIES = (
    "decode.aside",
    "model.checkpoint",
    "train.pretrain.trainer",
)


def said(module: str, **extra: str) -> str:
    """What OpenMP tells of its settings when it is brought in."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    env |= {"OMP_DISPLAY_ENV": "VERBOSE"} | extra
    program = f"import {module}, sys; assert 'torch' in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch's OpenMP is not GNU's")
    return done.stderr


@pytest.mark.parametrize("module", ENTRIES)
def test_threads_soon_sleep_whatever_brings_torch_in(module: str) -> None:
    assert "GOMP_SPINCOUNT = '3000'" in said(f"diffufix.{module}")


def test_what_the_user_set_stays() -> None:
    assert "GOMP_SPINCOUNT = '70'" in said("diffufix.model.checkpoint", GOMP_SPINCOUNT="70")
    active = said("diffufix.model.checkpoint", OMP_WAIT_POLICY="ACTIVE")
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in active
    assert "GOMP_SPINCOUNT = '3000'" not in active


class Clock:
    """Stands in for `time`: a look takes `wall` seconds and gets `cores` of a processor."""

    def __init__(self) -> None:
        self.wall, self.spent, self.cores = 0.0, 0.0, 4.0

    def look(self, asked: object) -> torch.Tensor:
        self.wall += 0.3
        self.spent += 0.3 * min(self.cores, torch.get_num_threads())
        return torch.zeros(1)

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.spent

    monotonic = perf_counter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(threads, "time", clock)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with threads_kept():
        yield clock


def used(answer: Callable[..., torch.Tensor]) -> int:
    answer([])
    return torch.get_num_threads()


def test_one_core_while_tests_run(clock: Clock) -> None:
    busy = [False]
    answer = Threads(lambda: busy[0]).around(clock.look)
    assert used(answer) == 4
    busy[0] = True
    assert used(answer) == 1
    busy[0] = False
    assert used(answer) == 4


def test_cores_that_others_want_are_left_to_them(clock: Clock) -> None:
    answer = Threads(lambda: False).around(clock.look)
    assert [used(answer) for _ in range(3)] == [4, 4, 4]
    clock.cores = 1.2
    used(answer)
    assert [used(answer) for _ in range(5)] == [1] * 5
    clock.cores = 4.0
    clock.wall += threads.AGAIN
    assert [used(answer) for _ in range(3)] == [4, 4, 4]


def test_what_is_nearly_there_is_enough(clock: Clock) -> None:
    clock.cores = 2.6
    answer = Threads(lambda: False).around(clock.look)
    assert [used(answer) for _ in range(3)] == [4, 4, 4]
    clock.cores = 2.3
    used(answer)
    assert used(answer) == 2
