"""Settings: where each value comes from, and what an unknown one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffufix.config import Settings, load_settings
from diffufix.errors import UsageError
from diffufix.project import find_root


def project(root: Path, table: str = "") -> Path:
    (root / "pyproject.toml").write_text(f"[tool.diffufix]\n{table}\n")
    return root


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    project(tmp_path, 'budget = 10\nseed = 1\nmodel = "a"')
    env = {"DIFFUFIX_BUDGET": "20", "DIFFUFIX_SEED": "2"}
    settings = load_settings(tmp_path, (), {"budget": 30.0, "seed": None}, env)
    assert (settings.budget, settings.seed, settings.model) == (30.0, 2, "a")
    assert (settings.candidates, settings.sandbox) == (0, "auto")


@pytest.mark.parametrize(
    ("table", "says", "hint"),
    [
        ("budgt = 3", "budgt", "`budget`"),
        ('root = "/"', "root", "Did you mean"),
        ('budget = "soon"', "must be a number", "budget"),
        ("budget = true", "must be a number", "budget"),
        ("seed = 1.5", "must be a whole number", "seed"),
        ('apply = "maybe"', "must be true or false", "apply"),
        ("model = 3", "must be text", "model"),
        ('sandbox = "dokcer"', "cannot be 'dokcer'", "`docker`"),
        ("budget = 0", "above 0", ""),
        ("budget = inf", "above 0", ""),
        ("workers = -1", "at least 0", ""),
        ("budget = = 3", "cannot be read", ""),
    ],
)
def test_wrong_tables_are_explained(tmp_path: Path, table: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load_settings(project(tmp_path, table), environ={})
    assert hint in caught.value.hint


def test_wrong_environment_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DIFFUFIX_BUGDET") as caught:
        load_settings(tmp_path, environ={"DIFFUFIX_BUGDET": "3"})
    assert "`DIFFUFIX_BUDGET`" in caught.value.hint
    with pytest.raises(UsageError, match="DIFFUFIX_BUDGET must be a number"):
        load_settings(tmp_path, environ={"DIFFUFIX_BUDGET": "x"})


def test_empty_private_and_foreign_variables_are_no_settings(tmp_path: Path) -> None:
    env = {"DIFFUFIX_BUDGET": "", "DIFFUFIX_INTERNAL_X": "1", "DIFFUFIX": "1", "HOME": "/"}
    assert load_settings(tmp_path, environ=env) == Settings(root=tmp_path)


def test_text_is_parsed_as_the_kind_of_the_default(tmp_path: Path) -> None:
    env = {"DIFFUFIX_APPLY": "Yes", "DIFFUFIX_JSON": "0", "DIFFUFIX_SEED": "7"}
    settings = load_settings(project(tmp_path, "budget = 5"), environ=env)
    assert (settings.apply, settings.json, settings.seed, settings.budget) == (True, False, 7, 5.0)


def test_root_and_arguments_of_a_subfolder(tmp_path: Path) -> None:
    project(tmp_path)
    below = tmp_path / "tests" / "unit"
    below.mkdir(parents=True)
    (below / "test_a.py").touch()
    assert find_root(below) == tmp_path
    args = ("test_a.py::test_b", "-k", "b and c", "missing.py")
    assert load_settings(below, args, environ={}).pytest_args == (
        "tests/unit/test_a.py::test_b",
        "-k",
        "b and c",
        "missing.py",
    )
    assert load_settings(below, environ={}).pytest_args == ("tests/unit",)  # as pytest would
    assert load_settings(below, ("-q",), environ={}).pytest_args == ("-q", "tests/unit")
    assert load_settings(tmp_path, args, environ={}).pytest_args == args


@pytest.mark.parametrize(
    ("files", "root", "folder"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]", "lib/pyproject.toml": ""}, ".", "lib"),
        ({"pytest.ini": "", "lib/setup.py": ""}, ".", "lib"),
        ({"tox.ini": "[tox]", "lib/pyproject.toml": "[project]"}, "lib", ""),
        ({"setup.cfg": "[tool:pytest]", "lib/tox.ini": "[pytest]"}, "lib", ""),
        ({"pyproject.toml": "[project]", "lib/pyproject.toml": "[project]"}, "lib", ""),
        ({"pyproject.toml": "[tool.pytest]", "lib/pyproject.toml": "[project]"}, ".", "lib"),
        ({"pytest.ini": "", ".git/HEAD": "", "lib/setup.py": ""}, ".", "lib"),
        ({"../pytest.ini": "", ".git/HEAD": "", "lib/setup.py": ""}, "lib", ""),
    ],
)
def test_the_root_of_a_member_is_where_pytest_is_configured(
    tmp_path: Path, files: dict[str, str], root: str, folder: str
) -> None:
    top = tmp_path / "top"
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "lib" / "tests").mkdir()
    for cwd, args in ((top / "lib", ()), (top / "lib" / "tests", ("tests",))):
        settings = load_settings(cwd, (), environ={})
        assert settings.root == (top / root).resolve()
        assert settings.folder == folder
        assert settings.pytest_args == args


def test_root_without_any_marker_is_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert find_root(tmp_path / "a") == tmp_path / "a"
    (tmp_path / ".git").mkdir()
    assert find_root(tmp_path / "a") == tmp_path
