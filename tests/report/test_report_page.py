"""The page of a run: what it says, and that it stands alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.config import Settings
from diffufix.repair.record import pieces
from diffufix.report.page import page, ticked
from diffufix.report.page.chart import COLUMNS, chart_of
from diffufix.report.page.denoising import denoising_of
from diffufix.store import Store
from diffufix.store.query import TriedRow, page_of
from diffufix.types import State, SuspiciousFunction, TestCase, Verdict

SOURCE = "import os\n\n\ndef f(x):\n    # <b>bold</b>\n    return x + 1\n"
DIFF = (
    "--- a/a.py\n+++ b/a.py\n@@ -4,3 +4,3 @@\n def f(x):\n     # <b>bold</b>\n"
    "-    return x + 1\n+    return x - 1\n"
)
START = SOURCE.index("x + 1")
SPAN = [START, START + 5, "x - 1"]
VOID = {"meta", "link", "br"}


def offer(number: int, **values: object) -> dict[str, object]:
    return {
        "number": number, "probability": 0.9, "group": number, "confirmed": number == 1,
        "refused": "", "apart": "", "evidence": {"words": [f"words {number}"]}, "diff": DIFF,
        "edits": [{"path": "a.py", "digest": "", "spans": [SPAN]}], **values,
    }  # fmt: skip


SUMMARY = {
    "status": "repaired",
    "patch": {"files": ["a.py"], "diff": DIFF},
    "turned_green": ["test_a.py::test_<one>"],
    "claims": {
        "turned_green": ["test_a.py::test_<one>"],
        "passing_as_before": 3,
        "flaky": ["test_a.py::test_now_and_then"],
        "runs": ["own order, hash seed 0", "own order, hash seed 1"],
    },
    "probability": 0.9,
    "threshold": 0.8,
    "evidence": ["a.py: the tests reject 3 of 3 other edits of this statement"],
    "patches": [offer(1), offer(2, apart="they differ at `f(0)`: the first gives -1")],
    "phases": {"searching": 3.0},
    "hint": "Read it: `diffufix runs show 1`",
    "warnings": [],
}


@pytest.fixture
def logged(tmp_path: Path):
    """A store with one run, and its number."""
    with Store.open(tmp_path) as store:
        run = store.begin_run(Settings(root=tmp_path))
        store.add_failures(
            run,
            [TestCase("test_a.py::test_<one>", "failed", 0.1, "assert 2 == 0", "> assert\nE no")],
        )
        suspect = SuspiciousFunction("a.py", "f", 4, 6, 0.9, {5: 0.2, 6: 1.0}, "1 of 1 failing")
        store.add_suspects(run, [suspect], {"a.py": SOURCE})
        hole = store.add_hole(run, "a.py", "f", START, START + 5, "expression", 1.0, "x + 1")
        for text, state in (("x * 1", State.FAIL), ("x - 1", State.PASS)):
            fill = store.add_fill(hole, text, [1, 2, 3], [-0.1, -0.7, -0.2], order=[2, 0, 1])
            candidate = store.add_candidate(run, fill, text)
            store.add_verdict(candidate, Verdict(state))
            if state is State.PASS:
                store.add_pieces(fill, ["x", " -", " 1"])
        store.finish_run(run, "repaired", SUMMARY)
        yield store, run


class Reader(HTMLParser):
    """Elements are closed in order; the ids and the text are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_stands_alone(logged) -> None:
    html = page(*logged)
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    assert not reader.tags & {"script", "img", "link", "iframe"}
    assert len(reader.ids) == len(set(reader.ids))
    targets = re.findall(r'href="#([\w-]+)"', html)
    assert {*targets} <= {*reader.ids}
    assert "http" not in html.replace("http-equiv", "")
    assert "<b>" not in html  # of the source, of the ids
    assert "test_&lt;one&gt;" in html


def test_what_it_says(logged) -> None:
    html = page(*logged)
    for said in (
        "1 of 1 failing test passes with the patch.",
        "3 other tests pass as before.",
        "not the same in every run, so nothing is said of them",
        "the tests reject 3 of 3 other edits of this statement",
        "They differ at <code>f(0)</code>: the first gives -1",
        "Verdicts over 1 s: 1 pass, 1 fail. Candidates: 2 in f.",
        "Written not from left to right.",
        'class="heat-5"',
    ):
        assert said in html, said
    assert "1 broke" not in html


def test_older_logs_and_runs_without_anything_have_a_page(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run = store.begin_run(Settings(root=tmp_path))
        store.finish_run(run, "nothing-failing", {"message": "No test fails: nothing to repair."})
        html = page(store, run)
        assert "No test fails" in html
        assert "The search" not in html
        candidate = store.add_candidate(run, None, "k")
        store.add_verdict(candidate, Verdict(State.FAIL))
        store.flush()
        store.connection.execute("UPDATE verdicts SET at = NULL")
        assert page_of(store, run).tried[0].at is None
        assert "The search" not in page(store, run)


def test_the_chart_holds_every_verdict() -> None:
    states = ("fail", "error", "timeout", "suspicious", "pass")
    tried = [
        TriedRow(
            100.0 + n / 7, "screen", states[n % 5], "a.py", f"f{n % 14}", "expression", n, n, ""
        )
        for n in range(700)
    ]
    chart = chart_of(tried, [], 100.0)
    assert chart is not None
    assert sum(mark.count for mark in chart.marks) == 700
    assert sum(lane.tried for lane in chart.lanes) == 700
    assert len({bar.x for bar in chart.bars}) <= COLUMNS
    for bar in chart.bars:
        assert chart.left <= bar.x <= chart.right
        assert 0 <= bar.y <= bar.y + bar.height <= chart.top + 0.2
    assert all(chart.left <= mark.x <= chart.right + 1 for mark in chart.marks)
    assert chart.marks[-1].state == "pass"  # on top
    assert chart_of([], [], 0.0) is None


def test_the_denoising_goes_from_masks_to_text() -> None:
    row = TriedRow(
        1.0, "screen", "pass", "a.py", "f", "expression", 0, 5, "x - 1",
        ("x", " -", " 1"), (2, 0, 1), (-0.1, -0.7, 0.0),
    )  # fmt: skip
    found = denoising_of(row, "a.py:1 f", "x + 1")
    assert found is not None
    shown = ["".join(piece.text for piece in step.pieces) for step in found.steps]
    assert shown == ["▒▒▒", "▒ -▒", "▒ - 1", "x - 1"]
    assert [step.probability for step in found.steps] == pytest.approx(
        [None, 0.497, 1.0, 0.905], abs=1e-3
    )
    assert not found.left_to_right


def test_pieces_are_the_text() -> None:
    words = {1: "re", 2: "turn", 3: " é"}
    assert pieces(lambda ids: "".join(words[i] for i in ids), [1, 2, 3]) == ["re", "turn", " é"]


def test_backticks_become_code_and_nothing_else_becomes_html() -> None:
    assert ticked("see `a<b` & c") == "see <code>a&lt;b</code> &amp; c"


def test_runs_show_writes_the_page(
    logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "show", "1", "--html", "page.html"]) == 0
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")
    assert main(["runs", "show", "1", "--html", "nowhere/page.html"]) == 2
    assert main(["repair", "--report", "."]) == 2  # before anything is run
    assert "is a folder" in capsys.readouterr().err
