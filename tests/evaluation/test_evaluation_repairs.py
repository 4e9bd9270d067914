"""Suites of faults in their publishers' formats, of our own making: laid, judged, counted."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import PrerequisiteError, UsageError
from diffufix.evaluation.environments import Environments
from diffufix.evaluation.repairing import RepairPlan, check_case, run_case
from diffufix.evaluation.suites import bugsinpy, open_suite
from diffufix.evaluation.suites.data import clone
from diffufix.evaluation.suites.patches import applied
from diffufix.evaluation.suites.repairs import humanevalfix, quixbugs, real_bugs
from diffufix.evaluation.types import RepairCase
from tests.support import suites

PLAN = RepairPlan(sandbox="local")
BUGGY, FIXED = "def half(n):\n    return n / 2\n", "def half(n):\n    return n // 2\n"
TEST = "from half import half\n\n\ndef test_half():\n    assert half(7) == 3\n"
FIX = (
    "--- a/half.py\n+++ b/half.py\n@@ -1,2 +1,2 @@\n"
    " def half(n):\n-    return n / 2\n+    return n // 2\n"
)


def as_patch(case: RepairCase, files: dict[str, str]) -> dict[str, Any]:
    """The row of a case whose patch would be these texts."""
    return check_case(replace(case, fixed=lambda folder: files), PLAN, Environments())


def test_the_publishers_fix_is_green_and_right(tmp_path: Path) -> None:
    case = next(humanevalfix(suites.humanevalfix(tmp_path / "fix.jsonl")))
    row = check_case(case, PLAN, Environments())
    assert (row["green"], row["right"], row["why"]) == (True, True, "the same syntax tree")


def test_another_way_to_say_it_is_right_and_a_thin_patch_is_not(tmp_path: Path) -> None:
    """Judged by execution: the trees differ from the publisher's in both."""
    from diffufix.evaluation import repairing

    case = next(humanevalfix(suites.humanevalfix(tmp_path / "fix.jsonl")))
    head = suites.FUNCTIONS[0][1]
    other = head + "    if not values:\n        return 0\n    return max(values) - min(values)\n"
    thin = head + "    return abs(min(values) - values[1]) if len(values) > 1 else 0\n"
    with repairing._project(case) as project:
        row = repairing._judged(project, PLAN, "", {"solution.py": other})
    assert row["green"] is True
    assert row["right"] is True, row
    with repairing._project(case) as project:
        row = repairing._judged(project, PLAN, "", {"solution.py": thin})
    assert row["green"] is True
    assert row["right"] is False, row


def test_a_fault_that_the_tests_do_not_see_is_no_case(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in
            suites.humanevalfix(tmp_path / "f.jsonl").read_text().splitlines()]  # fmt: skip
    rows[0]["buggy_solution"] = rows[0]["canonical_solution"]
    case = next(humanevalfix(suites.write(tmp_path / "f.jsonl", rows)))
    row = check_case(case, PLAN, Environments())
    assert row["green"] is False
    assert "do not see the fault" in row["why"]


