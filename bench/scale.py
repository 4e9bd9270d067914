"""How verification grows with workers on a Ray cluster, and what the driver can feed at most.

    python bench/scale.py [--workers 1 2 4] [--candidates 150] [--null 3000] [--out bench/results]

Breaks one function of a small project and tries mutants of it: through local workers and through
a Ray cluster of this machine, `--workers` of them in turn. Then through workers that answer at once
without running anything, in this process (`null`) and on the cluster (`null_ray`): what is left is
the work of preparing and judging. Then through actors that answer at once (`driver`): what is left
is the driver's own. Counts the bytes there and back as they are pickled. The table goes to stderr,
the last line of stdout is one JSON object. Touches temporary folders and `--out`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.verify import BUGS, broken_project, mutants
from diffufix.cluster import Cluster
from diffufix.cluster.actor import Answer, Asked, Host
from diffufix.cluster.nodes import Nodes
from diffufix.cluster.shard import Shard
from diffufix.sandbox import Capabilities, LocalSandbox
from diffufix.testing import fresh_copy, run_tests
from diffufix.types import RED, Candidate, State, Verdict
from diffufix.verify import ValidatorPool
from diffufix.verify.worker import Worker

NULLS = 4  # workers that do nothing
DEEP = 32  # candidates queued for each of them, as self-play queues
PLACE = Capabilities("null", True, True, True, True)


def report(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a server says of a candidate that fails its first test."""
    message = "AssertionError: assert [4, 3, 3] == [4, 4, 2]" + " " * 60
    return {
        "ready": True, "ended": True, "clean": True, "status": 0, "way": "swap", "places": 1,
        "outcomes": [["failed", message]], "sentinel": "failed", "over": [0.0, 0.0],
    }  # fmt: skip


class NullHost(Host):
    """An actor that answers at once, without a pool."""

    def start(self) -> Answer:
        return frozenset(self._options["expected"]), None

    def exchange(self, jobs: Sequence[Asked]) -> Answer:
        verdict = Verdict(State.FAIL, {"test": "failed"}, 0.0, " " * 100)
        return [(token, verdict) for token, *_ in jobs], None


