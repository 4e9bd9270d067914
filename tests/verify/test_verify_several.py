"""A screen over two backends, one of which is lost in mid-run."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.sandbox.several import Backend, Several
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool

FILES = {
    "shop.py": "def total(prices):\n    return sum(prices) - 1\n",
    "test_shop.py": "from shop import total\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
}


class Machine:
    """Makes sandboxes until it is lost, with all that it made."""

    def __init__(self) -> None:
        self.made: list[LocalSandbox] = []
        self.lost = False

    def make(self, tree: Path) -> Sandbox:
        self.made.append(_Here(tree, python=sys.executable, machine=self))
        return self.made[-1]

    def lose(self) -> None:
        self.lost = True
        for sandbox in self.made:
            sandbox._end_processes()


class _Here(LocalSandbox):
    def __init__(self, tree: Path, *, python: str, machine: Machine) -> None:
        super().__init__(tree, python=python)
        self._machine = machine

    def start(self) -> None:
        if self._machine.lost:
            raise SandboxUnavailable("the machine is lost")
        super().start()

    def alive(self) -> bool:
        return not self._machine.lost and super().alive()


def test_a_lost_machine_costs_no_verdict(make_project: Callable[..., Any]) -> None:
    project = make_project(FILES)
    first, second = Machine(), Machine()
    several = Several([Backend("first", first.make), Backend("second", second.make)])

    def factory() -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=project.scratch)) / "tree"
        shutil.copytree(project.root, tree)
        return several(tree)

    candidates = [Candidate({"shop.py": FILES["shop.py"].replace("- 1", f"+ {n}")})
                  for n in range(24)]  # fmt: skip
    make = partial(ValidatorPool, factory, python=sys.executable, args=[], root=project.root)
    found = []
    with make(
        expected=project.baseline, failing=project.failing, seconds=project.seconds, workers=2
    ) as screen:
        assert (len(first.made), len(second.made)) == (1, 1)
        waiting = list(candidates)
        while waiting or screen.pending:
            while waiting and screen.capacity:
                screen.submit(waiting.pop(), project.tests)
            found += [verdict.state for _, verdict in screen.results(60)]
            if len(found) > 3 and not first.lost:
                first.lose()
    assert found.count(State.PASS) == 1
    assert found.count(State.FAIL) == len(candidates) - 1
    assert first.lost