def test_quixbugs_shows_one_program_and_hides_the_right_one(tmp_path: Path) -> None:
    root = tmp_path / "QuixBugs"
    test = (
        "import pytest\nfrom load_testdata import load_json_testcases\n\n"
        "if pytest.use_correct:\n    from correct_python_programs.half import half\n"
        "else:\n    from python_programs.half import half\n\n"
        "@pytest.mark.parametrize('given,wanted', load_json_testcases('half'))\n"
        "def test_half(given, wanted):\n    assert half(*given) == wanted\n"
    )
    loader = (
        "import json\nfrom pathlib import Path\n\n\ndef load_json_testcases(name):\n"
        "    path = Path(__file__).parent / '..' / f'json_testcases/{name}.json'\n"
        "    return [json.loads(line) for line in path.open()]\n"
    )
    for name, text in {
        "python_programs/half.py": BUGGY, "correct_python_programs/half.py": FIXED,
        "python_testcases/test_half.py": test, "python_testcases/load_testdata.py": loader,
        "python_programs/other.py": BUGGY,
        "json_testcases/half.json": "[[4], 2]\n[[7], 3]\n",
        "conftest.py": "import pytest\n\n\ndef pytest_configure(config):\n"
                       "    pytest.use_correct = False\n",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (case,) = quixbugs(root)
    (tmp_path / "laid").mkdir()
    case.lay(tmp_path / "laid")
    laid = {str(p.relative_to(tmp_path / "laid")) for p in (tmp_path / "laid").rglob("*.py")}
    assert laid == {"python_programs/half.py", "python_testcases/test_half.py",
                    "python_testcases/load_testdata.py", "conftest.py"}  # fmt: skip
    row = check_case(case, PLAN, Environments())
    assert (row["green"], row["right"]) == (True, True), row
    with pytest.raises(UsageError, match="no folder python_programs"):
        list(quixbugs(tmp_path))


def real_folder(folder: Path, **changed: Any) -> Path:
    (folder / "trees").mkdir(parents=True)
    with tarfile.open(folder / "trees" / "half-1.tar.xz", "w:xz") as archive:
        for name, text in {"half.py": BUGGY, "test_half.py": TEST}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    row = {"id": "half-1", "fix": FIX, "tests": ["test_half.py"], "kind": "operator",
           "failing": ["test_half.py::test_half"], "deselect": [], "requirements": [],
           "pythonpath": ["."]} | changed  # fmt: skip
    suites.write(folder / "bugs.jsonl", [row])
    return folder


def test_a_folder_of_real_bugs(tmp_path: Path) -> None:
    suite = open_suite(str(real_folder(tmp_path / "bugs")), None, agreed=lambda offer: False)
    assert suite.format.name == "real-bugs"
    row = check_case(suite.items[0], PLAN, Environments())
    assert (row["green"], row["right"]) == (True, True), row
    broken = FIX.replace("n / 2", "n / 3")
    (case,) = real_bugs(real_folder(tmp_path / "other", fix=broken))
    row = check_case(case, PLAN, Environments())
    assert row["status"] == "not run"
    assert "does not apply" in row["message"]


def test_bugsinpy_lays_the_buggy_tree_with_the_fixed_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        return subprocess.run(["git", *identity, *words], cwd=origin, check=True,
                              capture_output=True, text=True).stdout.strip()  # fmt: skip

    git("init", "-q")
    commits = []
    for half, test in ((BUGGY, "def test_old():\n    pass\n"), (FIXED, TEST)):
        (origin / "half.py").write_text(half)
        (origin / "test_half.py").write_text(test)
        git("add", "-A")
        git("commit", "-q", "-m", "a step")
        commits.append(git("rev-parse", "HEAD"))
    bug = tmp_path / "BugsInPy" / "projects" / "half" / "bugs" / "1"
    bug.mkdir(parents=True)
    (bug.parent.parent / "project.info").write_text(f'github_url="{origin}"\nstatus="OK"\n')
    (bug / "bug.info").write_text(
        f'python_version="3.8.3"\nbuggy_commit_id="{commits[0]}"\n'
        f'fixed_commit_id="{commits[1]}"\ntest_file="test_half.py"\n'
    )
    (bug / "bug_patch.txt").write_text(FIX)
    (bug / "run_test.sh").write_text("python -m unittest -q test_half.HalfTest.test_half\n")
    (bug / "requirements.txt").write_bytes("attrs==19.3.0\n-e git+x#egg=y\n".encode("utf-16"))
    monkeypatch.setenv(bugsinpy.PLACE, str(tmp_path / "mirrors"))
    (case,) = bugsinpy.bugsinpy(tmp_path / "BugsInPy")
    assert case.tests == ("test_half.py::HalfTest::test_half",)
    assert case.requirements == ("attrs==19.3.0", "pytest")
    laid = tmp_path / "laid"
    laid.mkdir()
    case.lay(laid)
    assert (laid / "half.py").read_text() == BUGGY
    assert (laid / "test_half.py").read_text() == TEST
    assert case.fixed(laid) == {"half.py": FIXED}
    assert [p.name for p in (tmp_path / "mirrors").iterdir()] == ["half.git"]
    row = run_case(case, PLAN, Environments(tmp_path / "venvs", "/nowhere/python"))
    assert row["status"] == "not run"
    assert "environment of half-1 cannot be made" in row["message"]
    (wanted,) = (tmp_path / "venvs").glob("3.8.3-*.txt")  # of this environment alone
    assert wanted.read_text() == "attrs==19.3.0\npytest\n"


def test_a_clone_that_fails_leaves_nothing(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    with pytest.raises(PrerequisiteError, match="cannot be cloned") as caught:
        clone(str(origin), tmp_path / "kept" / "x", "Look elsewhere.", commit="0" * 40)
    assert caught.value.hint == "Look elsewhere."
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_patch_stays_inside(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outside of the project"):
        applied(tmp_path, FIX.replace("half.py", "../half.py"))
