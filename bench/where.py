"""Where do the seconds of a repair go? Shares of model, verifier, waiting and the rest.

    python bench/where.py BUGS [--only IDS] [--budget 60] [--venvs DIR] [--out NAME] [-- OPTIONS]

BUGS is a folder of real bugs (`bugs.jsonl`, `trees/`, and `run.py`, which makes the environments).
Each is searched in this process, with clocks around what the search calls. The clocks are
exclusive: what is called inside counts for itself. `verifier` is how much of the workers' seconds
they ran candidates; `host` is the processor's share that this process took, one core being 1. The
search always goes on to the end of its budget. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.repair import RESULTS
from diffufix.config import load_settings
from diffufix.decode.aside import AsideContext
from diffufix.propose.candidates import EditTarget, PatchSet
from diffufix.propose.edits import pieces
from diffufix.propose.edits.beside import Beside
from diffufix.repair import loop, search
from diffufix.repair.jury import Jury
from diffufix.repair.record import Record
from diffufix.types import Verdict
from diffufix.verify import ValidatorPool, pool
from diffufix.verify.worker import Worker

BUGS = ("mistune-4", "pyflakes-5", "pycparser-3")


@dataclass
class Clocks:
    """Exclusive seconds by name, of the thread that searches; `busy` are the workers'."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, list[float]] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _at: float = 0.0
    _main: int = field(default_factory=threading.get_ident)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._at
        self._at = now
        self._open.append(name)
        try:
            yield
        finally:
            now = time.perf_counter()
            self.seconds[self._open.pop()] += now - self._at
            self._at = now
            self.calls[name] += 1

    def around(self, owner: Any, method: str, name: str) -> Callable[[], None]:
        """Measure the calls of a function while the search runs; what undoes it."""
        real = getattr(owner, method)

        def timed(*args: Any, **kinds: Any) -> Any:
            if threading.get_ident() != self._main:
                began = time.perf_counter()
                try:
                    return real(*args, **kinds)
                finally:
                    self.busy[name] += time.perf_counter() - began
            if not self._open and name != "search":
                return real(*args, **kinds)
            with self.measure(name):
                return real(*args, **kinds)

        setattr(owner, method, timed)
        return lambda: setattr(owner, method, real)

    def listen(self) -> Callable[[], None]:
        """Note what verdicts took, by state; what undoes it."""
        real = Record.verdict

        def noted(record: Record, candidate: int, verdict: Verdict, stage: str) -> None:
            if stage == "screen":
                self.verdicts.setdefault(str(verdict.state), []).append(verdict.seconds)
            real(record, candidate, verdict, stage)

        Record.verdict = noted  # type: ignore
        return lambda: setattr(Record, "verdict", real)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bugs", type=Path)
    parser.add_argument("--only", default=",".join(BUGS))
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--venvs", type=Path)
    parser.add_argument("--out", help="name of the files in bench/results")
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:split])
    os.environ["DIFFUFIX_TRUST"] = "1"
    runner = runner_of(args.bugs)
    wanted = args.only.split(",")
    rows = []
    for bug in map(json.loads, (args.bugs / "bugs.jsonl").open()):
        if bug["id"] in wanted or bug["project"] in wanted:
            rows.append(row_of(bug, runner, args, words[split + 1 :]))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if args.out:
        write(args.out, rows)
    print(json.dumps({"bugs": rows}))


def runner_of(folder: Path) -> Any:
    """The bugs' own `run.py`, as a module."""
    path = next(p for p in (folder / "run.py", folder.parent / "run.py") if p.is_file())
    spec = importlib.util.spec_from_file_location("real_bugs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_bugs"] = module
    spec.loader.exec_module(module)
    return module


