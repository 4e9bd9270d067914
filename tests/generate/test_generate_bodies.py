"""What a body may be, how drafts share the time, and how it is sampled block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffufix.config import Settings
from diffufix.decode.blockwise import blockwise
from diffufix.decode.canvas import inline_canvas
from diffufix.errors import UsageError
from diffufix.generate.appended import lexicon
from diffufix.generate.bodies import Bodies
from diffufix.generate.body import Body, Draft
from diffufix.generate.choose import choose
from diffufix.generate.in_place import end_of_body
from diffufix.generate.job import GenerateJob
from diffufix.model import load_model
from diffufix.propose.candidates import PatchSet
from diffufix.propose.proposals import Proposal
from diffufix.types import Fill, Hole, State, Verdict
from tests.support.checkpoints import make_dream_checkpoint

SOURCE = '''LIMIT = 3


class Box:
    def sizes(self, items: list[str], least: int = 0) -> list[int]:
        """How long each is."""
        raise NotImplementedError

    def empty(self) -> bool:
        ...
'''


@pytest.fixture
def job(tmp_path: Path) -> GenerateJob:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "box.py").write_text(SOURCE)
    return GenerateJob(Settings(tmp_path), choose(tmp_path, tmp_path, ["box.py"], True))


@pytest.fixture
def body(job: GenerateJob) -> Body:
    return job.tasks[0].body


def test_a_body_replaces_the_stub_and_nothing_else(job: GenerateJob, body: Body) -> None:
    change = body.change(body.hole, "return [len(i) for i in items if len(i) >= least]")
    assert change is not None
    files = PatchSet(dict(job.base)).files(*job.complete([change]))
    assert files is not None
    stub = "raise NotImplementedError"
    assert files["box.py"] == SOURCE.replace(stub, change.text)


@pytest.mark.parametrize(
    ("proposed", "written"),
    [
        ("return (items[:least])", "return items[:least]"),
        ("return([items, least])", "return [items, least]"),
        ("least += 1\n        return (items, least)", "least += 1\n        return items, least"),
        ("return (items)[:least]", "return (items)[:least]"),
        ("return (items) + (least)", "return (items) + (least)"),
        ("return (items +\n            least)", "return (items +\n            least)"),
        ("return (yield items, least)", "return (yield items, least)"),
    ],
)
def test_what_is_returned_stands_without_parentheses(
    tmp_path: Path, proposed: str, written: str
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "box.py").write_text("def sizes(items, least):\n        ...\n")
    job = GenerateJob(Settings(tmp_path), choose(tmp_path, tmp_path, ["box.py"], True))
    body = job.tasks[0].body
    change = body.change(body.hole, proposed)
    assert change is not None
    assert change.text == written


@pytest.mark.parametrize(
    "text",
    [
        "return (", "pass", "...", "raise NotImplementedError", "return []",  # still a stub
        "items.sort()", "yield items", "return unknown(items)", "return items\n\ndef f(): pass",
    ],
)  # fmt: skip
def test_what_is_no_body(body: Body, text: str) -> None:
    assert body.change(body.hole, text) is None


def test_the_same_body_comes_once(body: Body) -> None:
    assert body.change(body.hole, "return items") is not None
    assert body.change(body.hole, "return  items") is None


def test_a_draft_changes_the_body(body: Body) -> None:
    text = "found = []\n        for item in items:\n            found.append(item)"
    draft = Draft(body, text + "\n        return found")
    assert draft.base is body
    assert draft.branches
    assert all(draft.begin <= hole.start <= hole.end <= draft.stop for hole in draft.holes())
    hole = next(h for h in draft.holes() if draft.source[h.start : h.end] == "item"
                and draft.source[h.start - 1] == "(")  # fmt: skip
    change = draft.change(hole, "len(item)")
    assert change is not None
    assert (change.start, change.end) == (body.hole.start, body.hole.end)
    assert "found.append(len(item))\n        return found" in change.text
    old, new = body.edited(change)
    assert "raise" in old
    assert "len(item)" in new


def fill(body: Body, text: str, score: float = 0.0) -> Proposal:
    return Proposal(body, body.hole, text, Fill((), (), (), score, 1), score)


def test_the_best_failures_become_drafts(body: Body) -> None:
    mended: list[str] = []

    def mend(draft: Draft) -> Iterator[Proposal]:
        mended.append(draft.text)
        while True:
            yield Proposal(
                draft, Hole(draft.begin, draft.stop, body.hole.kind), "x", fill(body, "").fill, 0
            )

    whole = iter([fill(body, f"return items[{i}:]") for i in range(50)])
    bodies = Bodies(body, whole, mend)
    outcomes = [{"a": "failed"}, {"a": "passed", "b": "failed"}, {"a": "failed"}]
    for i, outcome in enumerate(outcomes):
        verdict = Verdict(State.FAIL, outcome, 0.1, "a: AssertionError: expected")
        bodies.hear(fill(body, f"return items[{i}:]"), verdict)
    bodies.hear(fill(body, "return ("), Verdict(State.ERROR, {}, 0.1, "SyntaxError"))
    taken = [next(bodies) for _ in range(40)]
    assert sorted(mended) == [f"return items[{i}:]" for i in range(3)]
    whole_again = sum(p.subject is body for p in taken)
    best = sum(getattr(p.subject, "text", "") == "return items[1:]" for p in taken)
    assert 5 < whole_again < 20
    assert best > (40 - whole_again) / 3
    assert {p.subject.text for p in taken if isinstance(p.subject, Draft)} == set(mended)


def test_where_a_body_ends() -> None:
    assert end_of_body("x = 1\n    return x", "    ") is None
    assert end_of_body("x = 1\n    return x\n\ndef g():", "    ") == 18
    assert end_of_body("return x\n```", "    ") == 8
    assert {"items", "len", "append", "for", "LIMIT"} <= lexicon(SOURCE)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    return load_model(make_dream_checkpoint(tmp_path_factory.mktemp("m") / "tiny"), device="cpu")


def test_blocks_grow_until_the_end(tiny) -> None:
    canvas = inline_canvas(tiny, "def f(x):\n    ", "\n\ndef g():\n    pass\n")
    lengths: list[int] = []

    def ended(ids):
        return 13 if len(ids) >= 16 else None

    fills = blockwise(
        tiny, canvas, 2, ended, block=8, ahead=4, max_tokens=40, temperature=0.5,
        generator=torch.Generator().manual_seed(0), hook=lambda step, rows: lengths.append(
            max(map(len, rows))),
    )  # fmt: skip
    assert max(lengths) == 16
    for each in fills:
        assert len(each.ids) <= 13
        assert len(each.ids) == len(each.logps) == len(each.order)
        assert tiny.family.mask not in each.ids

    def go_on():
        generator = torch.Generator().manual_seed(0)
        return blockwise(
            tiny, canvas, 1, lambda ids: None, block=8, max_tokens=20, generator=generator
        )

    (endless,) = go_on()
    assert len(endless.ids) <= 20
    assert tiny.family.eos not in endless.ids
    assert go_on() == [endless]


def test_blocks_are_for_inline_families() -> None:
    model = load_model("mini", device="cpu")
    from diffufix.types import Canvas

    with pytest.raises(UsageError, match="beside its context"):
        blockwise(model, Canvas((1,), ()), 1, lambda ids: None)
