"""`find_interpreter`: whose pytest runs the tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from diffufix.errors import PrerequisiteError
from diffufix.testing import find_interpreter


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def fake(folder: Path, *, pytest: bool) -> Path:
    """An interpreter in `folder`/bin, with pytest or without."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    flags = "" if pytest else "-S -E"
    tell = f"sys.executable = {str(python)!r}; exec(sys.argv.pop(1))"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" {flags} -c "import sys; {tell}" "$2"\n')
    python.chmod(0o755)
    return python


def test_explicit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = fake(tmp_path / "env", pytest=True)
    assert find_interpreter(tmp_path, str(python)) == python
    assert find_interpreter(tmp_path, str(tmp_path / "env")) == python
    monkeypatch.setenv("PATH", str(python.parent) + os.pathsep + os.defpath)
    assert find_interpreter(tmp_path, "python") == python
    with pytest.raises(PrerequisiteError, match="no interpreter nothing"):
        find_interpreter(tmp_path, "nothing")


def test_explicit_without_pytest(tmp_path: Path) -> None:
    python = fake(tmp_path / "env", pytest=False)
    with pytest.raises(PrerequisiteError, match="no pytest") as caught:
        find_interpreter(tmp_path, str(python))
    assert f"{python} -m pip install pytest" in caught.value.hint


def test_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_interpreter(tmp_path) == Path(sys.executable)
    on_path = fake(tmp_path, pytest=True)
    assert find_interpreter(tmp_path) == on_path
    plain = fake(tmp_path / "venv", pytest=True)
    assert find_interpreter(tmp_path) == plain
    dotted = fake(tmp_path / ".venv", pytest=True)
    assert find_interpreter(tmp_path) == dotted
    active = fake(tmp_path / "active", pytest=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    assert find_interpreter(tmp_path) == active


def test_an_active_environment_without_pytest_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "active", pytest=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "active"))
    dotted = fake(tmp_path / ".venv", pytest=True)
    assert find_interpreter(tmp_path) == dotted


def test_the_projects_own_environment_without_pytest_is_an_error(tmp_path: Path) -> None:
    python = fake(tmp_path / ".venv", pytest=False)
    fake(tmp_path, pytest=True)
    with pytest.raises(PrerequisiteError, match="no pytest") as caught:
        find_interpreter(tmp_path)
    assert str(python) in caught.value.hint


def test_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(PrerequisiteError, match="No interpreter with pytest"):
        find_interpreter(tmp_path)
