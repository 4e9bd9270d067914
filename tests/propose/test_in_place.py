"""Holes of large models compete: by how much likelier a fill is than what stands there."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice

import pytest

from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.in_place import AGAIN, SAMPLES, _Sampled, in_place
from diffufix.propose.proposals import FailureContext
from diffufix.types import Canvas, Commit, Fill, Hole, Kind, SuspiciousFunction
from tests.support.checkpoints import make_dream_checkpoint

SOURCE = "def f(a, b):\n    c = a - b\n    return c\n"
STORY = FailureContext("test_f.py::test_f", "def test_f():\n    assert f(1, 2) == 3\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(make_dream_checkpoint(tmp_path_factory.mktemp("model"), scale=0.3))


def target() -> EditTarget:
    return EditTarget(SuspiciousFunction("f.py", "f", 1, 3, 1.0, {2: 1.0, 3: 0.5}), SOURCE)


def test_all_holes_are_sampled_and_some_again_sooner(model: LoadedModel) -> None:
    subject = target()
    found = list(islice(in_place(model, [subject], STORY, 0, None), 60))
    assert len({(p.hole, p.text) for p in found}) == len(found)  # nothing is proposed twice
    assert not any(p.text == SOURCE[p.hole.start : p.hole.end] for p in found)
    assert all(math.isfinite(p.score) for p in found)
    first = [p.hole for p in found[: 2 * SAMPLES]]
    assert all(SOURCE[hole.start : hole.end] != "return c" for hole in first)
    turns = Counter(p.hole for p in found)
    assert len(turns) > 3


def test_a_seed_gives_the_same_proposals(model: LoadedModel) -> None:
    texts = [
        [p.text for p in islice(in_place(model, [target()], STORY, 3, None), 10)] for _ in range(2)
    ]
    assert texts[0] == texts[1]


def test_the_ratio_is_against_what_stands_there() -> None:
    hole = Hole(0, 3, Kind.EXPRESSION)
    sampled = _Sampled(target(), hole, 0.0, Canvas((1,), (2,), (5, 6)), intact=-4.0)
    trace = (Commit(0, 0, 7, -0.5), Commit(1, 1, 8, -0.5))
    assert sampled.ratio(Fill((7, 8), (-0.5, -0.5), (0, 1), -1.0, 2, trace)) == 1.5
    assert AGAIN > 0