def row_of(
    bug: dict[str, Any], runner: Any, args: argparse.Namespace, options: list[str]
) -> dict[str, Any]:
    venvs = args.venvs or args.bugs / ".." / ".venvs"
    python = runner.venv_of(bug["requirements"], venvs, sys.executable)
    with tempfile.TemporaryDirectory() as scratch:
        tree = runner.unpack(args.bugs, bug, Path(scratch) / "tree")
        paths = [str(tree / p) for p in bug["pythonpath"] if p not in (".", "src")]
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        overrides = {
            "budget": args.budget, "python": str(python), "sandbox": "local", "collect": False,
            "model": "mini", "all": True,
        }  # fmt: skip
        deselected = [x for test in bug["deselect"] for x in ("--deselect", test)]
        settings = load_settings(tree, (*bug["tests"], *deselected, *options), overrides)
        clocks = Clocks()
        undo = [clocks.listen()]
        for owner, method, name in places():
            undo.append(clocks.around(owner, method, name))
        cpu, began, load = time.process_time(), time.monotonic(), os.getloadavg()[0]
        try:
            result = loop.repair(settings, lambda event: None)
        finally:
            for each in reversed(undo):
                each()
        spent, seconds = time.process_time() - cpu, time.monotonic() - began
    searched = sum(clocks.seconds.values()) or 1e-9
    workers = settings.workers or os.cpu_count() or 1
    longest = sorted(clocks.seconds.items(), key=lambda item: -item[1])
    shares = {name: value / searched for name, value in longest}
    return {
        "id": bug["id"], "load": round(load, 1), "seconds": round(seconds, 1),
        "searched": round(searched, 1), "tried": result.tried,
        "a second": round(result.tried / searched, 1), "generated": result.generated,
        "verifier": round(clocks.busy["verifier"] / (workers * searched), 3),
        "requests": round(clocks.busy["requests"] / (workers * searched), 3),
        "host": round(spent / seconds, 2), "phases": result.phases,
        "shares": {name: round(value, 3) for name, value in shares.items()},
        "verdicts": {
            state: {"count": len(own), "median s": round(statistics.median(own), 3),
                    "all s": round(sum(own), 1)}
            for state, own in clocks.verdicts.items()
        },
        "trust": clocks.calls["trust"],
    }  # fmt: skip


def places() -> list[tuple[Any, str, str]]:
    """What is measured: owner, function, name."""
    import diffufix.decode.best_first as best_first
    import diffufix.propose.appended as appended

    return [
        (search.Search, "step", "search"),
        (search.Search, "_fill", "proposals"),
        (appended, "logits", "model: fills"),
        (AsideContext, "__init__", "model: contexts"),
        (pieces, "listed", "known edits: listing"),
        (pieces, "make_pool", "known edits: listing"),
        (pieces.Piece, "__init__", "known edits: ranking"),
        (best_first.BestFirst, "__next__", "best-first search"),
        (appended, "window", "windows"),
        (EditTarget, "change", "candidates: parsing"),
        (PatchSet, "files", "candidates: parsing"),
        (Record, "proposal", "log"),
        (Record, "verdict", "log"),
        (ValidatorPool, "submit", "submitting"),
        (search.Search, "_take", "waiting"),
        (Beside, "hear", "hearing"),
        (Jury, "judge", "trust"),
        (Worker, "ask", "verifier"),
        (pool.ValidatorPool, "_request", "requests"),
    ]


def write(name: str, rows: list[dict[str, Any]]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    names = list(dict.fromkeys(n for row in rows for n in row["shares"]))
    keys = ("a second", "tried", "searched", "verifier", "host", "load")
    lines = [f"# {name}", "", f"| | {' | '.join(row['id'] for row in rows)} |"]
    lines.append("|" + "---|" * (len(rows) + 1))
    lines += [f"| {key} | " + " | ".join(str(row[key]) for row in rows) + " |" for key in keys]
    for each in names:
        shares = (f"{100 * row['shares'].get(each, 0.0):.1f} %" for row in rows)
        lines.append(f"| {each} | " + " | ".join(shares) + " |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
