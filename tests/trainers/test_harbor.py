"""Tasks in Harbor's format: there and back, and their scripts as a container would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.trainers.harbor import APP, HarborTask, read_task, read_tasks, write_task
from diffufix.trainers.scoring import GradedTask
from tests.attacks.arena import FAILING, TESTS
from tests.support.served import Shop, make_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path / "shop-project")


@pytest.fixture
def written(shop: Shop, tmp_path: Path) -> Path:
    graded = GradedTask(
        str(shop.root), shop.path, (shop.root / shop.path).read_text(), "total", TESTS, FAILING
    )
    task = HarborTask('a "name"/ü', "Repair it.\n", graded, shop.right[shop.path])
    return write_task(tmp_path / "tasks", task, Settings(shop.root))


def grade(task: Path, folder: Path) -> str:
    """What test.sh writes, with the container's folders elsewhere."""
    logs = folder / "logs"
    script = (task / "tests" / "test.sh").read_text()
    script = script.replace("/logs", str(logs)).replace(f"{APP}/", f"{folder}/app/")
    script = script.replace(f"cd {APP} ", f"cd {folder}/app ")
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "kept").symlink_to(task / "tests" / "kept")
    (folder / "tests" / "test.sh").write_text(script)
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", folder / "tests" / "test.sh"], env=env, capture_output=True)
    (folder / "tests" / "kept").unlink()
    return (logs / "verifier" / "reward.txt").read_text().strip()


def test_what_a_folder_holds(written: Path, shop: Shop) -> None:
    assert written.name == "a-name"
    values = tomllib.loads((written / "task.toml").read_text())
    assert values["schema_version"] == "1.1"
    assert values["task"]["name"] == "diffufix/a-name"
    assert values["verifier"]["timeout_sec"] > 0
    assert values["environment"]["memory_mb"] > 0
    docker = (written / "environment" / "Dockerfile").read_text()
    assert docker.startswith("# Made by diffufix")
    assert docker.endswith(f"COPY project {APP}\nWORKDIR {APP}\nENV PYTHONPATH={APP}\n")
    kept = written / "tests" / "kept"
    found = {path.relative_to(kept).as_posix() for path in kept.rglob("*.py")}
    assert found == {"conftest.py", "test_shop.py", "test_text.py"}


def test_there_and_back(written: Path, shop: Shop) -> None:
    task = read_task(written)
    assert task.instruction == "Repair it.\n"
    assert task.answer == shop.right[shop.path]
    assert task.graded.source == (shop.root / shop.path).read_text()
    assert (task.graded.qualname, task.graded.tests, task.graded.failing) == (
        "total", TESTS, FAILING,
    )  # fmt: skip
    assert Path(task.graded.project) == written / "environment" / "project"
    assert read_tasks(written.parent) == [task]
    with pytest.raises(UsageError, match="is there already"):
        write_task(written.parent, task, Settings(shop.root))
    with pytest.raises(UsageError, match="no task of ours"):
        read_task(shop.root)


def test_its_scripts_grade(written: Path, tmp_path: Path) -> None:
    place = tmp_path / "container"
    place.mkdir()
    (written / "environment" / "project").rename(place / "app")
    (place / "app" / "test_shop.py").write_text("def test_total(): pass\n")  # is put back
    assert grade(written, place) == "0"
    solve = (written / "solution" / "solve.sh").read_text().replace(APP, f"{place}/app")
    (written / "solution" / "solve.sh").write_text(solve)
    subprocess.run(["bash", written / "solution" / "solve.sh"], check=True)
    assert grade(written, place) == "1"


@pytest.mark.slow
@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here")
def test_tasks_of_a_project(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every task fails as it stands; as rows and as folders they are the same."""
    (shop.root / shop.path).write_text(shop.right[shop.path])
    (shop.root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    rows = tmp_path / "tasks.jsonl"
    assert main(["train", "tasks", str(shop.root), "--out", str(rows), "--count", "2"]) == 0
    assert "2 tasks" in capsys.readouterr().out
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert Counter(row["qualname"] for row in found).total() == 2
    for row in found:
        assert row["source"] != (shop.root / row["path"]).read_text()
        assert set(row["failing"]) <= set(row["tests"])
        assert row["failing"][0] in row["prompt"]
        assert GradedTask.of(row).project == str(shop.root)
