"""`diffufix env show|build`, and the gate, on real projects in real containers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from diffufix.config import Settings
from diffufix.errors import ProjectError
from diffufix.sandbox import LocalSandbox
from diffufix.workspace.choice import Runtime, choose
from diffufix.workspace.images.gate import check

GREEN = "def test_one():\n    assert 1\n\n\ndef test_two():\n    assert 0\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1.0"\n')
    (root / "tiny.py").write_text("VALUE = 1\n")
    (root / "tests" / "test_tiny.py").write_text(GREEN)
    return root


@pytest.fixture
def here() -> Runtime:
    """The gate does not mind which sandbox it is."""
    python = sys.executable
    return Runtime("local", python, lambda tree: LocalSandbox(tree, python=python))


def test_show_for_people(diffufix_cli: Any, project: Path) -> None:
    done = diffufix_cli("env", "show", cwd=project)
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("# image: diffufix-env:")
    assert "no dependencies" in second
    assert "FROM python:3.12-slim" in done.stdout
    assert done.stdout.endswith("USER 65534:65534\n")


def test_show_for_programs(diffufix_cli: Any, project: Path) -> None:
    done = diffufix_cli("env", "show", "--json", "--base-image", "mine:1", cwd=project)
    (document,) = json.loads(done.stdout)["environments"]
    assert document["base"] == "mine:1"
    assert document["image"].startswith("diffufix-env:")
    assert not document["downloads"]
    assert document["dockerfile"].startswith("# Made by diffufix")


def test_show_a_finished_image(diffufix_cli: Any, project: Path) -> None:
    done = diffufix_cli("env", "show", "--image", "mine:1", cwd=project)
    assert done.stdout.splitlines()[0] == "# image: mine:1 (used as it is)"
    assert "FROM" not in done.stdout


def test_show_for_e2b(diffufix_cli: Any, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "template"
    done = diffufix_cli("env", "show", "--e2b", "--write", str(folder), cwd=project)
    assert "# e2b template create diffufix-env-" in done.stdout
    text = (folder / "e2b.Dockerfile").read_text()
    assert done.stdout.endswith("\n\n" + text)
    for line in text.splitlines():
        if line.startswith("COPY"):
            assert all((folder / name).is_file() for name in line.split()[1:-1])


def test_settings_of_the_project_count(diffufix_cli: Any, project: Path) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write('[tool.diffufix]\nbase-image = "ours:3"\n')
    assert "FROM ours:3" in diffufix_cli("env", "show", cwd=project).stdout
    there = diffufix_cli("env", "show", cwd=project, DIFFUFIX_BASE_IMAGE="theirs:4").stdout
    assert "FROM theirs:4" in there


def test_build_without_an_engine(diffufix_cli: Any, project: Path, tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/none.sock"
    done = diffufix_cli("env", "build", cwd=project, DOCKER_HOST=nowhere)
    assert done.returncode == 2
    assert "engine" in done.stderr
    assert "hint" in done.stderr


@pytest.mark.docker
def test_build_and_gate(diffufix_cli: Any, project: Path, test_image: str) -> None:
    done = diffufix_cli("env", "build", "--base-image", test_image, cwd=project)
    assert done.returncode == 0, done.stderr
    name, gate = done.stdout.splitlines()
    assert name.startswith("diffufix-env:")
    assert gate.startswith("2 tests, the same twice: 1 passed, 1 failed")
    assert "Step 1/" in done.stderr or "is there already" in done.stderr
    again = diffufix_cli("env", "build", "--base-image", test_image, "--json", cwd=project)
    (document,) = json.loads(again.stdout)["environments"]
    assert document["image"] == name
    assert document["gate"]["outcomes"] == {"passed": 1, "failed": 1}
    assert document["gate"]["sandbox"] == "docker"
    assert f"{name} is there already" in again.stderr
    assert not (project / ".pytest_cache").exists()


@pytest.mark.docker
def test_a_suite_that_lacks_something_in_the_image(
    diffufix_cli: Any, project: Path, test_image: str
) -> None:
    (project / "tests" / "test_more.py").write_text("import no_such_package\n")
    done = diffufix_cli("env", "build", "--base-image", test_image, cwd=project)
    assert done.returncode == 2
    assert "no_such_package" in done.stderr
    assert "declare it" in done.stderr


@pytest.mark.docker
def test_the_loop_gets_the_same_image(project: Path, test_image: str) -> None:
    place = choose(Settings(root=project, sandbox="docker", base_image=test_image))
    gate = check(project, place)
    assert gate.outcomes == {"passed": 1, "failed": 1}
    assert gate.sandbox == "docker"


def test_the_gate_wants_tests(project: Path, here: Runtime) -> None:
    (project / "tests" / "test_tiny.py").write_text("")
    with pytest.raises(ProjectError, match="No tests"):
        check(project, here)


def test_the_gate_wants_the_same_twice(project: Path, here: Runtime) -> None:
    (project / "tests" / "test_tiny.py").write_text(
        "import os\n\n\n"
        + "".join(f"def test_{n}():\n    assert os.urandom(1)[0] % 2\n\n\n" for n in range(40))
    )
    with pytest.raises(ProjectError, match="end differently") as error:
        check(project, here)
    assert "more" in error.value.message


def test_the_gate_leaves_the_project_alone(project: Path, here: Runtime) -> None:
    (project / "tests" / "test_tiny.py").write_text(
        "from pathlib import Path\n\n\n"
        "def test_litter():\n    assert not Path('litter').exists()\n"
        "    Path('litter').write_text('1')\n"
    )
    before = sorted(path.name for path in project.rglob("*"))
    assert check(project, here).outcomes == {"passed": 1}
    assert sorted(path.name for path in project.rglob("*")) == before