class NullWorker(Worker):
    """A worker that answers at once."""

    def start(self) -> None:
        self.ready = {"ids": list(self._setup.ids)}
        self._sandbox: Any = self
        self.tree, self.capabilities = str(self.root), PLACE

    restart = start

    def alive(self) -> bool:
        return True

    def _discard(self) -> None:
        self._sandbox = None

    def ask(self, request: Mapping[str, Any], until: float | None = None) -> dict[str, Any]:
        return report(request)

    def read_file(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


class Project:
    """The broken project, its baseline, and mutants of the broken function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = broken_project(folder, BUGS[0])
        run = run_tests(self.root, [], python=Path(sys.executable))
        self.expected = {case.id: case.outcome for case in run.cases}
        self.seconds = {case.id: case.seconds for case in run.cases}
        self.failing = [test for test, outcome in self.expected.items() if outcome in RED]
        self.tests = self.failing + [t for t in self.expected if t not in self.failing]
        text = (self.root / BUGS[0][0]).read_text()
        self.samples: list[float] = []
        self.mutants = [Candidate({BUGS[0][0]: m}) for m in mutants(text, BUGS[0][1])]
        random.Random(0).shuffle(self.mutants)

    def tree(self) -> Path:
        return fresh_copy(self.root, self.folder)

    def screen(self, workers: int, cluster: Cluster | None = None, **more: Any) -> ValidatorPool:
        make = partial(LocalSandbox, python=sys.executable)
        options: dict[str, Any] = {
            "python": sys.executable, "args": [], "root": self.root, "expected": self.expected,
            "failing": self.failing, "seconds": self.seconds, "workers": workers, "env": {}, **more,
        }  # fmt: skip
        if cluster is not None:
            return cluster.screen(self.tree(), make, **options)
        return ValidatorPool(lambda: make(self.tree()), **options)

    def drive(self, screen: ValidatorPool, count: int) -> dict[str, float]:
        """`count` candidates, mutants over and over; seconds of the worker each, and the rate."""
        waiting = [self.mutants[n % len(self.mutants)] for n in range(count)]
        seconds: list[float] = []
        began, spent = time.monotonic(), sum(os.times()[:2])
        while waiting or screen.pending:
            while waiting and screen.capacity:
                screen.submit(waiting.pop(), self.tests)
            seconds += [verdict.seconds for _, verdict in screen.results(None)]
        took = time.monotonic() - began
        own = sum(os.times()[:2]) - spent
        self.samples = [round(1000 * each, 2) for each in seconds]
        return {
            "per_second": round(count / took, 1),
            "driver_ms": round(1000 * own / count, 3),
            "service_ms": round(1000 * statistics.mean(seconds), 2),
            "service_median_ms": round(1000 * statistics.median(seconds), 2),
        }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"local": {}, "ray": {}, "parallel": {}}
    alone = parallel(1)
    with tempfile.TemporaryDirectory(prefix="diffufix-bench-") as folder, weighed() as sizes:
        project = Project(Path(folder).resolve())
        for count in options.workers:
            with project.screen(count) as screen:
                project.drive(screen, 10)
                found["local"][count] = project.drive(screen, options.candidates)
                found.setdefault("service_samples_ms", project.samples)
            found["parallel"][count] = round(parallel(count) / alone, 2)
            show(f"local, {count} workers", found["local"][count])
        with Cluster(cores=max(*options.workers, NULLS)) as cluster:
            for count in options.workers:
                with project.screen(count, cluster) as screen:
                    project.drive(screen, 10)
                    found["ray"][count] = project.drive(screen, options.candidates)
                show(f"Ray, {count} workers", found["ray"][count])
            found["snapshot_bytes"] = cluster.sent
            found["bytes_there"], found["bytes_back"] = (
                round(sum(way) / sizes["candidates"]) for way in (sizes["there"], sizes["back"])
            )
            with project.screen(1, hire=NullWorker) as screen:
                found["null"] = project.drive(screen, options.null)
            show("null workers in the driver's process", found["null"])
            with project.screen(NULLS, cluster, hire=NullWorker) as screen:
                project.drive(screen, 50)
                found["null_ray"] = project.drive(screen, options.null)
            show(f"{NULLS} null workers by Ray", found["null_ray"])
            cluster.nodes = Nodes(NullHost)
            with project.screen(NULLS, cluster, depth=DEEP) as screen:
                project.drive(screen, 50)
                found["driver"] = project.drive(screen, options.null)
            show("the driver alone: actors that answer at once", found["driver"])
    return found | machine()


@contextlib.contextmanager
def weighed() -> Iterator[dict[str, Any]]:
    """Bytes of what goes to the actors and comes back, as they are pickled; with null workers no
    more is counted than without."""
    sizes: dict[str, Any] = {"there": [], "back": [], "candidates": 0}
    exchange = Shard.exchange

    def noted(self: Shard, jobs: Sequence[Any]) -> list[Any]:
        answer = exchange(self, jobs)
        if sizes["candidates"] < 500:
            sizes["there"].append(len(pickle.dumps(jobs)))
            sizes["back"].append(len(pickle.dumps(answer)))
            sizes["candidates"] += len(jobs)
        return answer

    Shard.exchange = noted  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        Shard.exchange = exchange  # type: ignore[method-assign]


def parallel(count: int, seconds: float = 2.0) -> float:
    """Rounds a second of `count` processes together that only count."""
    code = (
        f"import time; n, end = 0, time.monotonic() + {seconds}\n"
        "while time.monotonic() < end: n += sum(range(2000)) > 0\n"
        "print(n)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(count)
    ]
    return sum(int(each.communicate()[0]) for each in running) / seconds


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(), "load": [round(n, 1) for n in os.getloadavg()],
        "python": platform.python_version(),
    }  # fmt: skip


def show(name: str, row: Mapping[str, float]) -> None:
    print(f"{name:40} {'  '.join(f'{k} {v}' for k, v in row.items())}", file=sys.stderr)


def lines(found: Mapping[str, Any]) -> Sequence[str]:
    """The results as Markdown."""
    rows = [f"| {name}, {count} | {row['per_second']} | {row['service_ms']} |"
            for name in ("local", "ray") for count, row in found[name].items()]  # fmt: skip
    rows += [f"| {name} | {found[name]['per_second']} | {found[name]['service_ms']} |"
             for name in ("null", "null_ray", "driver")]  # fmt: skip
    plain = {
        k: v for k, v in found.items() if isinstance(v, (int, str)) or k in ("load", "parallel")
    }
    others = [f"- {key}: {value}" for key, value in plain.items()]
    return [
        "# Candidates verified per second on a cluster", "", "Made by `bench/scale.py`.", "",
        "| workers | candidates a second | ms of a worker each |", "|---|---|---|", *rows, "",
        *others,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--candidates", type=int, default=150)
    parser.add_argument("--null", type=int, default=3000)
    parser.add_argument("--out", type=Path, help="folder for scale.json and scale.md")
    options = parser.parse_args()
    found = measure(options)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scale.json").write_text(json.dumps(found, indent=2) + "\n")
        (options.out / "scale.md").write_text("\n".join(lines(found)) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
