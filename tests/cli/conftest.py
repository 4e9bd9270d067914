"""A project with one fault, and searches that end as a test wants."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import diffufix.repair
from diffufix import events
from diffufix.config import Settings
from diffufix.repair.types import RepairResult
from tests.support.finished import BROKEN


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "m.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch):
    """Let `repair` end in a given way; returns the settings it was called with."""
    calls: list[Settings] = []

    def use(outcome) -> list[Settings]:
        def repair(
            settings: Settings, listener: events.Listener, began: float | None = None
        ) -> RepairResult:
            calls.append(settings)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome(settings, listener) if callable(outcome) else outcome

        module = ModuleType("diffufix.repair.loop")
        module.repair = repair  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "diffufix.repair.loop", module)
        monkeypatch.setattr(diffufix.repair, "loop", module, raising=False)
        return calls

    return use
