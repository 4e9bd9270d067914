"""Thousands of candidates through one screen, some of them hostile: does anything leak or err?

    python bench/soak.py [--sandbox docker --image IMAGE] [--count 20000] [--hostile 0.05]
                         [--workers 2] [--state soak.json] [--seconds S]

Right and wrong candidates and the hostile ones of `tests/attacks` in random order; the verdict on
every honest one is known. Looks every 200 candidates at processes, open descriptors and memory of
this process and of the sandboxes. Progress goes to stderr; the last line of stdout is one JSON
object. With --state it goes on where it was stopped. Touches `build/` and the sandboxes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from diffufix.sandbox import Sandbox
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool
from tests.attacks.arena import TESTS, Arena, arena, descendants, local, processes
from tests.attacks.every import ATTACKS

ROOT = Path(__file__).resolve().parent.parent
LOOK = 200  # candidates between two looks
#: These stop a server for good; each costs seconds of silence and says nothing about leaks.
SLOW = {"stop_the_server", "hang_stopped", "disk_small_files", "daemon_that_hops"}


def jobs(place: Arena, seed: int, hostile: float) -> Iterator[tuple[str, Candidate, State | None]]:
    """(name, candidate, the state it must get or None: any but a pass), without end."""
    attacks = [attack for attack in ATTACKS if attack.name not in SLOW]
    rng = random.Random(seed)
    while True:
        number = rng.randrange(10**9)
        if rng.random() < hostile:
            attack = rng.choice(attacks)
            yield attack.name, place.candidate(attack), None
        elif number % 2:
            right = place.body(f"x = {number}\nreturn sum(prices) * count")
            yield "right", right, State.PASS
        else:
            yield "wrong", place.body(f"return sum(prices) * count - {number or 1}"), State.FAIL


def memory_of(pids: list[int]) -> int:
    """KiB resident, shared pages counted once per process that has them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total


def look(screen: ValidatorPool, done: int) -> dict[str, int]:
    """What is in use; call it while nothing is pending."""
    inside = processes(screen)
    mine = [os.getpid()]
    return {
        "done": done,
        "processes": len(inside),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "kib": memory_of(mine),
        "sandbox_kib": memory_of([int(pid) for pid in inside]),
        "children": len(descendants(os.getpid())),
    }


def soak(place: Arena, options: argparse.Namespace, state: dict) -> dict:  # type: ignore[type-arg]
    source = jobs(place, state["done"], options.hostile)
    wrong: list[str] = state["wrong"]
    states: Counter[str] = Counter(state["states"])
    began, until = time.monotonic(), time.monotonic() + options.seconds
    with place.screen(workers=options.workers) as screen:
        waiting: dict[int, tuple[str, State | None]] = {}
        while state["done"] < options.count and time.monotonic() < until:
            batch = min(LOOK, options.count - state["done"])
            left = batch
            while left or screen.pending:
                while left and screen.capacity:
                    name, candidate, expected = next(source)
                    waiting[screen.submit(candidate, TESTS)] = name, expected
                    left -= 1
                for token, verdict in screen.results(None):
                    name, expected = waiting.pop(token)
                    states[verdict.state.value] += 1
                    right = verdict.state is expected or (expected is None and not verdict.passed)
                    if not right:
                        wrong.append(f"{name}: {verdict.state} {verdict.detail}")
            state["done"] += batch
            state["looks"].append(look(screen, state["done"]))
            state["seconds"] += time.monotonic() - began
            began = time.monotonic()
            print(json.dumps(state["looks"][-1]), len(wrong), "wrong", file=sys.stderr)
            state["states"] = dict(states)
            if options.state:
                options.state.write_text(json.dumps(state))
    return state


def summary(state: dict, options: argparse.Namespace) -> dict[str, object]:  # type: ignore[type-arg]
    looks = state["looks"]
    first, last = looks[min(1, len(looks) - 1)], looks[-1]
    growth = {key: last[key] - first[key] for key in last if key != "done"}
    return {
        "sandbox": options.sandbox,
        "candidates": state["done"],
        "hostile": options.hostile,
        "per_second": round(state["done"] / max(state["seconds"], 1e-9), 1),
        "wrong": state["wrong"],
        "states": state["states"],
        "growth": growth,
        "last": last,
        "leaks": growth["processes"] > 0 or growth["descriptors"] > 8 or growth["kib"] > 65536,
        "workers": options.workers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sandbox", choices=("local", "docker"), default="docker")
    parser.add_argument("--image", default="diffufix-test-base:bookworm")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--state", type=Path, help="where to keep how far it is, and go on from")
    options = parser.parse_args()
    state = {"done": 0, "seconds": 0.0, "wrong": [], "states": {}, "looks": []}
    if options.state and options.state.exists():
        state = json.loads(options.state.read_text())
    make: Callable[[Path], Sandbox] = local
    python = sys.executable
    if options.sandbox == "docker":
        from diffufix.sandbox.docker import DockerSandbox

        make = partial(DockerSandbox, image=options.image)
        python = "python3"
    with arena(options.sandbox, make, python, ROOT / "build") as place:
        soak(place, options, state)
    print(json.dumps(summary(state, options)))


if __name__ == "__main__":
    main()
