"""The GitHub Action and the examples around it: what is commented, and that nothing is pushed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffufix.repair.types import RepairResult, Status
from diffufix.source.patch import make_patch
from diffufix.types import Claims

yaml = pytest.importorskip("yaml")
OLD = 'def f():\n    """```\n    `` ` ``\n    """\n    return 1\n'


def written(repository: Path, folder: Path, result: dict[str, Any]) -> dict[str, str]:
    """The outputs of the action's script for this result."""
    (folder / "diffufix.json").write_text(json.dumps(result))
    script = repository / ".github" / "actions" / "repair" / "comment.py"
    env = {"GITHUB_OUTPUT": str(folder / "out"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}
    subprocess.run([sys.executable, str(script), str(folder)], check=True, env=env)
    return dict(line.split("=", 1) for line in (folder / "out").read_text().splitlines())


def test_a_patch_is_commented_as_it_is(repository: Path, tmp_path: Path) -> None:
    patch = make_patch({"a.py": OLD}, {"a.py": OLD.replace("return 1", "return 2")})
    result = RepairResult(
        Status.REPAIRED, patch, turned_green=("t.py::test[`x`]",), probability=0.91,
        claims=Claims(turned_green=("t.py::test[`x`]",), kept=("a", "b"), runs=("one", "two")),
        evidence=("the tests reject 3 of 3 other edits",),
    )  # fmt: skip
    outputs = written(repository, tmp_path, result.document())
    assert outputs["status"] == "repaired"
    assert Path(outputs["patch"]).read_text() == patch.diff
    said = (tmp_path / "diffufix.md").read_text()
    assert said == "<!-- diffufix -->\n" + (tmp_path / "summary").read_text()[:-1]
    assert f"````diff\n{patch.diff}````" in said  # longer than the fence inside
    assert "1 failing test passes with it" in said
    assert "Likely right: **91%**" in said
    assert "2 other tests pass as before" in said
    assert "Nothing was pushed" in said


def test_without_a_patch_nothing_is_commented(repository: Path, tmp_path: Path) -> None:
    result = RepairResult(Status.NOT_REPAIRED, message="None passed.", hint="Try again.")
    outputs = written(repository, tmp_path, result.document())
    assert outputs == {"status": "not-repaired", "patch": ""}
    assert not (tmp_path / "diffufix.md").exists()
    assert (tmp_path / "summary").read_text() == "None passed. Try again.\n"


def test_the_action_writes_nothing_to_the_repository(repository: Path) -> None:
    text = (repository / ".github" / "actions" / "repair" / "action.yml").read_text()
    action = yaml.safe_load(text)
    runs = " ".join(step["run"] for step in action["runs"]["steps"])
    assert not re.search(r"\bgit\b|--apply|push", runs)
    # Nothing of the event stands in a command: it would be run.
    assert "${{" not in runs


@pytest.mark.slow
def test_the_action_repairs_a_checkout(repository: Path, tmp_path: Path) -> None:
    """The step as it stands, with this diffufix in the place of the installed one."""
    action = yaml.safe_load((repository / ".github/actions/repair/action.yml").read_text())
    step = next(each for each in action["runs"]["steps"] if each.get("id") == "repair")
    project, runner = tmp_path / "project", tmp_path / "runner"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "shop.py").write_text(
        "def most(prices):\n    best = prices[0]\n    for price in prices:\n"
        "        if price < best:\n            best = price\n    return best\n"
    )
    (project / "test_shop.py").write_text(
        "import pytest\nfrom shop import most\n\n\n"
        "@pytest.mark.parametrize('prices', [[1, 5, 3], [2, 9], [4, 4, 7, 1]])\n"
        "def test_most(prices):\n    assert most(prices) == max(prices)\n\n\n"
        "def test_one():\n    assert most([3]) == 3\n\n\ndef test_slow():\n    assert False\n"
    )
    before = {path: path.read_bytes() for path in project.glob("*.py")}
    tool = runner / "diffufix" / "bin" / "diffufix"
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diffufix "$@"\n')
    tool.chmod(0o755)
    values = {name: str(each["default"]) for name, each in action["inputs"].items()}
    values |= {"budget": "60", "pytest-args": '-k "not slow"', "sandbox": "local"}
    inputs = {
        name: re.sub(r"\$\{\{ inputs\.(\S+) \}\}", lambda match: values[match[1]], text)
        for name, text in step["env"].items()
    }
    folder = repository / ".github" / "actions" / "repair"
    env = {
        **os.environ, **inputs, "RUNNER_TEMP": str(runner), "GITHUB_ACTION_PATH": str(folder),
        "GITHUB_OUTPUT": str(runner / "out"), "GITHUB_STEP_SUMMARY": str(runner / "summary"),
    }  # fmt: skip
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, check=True, cwd=project, env=env)
    outputs = dict(line.split("=", 1) for line in (runner / "out").read_text().splitlines())
    assert outputs["status"] in ("repaired", "plausible")
    assert "+        if price > best:" in Path(outputs["patch"]).read_text()
    assert "<!doctype html>" in (runner / "diffufix.html").read_text()[:99].lower()
    assert {path: path.read_bytes() for path in project.glob("*.py")} == before


GH = """#!/bin/sh
echo "$@" >> "$CALLS"
[ "$2" != view ] || echo "$COMMENT"
"""


@pytest.mark.parametrize(
    ("comment", "call"),
    [
        ("", "pr comment 7 --body-file {folder}/diffufix.md"),
        ("https://github.com/o/p/pull/7#issuecomment-42",
         "api --silent --method PATCH repos/o/p/issues/comments/42 "
         "--field body=@{folder}/diffufix.md"),
    ],
)  # fmt: skip
def test_only_a_comment_of_ours_is_replaced(
    repository: Path, tmp_path: Path, comment: str, call: str
) -> None:
    """With a stand-in for `gh`, which no test may really use."""
    action = yaml.safe_load((repository / ".github/actions/repair/action.yml").read_text())
    script = action["runs"]["steps"][-1]["run"]
    assert '.viewerDidAuthor and (.body | startswith("<!-- diffufix -->"))' in script
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"),
        "COMMENT": comment, "NUMBER": "7", "GH_REPO": "o/p", "RUNNER_TEMP": str(tmp_path),
    }  # fmt: skip
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], check=True, env=env)
    view, done = (tmp_path / "calls").read_text().splitlines()
    assert view.startswith("pr view 7 --json comments")
    assert done == call.format(folder=tmp_path)


def test_the_examples_are_whole(repository: Path) -> None:
    examples = repository / "examples"
    workflow = yaml.safe_load((examples / "github" / "repair.yml").read_text())
    used = [step for step in workflow["jobs"]["test"]["steps"] if "repair@" in step.get("uses", "")]
    action = yaml.safe_load((repository / ".github/actions/repair/action.yml").read_text())
    assert used
    assert {*used[0]["with"]} <= {*action["inputs"]}
    assert workflow["permissions"]["contents"] == "read"
    hook = examples / "hooks" / "pre-push"
    subprocess.run(["sh", "-n", str(hook)], check=True)
    assert hook.stat().st_mode & 0o100
    hooks = yaml.safe_load((examples / "hooks" / "pre-commit-config.yaml").read_text())
    entry = hooks["repos"][0]["hooks"][0]["entry"]
    assert entry in hook.read_text()
