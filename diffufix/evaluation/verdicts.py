"""`ProgramJudge`: verdicts on programs, each from a process in a sandbox, never from this one.

Touches temporary folders and the sandboxes that it makes: one for each worker, for the whole run.
What comes back is JSON; nothing of a program is unpickled here.
"""

from __future__ import annotations

import json
import pickle
import queue
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from diffufix.config import load_settings
from diffufix.errors import SandboxUnavailable
from diffufix.evaluation.types import Check
from diffufix.sandbox import Sandbox
from diffufix.workspace.choice import Runtime, choose

RUNNER, AGREEMENT = "_diffufix_programs.py", "_diffufix_agreement.py"
RETRIES = 1
OUTPUT = 2**24  # bytes of a runner's answer


@dataclass(frozen=True)
class Judgement:
    """`state`: pass, fail, timeout, suspicious (it passes, not by honest means) or infra."""

    state: str
    detail: str = ""


class ProgramJudge:
    """`judge` may be called from one thread; the work is done by `workers` others."""

    def __init__(
        self, *, sandbox: str = "auto", image: str = "", python: str = "", workers: int = 1
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="diffufix-judge-")
        root = Path(self._scratch.name) / "project"
        root.mkdir()
        (root / "pytest.ini").write_text("[pytest]\n", "utf-8")
        options = {"sandbox": sandbox, "image": image or None, "python": python or None}
        self.place: Runtime = choose(load_settings(root, (), options, {}))
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._idle: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        self._all: list[Sandbox] = []

    def __enter__(self) -> ProgramJudge:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for sandbox in self._all:
            sandbox.close()
        self._scratch.cleanup()

    def judge(
        self, programs: Sequence[str], checks: Mapping[str, Check], entry_point: str
    ) -> Future[list[dict[str, Judgement]]]:
        """By program, and there by level of `checks`."""
        return self._pool.submit(self._judge, programs, checks, entry_point)

    def _judge(
        self, programs: Sequence[str], checks: Mapping[str, Check], entry_point: str
    ) -> list[dict[str, Judgement]]:
        for left in range(RETRIES, -1, -1):
            try:
                sandbox = self._taken()
                found = self._in(sandbox, programs, checks, entry_point)
                self._idle.put(sandbox)
                return found
            except SandboxUnavailable as error:
                if not left:
                    lost = Judgement("infra", error.message)
                    return [dict.fromkeys(checks, lost) for _ in programs]
        raise AssertionError

    def _taken(self) -> Sandbox:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            tree = Path(tempfile.mkdtemp(dir=self._scratch.name)) / "tree"
            tree.mkdir()
            sandbox = self.place.make(tree)
            sandbox.start()
            self._all.append(sandbox)
            return sandbox

    def _in(
        self,
        sandbox: Sandbox,
        programs: Sequence[str],
        checks: Mapping[str, Check],
        entry_point: str,
    ) -> list[dict[str, Judgement]]:
        place = f"{sandbox.private}/judge"  # imports need a folder that may be listed
        job = {
            "programs": list(programs),
            "checks": {level: asdict(check) for level, check in checks.items()},
            "entry_point": entry_point,
        }
        inside = resources.files("diffufix.evaluation.inside")
        files = {f"{place}/{name}": (inside / name).read_bytes() for name in (RUNNER, AGREEMENT)}
        sandbox.write_files({**files, f"{place}/job": pickle.dumps(job, 4)})
        ran = sandbox.exec(
            [self.place.python, "-B", f"{place}/{RUNNER}", f"{place}/job"],
            max_output=OUTPUT,
            timeout=_longest(checks) * len(programs) + 60.0,
        )
        found: list[dict[str, Judgement]] = [{} for _ in programs]
        for line in ran.stdout.decode("utf-8", "replace").splitlines():
            number, level, state, detail = json.loads(line)
            found[number][level] = Judgement(state, detail)
        said = ran.stderr.decode("utf-8", "replace").strip()[-200:]
        lost = Judgement("infra", said or "the runner did not end")
        return [{level: each.get(level, lost) for level in checks} for each in found]


def _longest(checks: Mapping[str, Check]) -> float:
    """Seconds of the clock that one program may take at all levels."""
    return sum(
        5.0 * (62.0 if check.kind == "cases" else check.seconds) for check in checks.values()
    )
