"""`diffufix.train` is one package for every tool: for mypy too, across the border to the rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PLANTED = """
from diffufix.errors import DiffufixError
from diffufix.train.recipe import Recipe, no_such_name

def wrong(recipe: Recipe) -> DiffufixError:
    return recipe.rate("not a step", 1, 2, wrong=3)
"""


def test_the_links_are_relative_and_lead_to_the_top_level(repository: Path) -> None:
    for name in ("train", "prompts"):
        link = repository / "diffufix" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_mypy_sees_a_wrong_call_across_the_border(repository: Path, tmp_path: Path) -> None:
    """What `make types` runs, on a copy of the few files that the planted one needs."""
    names = ["__init__.py", "errors.py", "config.py", "types.py", "py.typed"]
    for folder, files in {
        "diffufix": names,
        "train": ["__init__.py", "recipe.py"],
    }.items():
        (tmp_path / folder).mkdir()
        for file in files:
            shutil.copy2(repository / folder / file, tmp_path / folder / file)
    (tmp_path / "diffufix" / "train").symlink_to("../train")
    (tmp_path / "diffufix" / "model").mkdir()
    (tmp_path / "diffufix" / "model" / "__init__.py").write_text("")
    shutil.copy2(repository / "pyproject.toml", tmp_path)
    for folder in ("tests", "bench"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "right.py").write_text("import diffufix.train.recipe\n")
    command = [sys.executable, "-m", "mypy", "--no-error-summary"]

    before = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert before.returncode == 0, before.stdout + before.stderr
    planted = ("diffufix/model/planted.py", "tests/planted.py", "bench/planted.py")
    for path in planted:
        (tmp_path / path).write_text(PLANTED)
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert after.returncode == 1, after.stdout + after.stderr
    assert 'has no attribute "no_such_name"' in after.stdout
    assert 'Argument 1 to "rate" of "Recipe" has incompatible type "str"' in after.stdout
    assert 'Unexpected keyword argument "wrong"' in after.stdout
