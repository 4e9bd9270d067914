"""How fast the log of groups is with a million completions in it.

    python bench/log.py                     # 125,000 groups of 8, in a folder that is removed
    python bench/log.py --groups 10000 --folder /some/where

Groups are made up, of the sizes that self-play on a package gives: 2,000 tasks (mutants of 40
files of 30 KB), canvases of 6 to 30 tokens, two draws of a coupled estimator (three masks each)
for every group with signal. Writes one line for each step: seconds by the clock, seconds of this
process's processor time (which a busy machine does not stretch), what was done.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.store import Store
from diffufix.store.overview import prune, summary
from diffufix.store.trajectories import read_groups
from diffufix.types import Completion, Group, Noise, Prompt, Task

SIZE, TASKS, FILES, VERSIONS = 8, 2000, 40, 50
START = 1_700_000_000.0


@dataclass(frozen=True)
class Made:
    """A task with its prompt; `noise` stands for all draws of its groups."""

    task: Task
    prompt: Prompt
    noise: tuple[Noise, Noise]


def source(rng: random.Random) -> str:
    names = [f"value_{rng.randrange(10**6)}" for _ in range(60)]
    lines: list[str] = []
    while sum(map(len, lines)) < 30_000:
        a, b, c = rng.sample(names, 3)
        lines.append(f"def {a}({b}, {c}):\n    return {b} * {rng.randrange(100)} + {c}\n\n\n")
    return "".join(lines)


def noise(rng: random.Random, width: int) -> Noise:
    t = rng.uniform(0.2, 0.8)
    inside = tuple(rng.random() < t for _ in range(width))
    masks = ((True,) * width, inside, tuple(not m for m in inside))
    weights = (0.5, 0.5 / t, 0.5 / (1 - t))
    return Noise(
        masks,
        tuple(tuple(w if m else 0.0 for m in mask) for mask, w in zip(masks, weights, strict=True)),
    )


def tasks(rng: random.Random) -> list[Made]:
    files = [source(rng) for _ in range(FILES)]
    made = []
    for i in range(TASKS):
        text = files[i % FILES]
        at = rng.randrange(len(text) - 20)
        left, right, original = (
            tuple(rng.randrange(8000) for _ in range(n)) for n in (150, 120, rng.randint(4, 28))
        )
        width = len(original) + 2
        prompt = Prompt(left, right, original, width)
        names = tuple(f"tests/test_{i % FILES}.py::test_{n}" for n in range(12))
        task = Task(
            f"{i:032x}", f"package/module_{i % FILES}.py", f"function_{i}",
            text[:at] + "broken" + text[at + 6 :], at, at + 6, "statement", "mutant", names, True,
            text[at : at + 6], names[:2],
        )  # fmt: skip
        made.append(Made(task, prompt, (noise(rng, width), noise(rng, width))))
    return made


def groups(count: int) -> Iterator[Group]:
    rng = random.Random(0)
    made = tasks(rng)
    behaviours: dict[int, list[tuple[float, ...]]] = {
        width: [tuple(-rng.expovariate(1.0) for _ in range(width)) for _ in range(64)]
        for width in {one.prompt.width for one in made}
    }
    for i in range(count):
        one = made[rng.randrange(TASKS)]
        width = one.prompt.width
        signal = rng.random() < 0.5
        done = []
        for _ in range(SIZE):
            passed = signal and rng.random() < 0.4
            ids = tuple(rng.randrange(8000) for _ in range(width))
            done.append(
                Completion(
                    ids, f"value_{ids[0]} * {ids[1]} + other", "pass" if passed else "fail",
                    1.2 if passed else 0.1,
                    {"tests": float(passed), "static": 1.0, "size": 0.8 * passed, "honest": 0.0},
                    one.noise if signal else (),
                    tuple(rng.choices(behaviours[width], k=2)) if signal else (),
                    rng.random(), width, tuple(range(width)),
                )
            )  # fmt: skip
        yield Group(
            one.task, one.prompt, tuple(done), f"{i * VERSIONS // count:032x}", "coupled",
            {"temperature": 1.0, "top_p": None, "alg": "entropy", "tokens_per_step": 1},
            START + i,
        )  # fmt: skip


class Watch:
    """Seconds by the clock and of the processor, over one stretch or several."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0

    def __enter__(self) -> None:
        self.clock -= time.perf_counter()
        self.processor -= time.process_time()

    def __exit__(self, *_: object) -> None:
        self.processor += time.process_time()
        self.clock += time.perf_counter()

    def line(self, what: str) -> str:
        return f"{self.clock:9.3f} s {self.processor:9.3f} s  {what}"


def timed(what: str, work: Callable[[], str]) -> None:
    watch = Watch()
    with watch:
        found = work()
    print(watch.line(f"{what}: {found}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--groups", type=int, default=125_000)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, Store.open(Path(folder)) as store:
        measure(store, args.groups)


def measure(store: Store, count: int) -> None:
    watch = Watch()
    for group in groups(count):
        with watch:
            store.add_group(None, group)
    with watch:
        store.flush()
    rate = f"{count * SIZE / watch.processor:,.0f} completions/s of processor time"
    print(watch.line(f"write {count:,} groups of {SIZE}: {rate}"), flush=True)
    assert not store.warning, store.warning

    def shown() -> str:
        found = summary(store)
        each = found.size / found.completions
        return f"{found.completions:,} completions, {found.size / 2**20:,.0f} MB, {each:.0f} B each"

    since = START + 0.99 * count
    timed("diffufix rewards (summary)", shown)
    timed("the newest 512 groups with signal", lambda: _count(store, with_signal=True, limit=512))
    timed(
        "the newest 512 of one model version",
        lambda: _count(store, model=f"{VERSIONS - 2:032x}", with_signal=True, limit=512),
    )
    timed("all groups of one task", lambda: _count(store, task=f"{7:032x}"))
    timed("groups of the last hundredth of the time", lambda: _count(store, since=since))
    timed(
        "two newest of every task, with signal", lambda: _count(store, per_task=2, with_signal=True)
    )
    timed("every group", lambda: _count(store))
    timed("remove the older half, vacuum", lambda: _pruned(store, count // 2))


def _count(store: Store, **filters: Any) -> str:
    return f"{sum(1 for _ in read_groups(store, **filters)):,} groups"


def _pruned(store: Store, keep: int) -> str:
    done = prune(store, keep=keep)
    return f"{done.groups:,} groups, {done.before / 2**20:,.0f} -> {done.after / 2**20:,.0f} MB"


if __name__ == "__main__":
    main()
