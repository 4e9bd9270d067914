"""What tests read of the user's environment is told, and goes where candidates are tried."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from diffufix.errors import UsageError
from diffufix.sandbox import LocalSandbox
from diffufix.testing import copy_project, run_tests
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool
from diffufix.workspace.surroundings import (
    choose_surroundings,
    is_secret,
    named_variables,
    unpassed,
)

CODE = """
import os

SCALE = int(os.environ["MARKS_SCALE"])


def good(score):
    return score > SCALE // 2
"""
TESTS = """
import os
import subprocess
import sys
from pathlib import Path
from marks import good

def test_limit():
    everything = {**os.environ}
    assert os.getenv("MARKS_MISSING") is None
    assert good(50)

def test_home():
    assert (Path.home() / ".marks" / "config").read_text() == "50"
    assert good(51)

def test_token():
    assert os.environ.get("MARKS_TOKEN", "") != "x"
"""


def test_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, root = tmp_path / "home", tmp_path / "project"
    (home / ".marks").mkdir(parents=True)
    (home / ".marks" / "config").write_text("50")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id").write_text("key")
    root.mkdir()
    (root / "marks.py").write_text(CODE)
    (root / "test_marks.py").write_text(TESTS)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MARKS_SCALE", "100")
    monkeypatch.setenv("MARKS_TOKEN", "secret")
    monkeypatch.setenv("MARKS_UNREAD", "1")
    run = run_tests(root, [], python=Path(sys.executable))
    assert [case.outcome for case in run.cases] == ["failed", "passed", "passed"]
    assert {"MARKS_SCALE", "MARKS_TOKEN"} <= {*run.variables}
    assert "MARKS_UNREAD" not in run.variables
    around = choose_surroundings(run, {})
    assert around.variables["MARKS_SCALE"] == "100"
    assert "MARKS_TOKEN" in around.kept_back
    assert not {"MARKS_TOKEN", "HOME", "PATH"} & {*around.variables}
    assert {*around.files} == {".marks/config"}
    named = named_variables("MARKS_TOKEN,")
    assert choose_surroundings(run, named).variables["MARKS_TOKEN"] == "secret"
    scratch = Path(tempfile.mkdtemp(dir=tmp_path))

    def factory() -> LocalSandbox:
        tree = copy_project(root, Path(tempfile.mkdtemp(dir=scratch)) / "tree")
        return LocalSandbox(tree, python=sys.executable, home=around.files)

    ids = [case.id for case in run.cases]
    with ValidatorPool(
        factory, python=sys.executable, args=[], root=root, failing=ids[:1], workers=1,
        expected={case.id: case.outcome for case in run.cases}, env=around.variables,
    ) as screen:  # fmt: skip
        for _ in range(2):
            screen.submit(Candidate({"marks.py": CODE.replace(">", ">=")}), ids)
            ((_, verdict),) = screen.results(None)
            assert verdict.state is State.PASS, verdict


def test_what_a_test_asks_for_in_vain_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where the user's variables are not."""
    asks = "import os\n\n\ndef test_a():\n    assert int(os.environ['MARKS_SCALE'])\n\n\n"
    asks += "def test_b():\n    assert os.environ.get('MARKS_OTHER', '')\n\n\n"
    asks += "def test_c():\n    assert not os.environ.get('MARKS_UNNEEDED')\n"
    (tmp_path / "test_marks.py").write_text(asks)
    run = run_tests(tmp_path, [], python=Path(sys.executable))
    assert [case.outcome for case in run.cases] == ["failed", "failed", "passed"]
    for name in ("MARKS_SCALE", "MARKS_OTHER", "MARKS_UNNEEDED", "MARKS_UNASKED"):
        monkeypatch.setenv(name, "1")
    assert {*unpassed(run, {})} == {"MARKS_SCALE", "MARKS_OTHER"}
    assert unpassed(run, {"MARKS_SCALE": "1"}) == ("MARKS_OTHER",)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("GITHUB_TOKEN", "x", True),
        ("DB_PASSWORD", "x", True),
        ("AWS_REGION", "eu", True),
        ("SIGNING_KEY", "x", True),
        ("DATABASE_URL", "postgres://me:pw@host/db", True),
        ("DATABASE_URL", "sqlite:///x.db", False),
        ("MARKS_SCALE", "100", False),
        ("CI", "true", False),
    ],
)
def test_secrets_are_told_by_name_and_value(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) == secret


def test_a_named_variable_must_be_set() -> None:
    with pytest.raises(UsageError, match="MARKS_NOT_SET"):
        named_variables("MARKS_NOT_SET")
