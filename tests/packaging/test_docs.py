"""The documentation: every command in README and the tutorial is executed, the site builds without
a broken link, and what is generated from the code is whole."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffufix.config import option_names

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
#: Commands that install: the tests are run in an environment where that is done.
INSTALLS = ("python -m venv", ". .venv/bin/activate", "pip install", "make ")


def commands(text: str) -> Iterator[str]:
    """What a reader types, in the order of the page."""
    for found in BLOCK.finditer(text):
        for line in found[2].splitlines():
            if line.startswith("$ "):
                yield line[2:].partition("  #")[0].rstrip()


class Reader:
    """Someone who types the commands of a page, one after the other, in a folder of their own."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        tools = folder / "tools"
        tools.mkdir()
        for name, module in (("diffufix", "diffufix"), ("pytest", "pytest"), ("python", "")):
            script = tools / name
            start = f"-m {module} " if module else ""
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {start}"$@"\n')
            script.chmod(0o755)
        path = os.pathsep.join([str(tools), os.environ["PATH"]])
        self.env = {**os.environ, "PATH": path, "DIFFUFIX_MODEL": "mini", **env}

    def types(self, command: str) -> subprocess.CompletedProcess[str]:
        if command.startswith("cd "):
            self.folder = (self.folder / command[3:]).resolve()
            assert self.folder.is_dir(), command
            return subprocess.CompletedProcess(command, 0, "", "")
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip


@pytest.mark.usefixtures("with_plugins")
@pytest.mark.slow
def test_the_commands_of_readme(repository: Path, tmp_path: Path) -> None:
    text = (repository / "README.md").read_text("utf-8")
    reader = Reader(tmp_path, DIFFUFIX_BUDGET="400", DIFFUFIX_ACCEPT="plausible")
    shutil.copytree(repository / "examples", tmp_path / "examples")
    makefile = (repository / "Makefile").read_text("utf-8")
    seen = list(commands(text))
    assert seen
    for command in seen:
        if command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:", makefile, re.M), command
        elif not command.startswith(INSTALLS):
            done = reader.types(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.usefixtures("with_plugins")
@pytest.mark.slow
def test_the_commands_of_the_tutorial(repository: Path, tmp_path: Path) -> None:
    """On a stand-in for the package, with its name, its file and its bug: no registry is asked."""
    text = (repository / "docs" / "tutorial.md").read_text("utf-8")
    reader = Reader(tmp_path, DIFFUFIX_BUDGET="400", DIFFUFIX_ACCEPT="plausible")
    _package(tmp_path)
    red = 0
    for command in commands(text):
        if command.startswith((*INSTALLS, "pip download", "tar ")):
            continue
        done = reader.types(command)
        if "pytest" in command:
            red += done.returncode == 1
            assert done.returncode in (0, 1), f"{command}\n{done.stdout}"
        elif "doctor" not in command:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert red == 1  # between the bug and the patch, and nowhere else
    package = tmp_path / "semver-3.1.2"
    assert (package / "report.html").is_file()
    assert "len(b_parts), len(a_parts)" in (package / "src/semver/version.py").read_text()


def _package(folder: Path) -> None:
    """The part of the package that the tutorial speaks of, in words of our own."""
    root = folder / "semver-3.1.2"
    for name, text in {
        "pyproject.toml": (
            "[project]\nname = 'semver'\nversion = '3.1.2'\n"
            "[tool.pytest.ini_options]\npythonpath = ['src']\n"
        ),
        "src/semver/__init__.py": "",
        "src/semver/version.py": (
            "def _cmp(a, b):\n    return (a > b) - (a < b)\n\n\n"
            "def compare(a, b):\n"
            "    a_parts, b_parts = a.split('.'), b.split('.')\n"
            "    for one, other in zip(a_parts, b_parts):\n"
            "        result = _cmp(one, other)\n"
            "        if result != 0:\n            return result\n"
            "    return _cmp(len(a_parts), len(b_parts))\n"
        ),
        "tests/test_compare.py": (
            "import pytest\n\nfrom semver.version import compare\n\n\n"
            "@pytest.mark.parametrize(\n    ('one', 'other', 'result'),\n"
            "    [('a', 'a', 0), ('a', 'b', -1), ('b', 'a', 1), ('a', 'a.1', -1),\n"
            "     ('a.1', 'a', 1), ('a.b', 'a.b.c', -1), ('b', 'a.c', 1)],\n)\n"
            "def test_compare(one, other, result):\n    assert compare(one, other) == result\n"
        ),
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("material")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--quiet", "--config-file",
         "docs/site/mkdocs.yml", "--site-dir", str(tmp_path / "site")],
        cwd=repository, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True,
        text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = (tmp_path / "site" / "configuration.html").read_text("utf-8")
    assert all(f"<code>{name}</code>" in settings for name in option_names())
    assert "diffufix repair" in (tmp_path / "site" / "cli.html").read_text("utf-8")
    assert "diffufix.verify" in (tmp_path / "site" / "python-api.html").read_text("utf-8")
    assert (tmp_path / "site" / "search" / "search_index.json").is_file()


def test_pictures_are_of_a_real_run_and_fetch_nothing(repository: Path) -> None:
    figures = repository / "docs" / "figures"
    for kind in ("light", "dark"):
        text = (figures / f"repair-{kind}.svg").read_text("utf-8")
        assert "Repaired:" in text.replace("&#160;", " ")
        assert not re.search(r"""(href|url\()\s*=?\s*["']?https?:""", text)
