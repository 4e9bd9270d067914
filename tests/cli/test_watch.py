"""Watching: what has changed since, once it rests; only what has just gone red is searched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix.cli import main, watch
from diffufix.config import Settings
from diffufix.repair.types import RepairResult, Status
from diffufix.types import TestCase, TestRun
from tests.support.finished import BROKEN, repaired


def test_changes_are_told_once_they_rest(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / ".hidden.py").write_text("1")
    steps = iter([lambda: (tmp_path / ".hidden.py").write_text("22"),
                  lambda: (tmp_path / "a.py").write_text("22"),
                  lambda: (tmp_path / "b.py").write_text("3"),
                  lambda: None, lambda: None, lambda: (tmp_path / "b.py").unlink(),
                  lambda: None])  # fmt: skip
    found = watch.changes(tmp_path, sleep=lambda seconds: next(steps)())
    assert next(found) == "a.py and 1 more"
    assert next(found) == "b.py"


def ran(project: Path, red: str, green: str = "", broken: str = "") -> TestRun:
    """A run of `t.py`, with failing and passing tests of these names."""
    cases = [
        TestCase(f"t.py::{name}", outcome, 0.0)
        for outcome, names in (("failed", red), ("passed", green))
        for name in names.split()
    ]
    errors = tuple(TestCase(path, "error", 0.0) for path in broken.split())
    return TestRun(project, (), tuple(cases), 1, 0.1, collection_errors=errors)


@pytest.fixture
def watched(project: Path, search, monkeypatch):
    """Watch while the tests come out as told, None: they cannot be run; returns the searches."""

    def use(*runs: TestRun | None) -> list[tuple[str, ...]]:
        left = iter(runs)
        monkeypatch.setattr(watch, "_run", lambda settings: next(left))
        monkeypatch.setattr(watch, "changes", lambda root: iter(["m.py"] * (len(runs) - 1)))
        calls: list[Settings] = search(repaired)
        assert main(["watch", "--budget", "5"]) == 0
        return [call.pytest_args for call in calls]

    return use


def test_only_what_has_just_gone_red(project: Path, watched, capsys) -> None:
    calls = watched(ran(project, "old"), ran(project, "old test_one"))
    out, err = capsys.readouterr()
    assert calls == [("--deselect", "t.py::old")]
    assert "1 test fails already and is left alone" in err
    assert "`diffufix apply 1` writes the patch" in out
    assert (project / "m.py").read_text() == BROKEN


def test_a_test_whose_name_begins_like_an_old_one_is_not_left_out(project: Path, watched) -> None:
    assert watched(ran(project, "old"), ran(project, "old old_too")) == [()]


def test_what_was_not_run_is_not_said_to_pass(project: Path, watched, capsys) -> None:
    """Old failures stay old while a file cannot be read, or no test can be run at all."""
    old = ran(project, "old")
    assert watched(old, ran(project, "", broken="t.py"), None, old) == []
    err = capsys.readouterr().err
    assert "no longer" not in err
    assert "Cannot be collected: t.py" in err
    assert err.count("Nothing has gone red.") == 1


def test_the_first_run_that_can_be_made_says_what_is_old(project: Path, watched, capsys) -> None:
    assert watched(None, ran(project, "old"), ran(project, "", "old"), ran(project, "old")) == [()]
    err = capsys.readouterr().err
    assert "1 test fails and is left alone." in err
    assert "1 test no longer fails." in err


def test_an_interrupted_search_ends_the_watch(project: Path, search, monkeypatch, capsys) -> None:
    runs = iter([ran(project, ""), ran(project, "new")])
    monkeypatch.setattr(watch, "_run", lambda settings: next(runs))
    monkeypatch.setattr(watch, "changes", lambda root: iter(["m.py", "m.py"]))
    search(RepairResult(Status.INTERRUPTED))
    assert main(["watch"]) == 0
    assert "No longer watching." in capsys.readouterr().err


@pytest.mark.slow
def test_red_is_seen_in_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text(
        "def test_a():\n    assert 0\n\n\ndef test_b():\n    pass\n"
    )
    run = watch._run(Settings(tmp_path, sandbox="local"))
    assert run is not None
    assert [case.id for case in run.red] == ["test_m.py::test_a"]
