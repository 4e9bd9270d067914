from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.support.runs import Make


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a project: make({path: text}) -> its root."""

    def write(files: dict[str, str]) -> Path:
        root = tmp_path / "project"
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(text), encoding="utf-8")
        return root

    return write
