"""The wheel: what is in it, and that it works where nothing of the checkout can be seen.

The empty environment borrows this environment's dependencies through a .pth file, without its
site-packages' own .pth files, so that an editable install of the checkout stays out of sight.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = {
    "pyproject.toml": '[project]\nname = "tiny"\nversion = "1"\n',
    "tiny.py": (
        "def fits(length: int, limit: int) -> bool:\n"
        '    """Whether a text of this length fits; a text as long as the limit does."""\n'
        "    return length < limit\n\n\n"
        "def cut(text: str, limit: int) -> str:\n"
        '    """The text itself if it fits, else its beginning."""\n'
        "    return text if fits(len(text), limit) else text[:limit]\n"
    ),
    "test_tiny.py": (
        "from tiny import cut, fits\n\n\n"
        "def test_shorter():\n    assert fits(1, 2)\n\n\n"
        "def test_equal():\n    assert fits(2, 2)\n\n\n"
        "def test_longer():\n    assert not fits(3, 2)\n\n\n"
        "def test_cut():\n    assert cut('abc', 2) == 'ab'\n"
    ),
}


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment into which only the wheel was installed."""
    home = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    command = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-index", "--ignore-installed", str(wheel)]
    subprocess.run(command, check=True, env=clean_environment())
    return home / "bin"


def clean_environment() -> dict[str, str]:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def run(command: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=400
    )


def test_contents(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(
            next(name for name in names if name.endswith("dist-info/METADATA"))
        ).decode()
    assert {"diffufix/py.typed", "diffufix/cli/app.py", "diffufix/train/__init__.py"} <= names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in metadata
    tracked = subprocess.run(
        ["git", "ls-files", "train", "prompts", "diffufix"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    if tracked.returncode == 0:
        wanted = {
            path if path.startswith("diffufix/") else f"diffufix/{path}"
            for path in tracked.stdout.splitlines()
            if (repository / path).is_file()
            and not path.endswith(".gitignore")
            and not path.startswith("train/continued/")  # for going on from a checkout
        }
        assert wanted <= names, sorted(wanted - names)
    assert not [name for name in names if "continued" in name]
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"diffufix"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_it_is_imported_from_the_environment(installed: Path, tmp_path: Path) -> None:
    code = "import diffufix, diffufix.train; print(diffufix.__file__, diffufix.train.__file__)"
    done = run([installed / "python", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(str(installed.parent) in path for path in done.stdout.split())
    assert run([installed / "diffufix", "--help"], tmp_path).returncode == 0


@pytest.mark.usefixtures("with_plugins")
def test_it_repairs(installed: Path, tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    command = [installed / "diffufix", "repair", "--json", "--model", "mini", "--budget", "60"]
    done = run([*map(str, command), "--python", sys.executable], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "repaired"
    assert document["turned_green"] == ["test_tiny.py::test_equal"]
    assert document["patch"]["files"] == ["tiny.py"]
    assert (tmp_path / "tiny.py").read_text() == PROJECT["tiny.py"]
    subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, input=document["patch"]["diff"], text=True, check=True
    )
    assert run([sys.executable, "-m", "pytest", "-q"], tmp_path).returncode == 0
