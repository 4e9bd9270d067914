"""What the user sees, against snapshots. DIFFUFIX_UPDATE_SNAPSHOTS=1 writes them anew."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix import events
from diffufix.repair.types import RepairResult, Status
from diffufix.report import jsondoc
from diffufix.report.live import LiveDisplay, PlainDisplay, display, fitted
from diffufix.report.terminal import write_diff, write_result
from diffufix.source.patch import make_patch
from diffufix.types import FAILED, PASSED, Claims, SuspiciousFunction, TestCase, TestRun

SNAPSHOTS = Path(__file__).parent / "snapshots"
OLD = "def fits(a, b):\n    return a >= b\n"
PATCH = make_patch({"pkg/m.py": OLD}, {"pkg/m.py": OLD.replace(">=", ">")})
SUSPECT = SuspiciousFunction(
    "pkg/m.py", "fits", 1, 2, 0.875, {2: 0.875}, "2 of 2 failing tests, 1 passing"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def same(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("DIFFUFIX_UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


RESULTS = {
    "repaired": RepairResult(
        Status.REPAIRED,
        patch=PATCH,
        turned_green=tuple(f"tests/test_m.py::test_fits[{n}]" for n in range(23)),
        claims=Claims(
            turned_green=tuple(f"tests/test_m.py::test_fits[{n}]" for n in range(23)),
            kept=tuple(f"tests/test_m.py::test_other[{n}]" for n in range(17)),
            runs=tuple(f"{order} order, hash seed 7" for order in ("own", "own", "reversed")),
        ),
        phases={"running the tests": 1.25, "searching": 10.0},
        alternatives=(PATCH.diff,),
        tried=1234,
        generated=5678,
        seconds=12.34,
        tests=40,
        suspects=(SUSPECT,),
        states={"fail": 1200, "timeout": 32, "pass": 2},
        model="mini",
        model_hash="0123456789abcdef",
        run_id=7,
    ),
    "in-part": RepairResult(
        Status.NOT_REPAIRED,
        patch=PATCH,
        applied=True,
        turned_green=("t.py::a",),
        still_red=("t.py::b",),
        claims=Claims(
            turned_green=("t.py::a",),
            kept=("t.py::c",),
            still_failing=("t.py::b",),
            flaky=("t.py::d",),
            skipped=("t.py::e", "t.py::f"),
            differs=("t.py::g",),
            not_run=("t.py::h",),
            runs=("own order, hash seed 0", "own order, hash seed 1"),
            dropped={"reversed": "t.py::c"},
        ),
        selected=("-k", "not slow"),
        deselected=("t.py::i",),
        message="Some failing tests were not repaired.",
        tests=2,
        tried=10,
        generated=10,
        seconds=60.0,
        model="mini",
        hint="More time may help: --budget 120.",
    ),
    "not-repaired": RepairResult(
        Status.NOT_REPAIRED,
        tests=2,
        still_red=("t.py::b",),
        suspects=(SUSPECT,),
        tried=999,
        generated=2000,
        seconds=60.0,
        states={"fail": 999},
        model="mini",
        hint="More time may help: --budget 120.",
    ),
    "nothing-failing": RepairResult(Status.NOTHING_FAILING, tests=1),
}


@pytest.mark.parametrize("name", RESULTS)
def test_result_as_text(name: str) -> None:
    out = io.StringIO()
    write_result(RESULTS[name], out)
    same(f"{name}.txt", out.getvalue())


@pytest.mark.parametrize("name", RESULTS)
def test_result_as_json(name: str) -> None:
    document = jsondoc.result_document(RESULTS[name]) | {"diffufix_version": "-"}
    text = jsondoc.dump(document)
    assert json.loads(text) == document
    same(f"{name}.json", text)


def test_diff_is_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain, quiet = Terminal(), io.StringIO(), Terminal()
    write_diff(PATCH.diff, coloured)
    write_diff(PATCH.diff, plain)
    monkeypatch.setenv("NO_COLOR", "1")
    write_diff(PATCH.diff, quiet)
    assert "\x1b[31m-    return a >\x1b[0m\x1b[1;31m=\x1b[0m" in coloured.getvalue()
    assert "\x1b[35mdef\x1b[0m fits" in coloured.getvalue()  # what stays is coloured as Python
    assert plain.getvalue() == PATCH.diff
    assert "\x1b[3" not in quiet.getvalue()
    assert "+    return a > b" in quiet.getvalue()


def test_diff_is_exact_without_a_terminal() -> None:
    patch = make_patch({"a.py": "\tx = 1\r\n\x0cy\r\n"}, {"a.py": "\tx = 2\r\n\x0cy\r\n"})
    out = io.StringIO(newline="")
    write_diff(patch.diff, out)
    assert out.getvalue() == patch.diff
    assert "\r\n" in out.getvalue()


def search() -> list[events.Event]:
    cases = (
        TestCase("t.py::a", FAILED, 0.1, "AssertionError: assert [1] == [2]"),
        TestCase("t.py::b", PASSED, 0.1),
    )
    return [
        events.Stage("running the tests"),
        events.TestsRan(TestRun(Path("/p"), (), cases, 1, 0.52)),
        events.Localized((SUSPECT,)),
        events.ModelLoaded("mini", 11_200_000, 0.4),
        events.HoleStarted(SUSPECT, 2, "expression", "a >= b"),
        events.CanvasStep("def fits(a, b):\n    return ", f"a {events.MASK} b", "\n\ndef g():\n"),
        events.Progress(120, 400, 60.0, 2.0),
        events.Progress(320, 900, 80.0, 6.0, "fixes 1 of 2"),
        events.Progress(330, 920, 80.0, 6.5, "fixes 1 of 2"),
        events.Found("pkg/m.py:2 a >= b -> a > b"),
        events.Confirming("pkg/m.py:2 a >= b -> a > b"),
        events.Warned("the log is not kept"),
        events.Finished(),
    ]


@pytest.mark.parametrize("verbose", [False, True])
def test_plain_lines(verbose: bool) -> None:
    err = io.StringIO()
    with PlainDisplay(err, verbose) as listener:
        for event in search():
            listener(event)
    same(f"plain-{'verbose' if verbose else 'short'}.txt", err.getvalue())


def test_live_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    live = LiveDisplay(io.StringIO(), budget=60.0, width=72)
    for event in search()[:9]:
        live(event)
    console = Console(file=io.StringIO(), width=72, record=True, color_system=None)
    console.print(live.picture(elapsed=15.0))
    same("live.txt", console.export_text())


def interrupted(live) -> None:
    with live as listener:
        assert isinstance(listener, LiveDisplay)
        for event in search():
            listener(event)
        raise KeyboardInterrupt


def test_live_display_cleans_up_after_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    err = Terminal()
    with pytest.raises(KeyboardInterrupt):
        interrupted(display(err, 60.0))
    assert "found: pkg/m.py:2 a >= b -> a > b" in err.getvalue()
    assert err.getvalue().rindex("\x1b[?25h") > err.getvalue().rindex("\x1b[?25l")  # the cursor


def test_a_milestone_does_not_paint_the_live_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    err = Terminal()
    with display(err, 60.0) as listener:
        for event in search():
            listener(event)
    rows = re.split(r"[\r\n]", err.getvalue())
    assert any("\x1b[1;32mfound" in row for row in rows)
    assert any("s left of 60 s" in row for row in rows)
    assert [row for row in rows if "s left of 60 s" in row and "32m" in row] == []


@pytest.mark.parametrize("term", ["dumb", ""])
def test_dumb_terminals_and_pipes_get_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    assert isinstance(display(Terminal(), 60.0), PlainDisplay)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display(io.StringIO(), 60.0), PlainDisplay)


def test_a_found_without_tests_is_not_shown() -> None:
    err = io.StringIO()
    PlainDisplay(err)(events.Found(""))
    assert err.getvalue() == ""


@pytest.mark.parametrize("width", [40, 80, 120])
def test_ids_and_names_are_never_cut(width: int) -> None:
    test = "tests/test_bump.py::test_should_bump_build[3.4.5-rc.1+build.9]"
    rows = fitted(f"  {test}  AssertionError: assert '3.4.5' == '3.4.6'", width)
    assert rows[0].strip().startswith(test)
    assert " ".join(" ".join(rows).split()).endswith("assert '3.4.5' == '3.4.6'")


def test_quiet_keeps_warnings() -> None:
    err = io.StringIO()
    with display(err, 60.0, quiet=True) as listener:
        for event in search():
            listener(event)
    assert err.getvalue() == "warning: the log is not kept\n"


def test_a_selection_is_not_called_the_whole_suite() -> None:
    err = io.StringIO()
    with display(err, 60.0, selected=True) as listener:
        for event in search():
            listener(event)
    assert "confirming over the selected tests: pkg/m.py:2" in err.getvalue()
    assert "whole suite" not in err.getvalue()


def test_a_part_for_which_little_speaks_is_not_called_repaired() -> None:
    part = RESULTS["in-part"]
    for chance, words in ((0.9, "Repaired in part: 1"), (0.2, "A part passes, but little speaks")):
        out = io.StringIO()
        write_result(replace(part, probability=chance, threshold=0.8), out)
        assert words in out.getvalue()
