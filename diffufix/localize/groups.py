"""Which failing tests share a fault: `groups`. Reads the project's sources, writes nothing.

One ranking over all failures buries a fault that only few of them show. Explained group by group,
each fault meets only its own tests.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from diffufix.localize.suspects import similarities
from diffufix.testing.testcode import TestCode, test_code
from diffufix.types import TestRun

_SUSPECTS = 30  # looked at for each test
_COMPETITIVE = 0.5  # a test joins a function that scores this share of its best one

_Key = tuple[str, str, int]


def groups(run: TestRun, *, root: Path, tests: TestCode | None = None) -> list[tuple[str, ...]]:
    """Ids of failing tests (and collection errors) in groups that one fault may explain.

    Greedy: the function that explains the most, each test seen alone and its scores squared so
    that what every test runs does not win, takes the tests that have no much better explanation;
    then the next. The clearest group comes first; tests that reach no code of the project come
    last, together. Every red id is in exactly one group. `run` is a run with coverage, `tests` the
    project's test code (None: looked up in `root`).
    """
    tests = test_code(root, run.ids) if tests is None else tests
    ids = [case.id for case in (*run.red, *run.collection_errors)]
    scores: dict[str, dict[_Key, float]] = {
        id: similarities(run, root=root, failing=[id], tests=tests, limit=_SUSPECTS) for id in ids
    }
    left = [id for id in ids if scores[id]]
    found: list[tuple[str, ...]] = []
    while left:
        totals: dict[_Key, float] = defaultdict(float)
        for id in left:
            for key, score in scores[id].items():
                totals[key] += score**2
        seed = max(totals, key=lambda key: (round(totals[key], 9), _runners(key, left, scores)))
        running = [id for id in left if seed in scores[id]]
        members = [
            id for id in running if scores[id][seed] >= _COMPETITIVE * max(scores[id].values())
        ] or running
        found.append(tuple(members))
        left = [id for id in left if id not in set(members)]
    unreached = tuple(id for id in ids if not scores[id])
    return [*found, unreached] if unreached else found


def _runners(key: _Key, left: list[str], scores: dict[str, dict[_Key, float]]) -> int:
    return sum(key in scores[id] for id in left)
