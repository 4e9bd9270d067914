"""A member of a larger project: the parent's settings and fixtures, the member's own folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from diffufix.config import load_settings
from diffufix.sandbox import LocalSandbox
from diffufix.testing import copy_project, find_interpreter, run_tests
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool

FILES = {
    "pyproject.toml": '[tool.pytest.ini_options]\nmarkers = ["slow: takes long"]',
    "conftest.py": "import pytest\n@pytest.fixture\ndef limit():\n    return 50\n",
    "libs/core/pyproject.toml": '[project]\nname = "core"\nversion = "1"',
    "libs/core/src/core/__init__.py": "",
    "libs/core/src/core/marks.py": "def good(score):\n    return score > 50\n",
    "libs/core/tests/data.txt": "50",
    "libs/core/tests/test_marks.py": """
        import pytest
        from core.marks import good

        def test_limit(limit):
            assert good(limit)

        @pytest.mark.slow
        def test_data():
            assert good(int(open("tests/data.txt").read()) + 1)
        """,
}
LIMIT, DATA = (f"libs/core/tests/test_marks.py::{name}" for name in ("test_limit", "test_data"))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    root = tmp_path / "mono"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    return root


def test_it_is_run_where_the_user_stands(top: Path) -> None:
    settings = load_settings(top / "libs" / "core", ("tests",), environ={})
    run = run_tests(
        settings.root, settings.pytest_args, python=Path(sys.executable), folder=settings.folder
    )
    assert {case.id: case.outcome for case in run.cases} == {LIMIT: "failed", DATA: "passed"}
    scratch = Path(tempfile.mkdtemp(dir=top.parent))

    def factory() -> LocalSandbox:
        return LocalSandbox(copy_project(top, scratch / "tree"), python=sys.executable)

    with ValidatorPool(
        factory, python=sys.executable, args=settings.pytest_args, root=top, failing=[LIMIT],
        expected={case.id: case.outcome for case in run.cases}, folder=settings.folder, workers=1,
    ) as screen:  # fmt: skip
        right = {"libs/core/src/core/marks.py": "def good(score):\n    return score >= 50\n"}
        screen.submit(Candidate(right), [LIMIT, DATA])
        ((_, verdict),) = screen.results(None)
    assert verdict.state is State.PASS, verdict


def test_the_environment_of_a_workspace_is_found(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    (top / "pyproject.toml").write_text("[tool.uv.workspace]\nmembers = ['libs/*']")
    subprocess.run(["git", "init", "-q"], cwd=top, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", top / ".venv"], check=True)
    site = next((top / ".venv").glob("lib/python*/site-packages"))
    (site / "base.pth").write_text("\n".join(path for path in sys.path if path))
    settings = load_settings(top / "libs" / "core", environ={})
    assert settings.root == top / "libs" / "core"
    assert find_interpreter(settings.root) == top / ".venv" / "bin" / "python"
    shutil.rmtree(top / ".git")
    assert find_interpreter(settings.root) != top / ".venv" / "bin" / "python"
