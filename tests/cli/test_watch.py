"""Watching: what has changed since, once it rests; only what has just gone red is searched for."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix.cli import main, watch
from diffufix.config import Settings
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


def test_only_what_has_just_gone_red(project: Path, search, capsys, monkeypatch) -> None:
    red = iter([("t.py::old",), ("t.py::old", "test_m.py::test_one")])
    monkeypatch.setattr(watch, "_red", lambda settings: next(red))
    monkeypatch.setattr(watch, "changes", lambda root: iter(["m.py"]))
    calls: list[Settings] = search(repaired)
    assert main(["watch", "--once", "--budget", "5"]) == 0
    out, err = capsys.readouterr()
    assert [call.pytest_args for call in calls] == [("--deselect", "t.py::old")]
    assert "1 fail already and are left alone" in err
    assert "`diffufix apply 1` writes the patch" in out
    assert (project / "m.py").read_text() == BROKEN


@pytest.mark.slow
def test_red_is_seen_in_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text(
        "def test_a():\n    assert 0\n\n\ndef test_b():\n    pass\n"
    )
    assert watch._red(Settings(tmp_path, sandbox="local")) == ("test_m.py::test_a",)
