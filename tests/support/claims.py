"""What a confirmation of the right edit says of the tests of a small project."""

from __future__ import annotations

import textwrap
from typing import Any

from diffufix.types import Candidate, Claims

APP = "def price(n):\n    return n + 1\n"
RIGHT = {"app.py": "def price(n):\n    return n\n"}
TARGET = "test_app.py::test_price"
HEAD = """\
import os, pytest, random
from pathlib import Path
from app import price

def test_price():
    assert price(2) == 2
"""


def claims_of(project: Any, files: dict[str, str] = RIGHT, **options: Any) -> Claims:
    targets = options.pop("targets", [TARGET])
    until = None if options.pop("every", False) else 0.0  # as few runs as there may be
    with project.confirmer(**options) as confirmer:
        confirmed = confirmer.confirm(Candidate(files), targets, until)
    assert confirmed.verdict.passed, confirmed.verdict
    assert confirmed.claims is not None
    return confirmed.claims


def make(make_project: Any, tests: str, **files: str) -> Any:
    named = {name.replace("__", "."): text for name, text in files.items()}
    return make_project({"app.py": APP, "test_app.py": HEAD + textwrap.dedent(tests), **named})


def names(ids: tuple[str, ...]) -> list[str]:
    return [id_.rpartition("::")[2] for id_ in ids]
