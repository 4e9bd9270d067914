"""Proposals of engines: what is asked, what is cut off, and turns between models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from diffufix.engines.types import EngineFill, EngineStopped, FillRequest, Spending
from diffufix.propose.candidates import EditTarget
from diffufix.propose.peers import PeerSupply, committee, trimmed
from diffufix.propose.proposals import FailureContext, Proposal
from diffufix.types import Hole, Kind, SuspiciousFunction

SOURCE = """\
import math


def area(width, height):
    if width < 0:
        raise ValueError(width)
    return width + height


def other():
    return area(1, 2)
"""
STORY = FailureContext(
    "test_area.py::test_area", "def test_area():\n    assert area(2, 3) == 6\n",
    ">   assert area(2, 3) == 6\nE   assert 5 == 6", "assert 5 == 6",
)  # fmt: skip


class Scripted:
    """An `Engine` that answers by a function."""

    name, note, at_once, room, spending = "scripted", "", 2, 2000, Spending()

    def __init__(self, answer) -> None:
        self.answer, self.asked = answer, list[FillRequest]()

    def fill(self, request: FillRequest) -> list[EngineFill]:
        self.asked.append(request)
        return self.answer(request)

    def close(self) -> None:
        pass


def target() -> EditTarget:
    lines = {5: 0.1, 6: 0.1, 7: 1.0}
    return EditTarget(SuspiciousFunction("area.py", "area", 4, 7, 1.0, lines), SOURCE)


def first(proposals: Iterator[Proposal], count: int) -> list[Proposal]:
    return [proposal for proposal, _ in zip(proposals, range(count), strict=False)]


def test_the_prompt_shows_the_failure_and_both_sides() -> None:
    engine = Scripted(lambda request: [EngineFill("width * height", -2.0, 3)])
    peer = PeerSupply(engine, [target()], STORY)
    proposals = first(committee(None, [peer], time.monotonic() + 20), 3)
    peer.close()
    asked = engine.asked[0]
    assert "assert area(2, 3) == 6" in asked.left
    assert "assert 5 == 6" in asked.left
    assert "def other():" in asked.right
    assert asked.temperature == 0.2
    assert {p.subject.suspect.qualname for p in proposals} == {"area"}
    assert all(p.fill.logp == -2.0 for p in proposals)


def test_what_an_engine_says_is_its_likelihood_decides_the_order() -> None:
    likely = {"width": -9.0, "height": -0.5}
    together = threading.Barrier(2, timeout=20)

    def answer(request: FillRequest) -> list[EngineFill]:
        if len(engine.asked) > 2:
            raise EngineStopped("enough")
        together.wait()
        return [EngineFill(text, logp, 1) for text, logp in likely.items()]

    engine = Scripted(answer)
    warned: list[str] = []
    peer = PeerSupply(engine, [target()], STORY, warn=warned.append)
    while peer._running:
        time.sleep(0.01)
        peer._take()
    found = list(committee(None, [peer]))
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert warned == ["enough"]
    assert peer.over


def test_a_slow_engine_holds_nobody_up_and_ends_with_the_time() -> None:
    held = threading.Event()

    def answer(request: FillRequest) -> list[EngineFill]:
        held.wait(30)
        raise EngineStopped("too late")

    peer = PeerSupply(Scripted(answer), [target()], STORY)
    own = first(committee(None, [PeerSupply(Scripted(lambda r: [EngineFill("1")]), [target()],
                                            STORY)], time.monotonic() + 20), 4)  # fmt: skip
    began = time.monotonic()
    assert len(list(committee(iter(own), [peer], began + 0.3))) == 4
    assert time.monotonic() - began < 10
    held.set()
    peer.close()


def test_an_engine_that_fails_is_said_once_and_the_others_go_on() -> None:
    def broken(request: FillRequest) -> list[EngineFill]:
        raise RuntimeError("no luck")

    warned: list[str] = []
    peer = PeerSupply(Scripted(broken), [target()], STORY, warn=warned.append)
    good = PeerSupply(Scripted(lambda r: [EngineFill("0")]), [target()], STORY)
    assert len(first(committee(None, [peer, good], time.monotonic() + 20), 5)) == 5
    good.close()
    assert set(warned) == {"scripted failed: RuntimeError: no luck"}


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        (Kind.EXPRESSION, "width * height", "width * height"),
        (
            Kind.STATEMENT,
            "return width * height\n\n\ndef other():\n    pass\n",
            "return width * height",
        ),
        (Kind.STATEMENT, "x = 1\n    return x\n", "x = 1\n    return x\n"),
        (Kind.STATEMENT, "return 2\n```\nSo it is", "return 2"),
        (Kind.STATEMENT, "return 2\n        deep", "return 2\n        deep"),
    ],
)
def test_what_cannot_stand_in_the_hole_is_cut(kind: Kind, text: str, kept: str) -> None:
    start = SOURCE.index("return width")
    hole = Hole(start, SOURCE.index("\n", start), kind)
    assert trimmed(SOURCE, hole, text).rstrip() == kept.rstrip()


def test_the_rest_of_the_line_is_not_written_twice() -> None:
    start = SOURCE.index("width < 0")
    hole = Hole(start, start + len("width"), Kind.EXPRESSION)
    assert trimmed(SOURCE, hole, "height < 0:") == "height"


def test_a_hole_that_gives_nothing_new_is_left_alone() -> None:
    engine = Scripted(lambda request: [EngineFill("1"), EngineFill("1")])
    peer = PeerSupply(engine, [target()], STORY)
    found = list(committee(None, [peer], time.monotonic() + 60))
    holes = len({(p.hole.start, p.hole.end) for p in found})
    assert len(found) == holes  # one text each
    assert peer.over
    assert len(engine.asked) <= 6 * holes + 4 * engine.at_once
