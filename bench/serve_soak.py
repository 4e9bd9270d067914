"""Thousands of candidates through `diffufix serve`, some hostile, while the server is restarted.

    python bench/serve_soak.py [--count 100000] [--seconds S] [--clients 8] [--hostile 0.05]
                               [--workers 2] [--out bench/results]

Clients in threads of their own ask a server in a process of its own over a socket; the verdict on
every honest candidate is known, and a hostile one must not pass. At a third of the way the server
gets SIGTERM, at two thirds SIGKILL, and is started again on its port. Progress goes to stderr and
the result so far to `--out`, the last line of stdout is one JSON object. Touches `build/`, the
sandboxes and `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.soak import jobs
from diffufix.errors import DiffufixError
from diffufix.serve.client import VerifyClient
from diffufix.serve.protocol import VerifyRequest
from diffufix.types import Candidate, State
from tests.attacks.arena import TESTS, Arena, arena, local
from tests.support.served import Served

ROOT = Path(__file__).resolve().parent.parent
RESTARTS = ((1 / 3, signal.SIGTERM), (2 / 3, signal.SIGKILL))
EVERY = 10.0  # seconds between two lines of progress


@dataclass
class Soaked:
    """What came of it; for several threads."""

    asked: int = 0
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of each answer
    hostile: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> int:
        return sum(self.states.values())


def ask(
    client: VerifyClient, project: str, source: Iterator[tuple[str, Candidate, State | None]],
    soaked: Soaked, more: threading.Event, count: int,
) -> None:  # fmt: skip
    """One client: takes the next candidate until there are no more."""
    while True:
        with soaked.lock:
            if soaked.asked >= count or not more.is_set():
                return
            soaked.asked += 1
            name, candidate, expected = next(source)
            soaked.hostile += expected is None
        began = time.monotonic()
        try:
            verdict = client.verify(VerifyRequest(project, candidate.files, TESTS)).verdict
        except DiffufixError as error:
            with soaked.lock:
                soaked.lost.append(f"{name}: {error.message}")
            continue
        right = verdict.state is expected or (expected is None and not verdict.passed)
        with soaked.lock:
            soaked.states[verdict.state.value] += 1
            soaked.seconds.append(time.monotonic() - began)
            if not right:
                soaked.wrong.append(f"{name}: {verdict.state} {verdict.detail}")


def soak(
    place: Arena, start: Callable[[int], Served], options: argparse.Namespace,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:  # fmt: skip
    """The result; `keep` hears of it on the way."""
    soaked, more, source = Soaked(), threading.Event(), jobs(place, 0, options.hostile)
    more.set()
    before, server = place.outside(), start(0)
    clients = [server.client() for _ in range(options.clients)]
    projects = [client.add(place.root) for client in clients]
    sent = sum(client.tries for client in clients)
    began = time.monotonic()
    threads = [
        threading.Thread(target=ask, args=(one, project, source, soaked, more, options.count))
        for one, project in zip(clients, projects, strict=True)
    ]
    for thread in threads:
        thread.start()
    due, shown = list(RESTARTS), began
    down: list[dict[str, float]] = []

    def result() -> dict[str, Any]:
        with soaked.lock:
            found = summary(soaked, time.monotonic() - began, options)
        tries = sum(client.tries for client in clients)
        return found | {
            "tries_again": tries - sent - found["candidates"],
            "restarts": down,
            "outside_untouched": place.outside() == before,
            "ended": not any(thread.is_alive() for thread in threads),
        }

    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        elapsed = time.monotonic() - began
        progress = max(soaked.asked / options.count, elapsed / options.seconds)
        if due and progress >= due[0][0]:
            number = due.pop(0)[1]
            gone = time.monotonic()
            server.end(number)
            server = start(server.port)
            down.append({number.name: round(time.monotonic() - gone, 2)})
        if elapsed > options.seconds:
            more.clear()
        if time.monotonic() - shown > EVERY:
            shown = time.monotonic()
            said = (
                f"{soaked.answered:,} answered, {len(soaked.wrong)} wrong, {len(soaked.lost)} lost"
            )
            print(f"{elapsed:.0f} s: {said}", file=sys.stderr, flush=True)
            keep(result())
    whole = result()
    for client in clients:
        client.close()
    server.end()
    return whole


def summary(soaked: Soaked, took: float, options: argparse.Namespace) -> dict[str, Any]:
    rate = soaked.answered / took
    ranked = statistics.quantiles(soaked.seconds, n=100) if len(soaked.seconds) > 1 else [0.0] * 99
    return {
        "candidates": soaked.asked,
        "hostile": soaked.hostile,
        "answered": soaked.answered,
        "wrong": soaked.wrong,
        "lost": soaked.lost,
        "states": dict(soaked.states),
        "seconds": round(took, 1),
        "per_second": round(rate, 1),
        "hours_for_100000_at_this_rate": round(100_000 / rate / 3600, 2) if rate else None,
        "median_seconds": round(ranked[49], 3),
        "p99_seconds": round(ranked[98], 3),
        "clients": options.clients,
        "workers": options.workers,
        "cores": os.cpu_count(),
        "sandbox": "local",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="ask none after these")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for serve-soak.json")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)  # the server is this checkout
    with (
        arena("serve", local, sys.executable, ROOT / "build") as place,
        tempfile.TemporaryDirectory() as folder,
    ):
        wanted = ("--workers", str(options.workers))

        def keep(result: dict[str, Any]) -> None:
            if options.out:
                (options.out / "serve-soak.json").write_text(json.dumps(result, indent=2) + "\n")

        result = soak(place, lambda port: Served(Path(folder), *wanted, port=port), options, keep)
        keep(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
