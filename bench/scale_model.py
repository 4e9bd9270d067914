"""What N machines give, by a simulation with measured service times; and how well it predicts here.

    python bench/scale_model.py [bench/results/scale.json] [--out bench/results]

Discrete events: one driver hands candidates out, one at a time, each to a worker that has none
waiting; a machine's workers share its cores equally. Service times are drawn from those that
`bench/scale.py` measured at one worker; nothing is fitted to its runs with more, which the
simulation then predicts. The table goes to stderr, the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
#: Candidates a second that one search with `mini` makes: 1,087 in 48 s of a busy machine
#: (`results/evaluate-real-bugs.md`).
PROPOSED = 23.0
SEARCHES = 15  # that keep the workers of one machine busy


@dataclass(frozen=True)
class Plant:
    """What is simulated. Times in seconds; `service` are samples of a worker's processor time."""

    service: Sequence[float]
    driver: float  # of the driver's processor for a candidate
    wire: float = 0.0  # there and back, without a processor
    machines: int = 1
    workers: int = 1  # of each machine
    cores: float = 1.0  # of each machine, for its workers; less than one is a busy machine
    drivers: int = 1  # searches that run beside each other, each with a driver of its own
    feed: float = float("inf")  # candidates a second that one search makes


@dataclass(frozen=True)
class Flow:
    """What comes of it: candidates a second, and the share of the time that each part works."""

    rate: float
    workers: float
    drivers: float
    feed: float

    @property
    def saturated(self) -> str:
        """The part that works most of its time."""
        shares = {"workers": self.workers, "driver": self.drivers, "proposals": self.feed}
        return max(shares, key=lambda name: shares[name])


@dataclass
class _Machine:
    """Processor sharing: all that runs here gets the same share of the cores."""

    cores: float
    speed: float = 1.0
    now: float = 0.0
    left: dict[int, float] = field(default_factory=dict)  # worker -> seconds of work
    stamp: int = 0  # of the latest change: events of earlier ones are void

    def advance(self, now: float) -> None:
        for worker in self.left:
            self.left[worker] -= (now - self.now) * self.speed
        self.now = now

    def next_end(self) -> tuple[float, int]:
        self.speed = min(1.0, self.cores / len(self.left))
        worker = min(self.left, key=lambda each: self.left[each])
        return self.now + max(0.0, self.left[worker]) / self.speed, worker


def simulate(plant: Plant, count: int = 4000, seed: int = 0) -> Flow:
    """`count` candidates through the plant, after a tenth as many to fill it."""
    rng = random.Random(seed)
    machines = [_Machine(plant.cores) for _ in range(plant.machines)]
    idle = [(n % plant.machines, n) for n in range(plant.machines * plant.workers)]
    events: list[tuple[float, int, int, int, int]] = []  # time, order, machine, worker, stamp
    order = itertools.count()
    drivers = [0.0] * plant.drivers  # when each is free
    fed = [0.0] * plant.drivers  # when each has its next candidate
    heapq.heapify(drivers)
    heapq.heapify(fed)
    warm, done, busy, began, now = max(1, count // 10), 0, 0.0, 0.0, 0.0

    def schedule(index: int) -> None:
        machine = machines[index]
        machine.stamp += 1
        if machine.left:
            at, worker = machine.next_end()
            heapq.heappush(events, (at, next(order), index, worker, machine.stamp))

    def hand_out(index: int, worker: int) -> None:
        """From now on, as soon as a driver and a candidate are free."""
        ready = max(now, heapq.heappop(fed))
        heapq.heappush(fed, ready + 1 / plant.feed)
        start = max(ready, heapq.heappop(drivers)) + plant.driver
        heapq.heappush(drivers, start)
        heapq.heappush(events, (start + plant.wire, next(order), index, worker, 0))

    for index, worker in idle:
        hand_out(index, worker)
    while done < warm + count:
        now, _, index, worker, stamp = heapq.heappop(events)
        machine = machines[index]
        if stamp == 0:  # it arrives
            machine.advance(now)
            machine.left[worker] = rng.choice(plant.service)
            busy += machine.left[worker] if done >= warm else 0.0
            schedule(index)
        elif stamp == machine.stamp:  # it ends
            machine.advance(now)
            del machine.left[worker]
            done += 1
            began = now if done == warm else began
            schedule(index)
            hand_out(index, worker)
    took = now - began
    rate = count / took
    power = plant.machines * min(plant.cores, plant.workers)
    return Flow(
        rate, min(1.0, busy / took / power), min(1.0, rate * plant.driver / plant.drivers),
        min(1.0, rate / plant.feed / plant.drivers),
    )  # fmt: skip


def plant_of(found: Mapping[str, Any], cores: float) -> Plant:
    """As `bench/scale.py` measured it: local workers, the driver in the same process."""
    service = [each / 1000 for each in found["service_samples_ms"]]
    return Plant(service, found["null"]["driver_ms"] / 1000, cores=cores)


def predicted(found: Mapping[str, Any]) -> Iterator[tuple[str, int, float, float]]:
    """(kind, workers, measured, predicted) of every run with real workers.

    A machine's cores for k workers are how many times as much k processes that only count got done
    as one of them, each measured beside the run: the service times hold the share of one."""
    for kind in ("local", "ray"):
        for key, row in found[kind].items():
            cores = found["parallel"][key] / found["parallel"]["1"]
            plant = replace(plant_of(found, cores), workers=int(key))
            if kind == "ray":
                plant = replace(plant, driver=found["driver"]["driver_ms"] / 1000)
            yield kind, int(key), row["per_second"], round(simulate(plant).rate, 1)


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What 1, 10 and 1,000 machines of 16 cores give, with one driver or one for each search."""
    base = replace(
        plant_of(found, 16.0),
        driver=found["driver"]["driver_ms"] / 1000,
        wire=0.001,
        workers=16,
    )
    rows = []
    for machines in (1, 10, 1000):
        for drivers, feed in dict.fromkeys(
            [
                (1, float("inf")),
                (1, PROPOSED),
                (machines, PROPOSED),
                (SEARCHES * machines, PROPOSED),
            ]
        ):
            plant = replace(base, machines=machines, drivers=drivers, feed=feed)
            flow = simulate(plant, count=min(30_000, 3000 * machines))
            rows.append(
                {
                    "machines": machines, "searches": drivers,
                    "proposals_per_second": None if feed == float("inf") else feed * drivers,
                    "per_second": round(flow.rate, 1), "saturated": flow.saturated,
                    "workers_busy": round(flow.workers, 3), "driver_busy": round(flow.drivers, 3),
                }
            )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, nargs="?", default=RESULTS / "scale.json")
    parser.add_argument("--out", type=Path, help="folder for scale-model.json")
    options = parser.parse_args()
    found = json.loads(options.measured.read_text())
    checks = []
    for kind, workers, measured, said in predicted(found):
        off = said / measured - 1
        checks.append({"kind": kind, "workers": workers, "measured": measured, "predicted": said})
        print(f"{kind:6} {workers} workers: measured {measured:6.1f}/s, predicted {said:6.1f}/s "
              f"({off:+.0%})", file=sys.stderr)  # fmt: skip
    rows = table(found)
    for row in rows:
        print(row, file=sys.stderr)
    result = {"checks": checks, "machines": rows}
    if options.out:
        (options.out / "scale-model.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
