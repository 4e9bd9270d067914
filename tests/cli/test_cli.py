"""The command line from outside: help, errors, exit codes, what goes to stdout."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import diffufix
from diffufix import events
from diffufix.cli import main
from diffufix.config import Settings
from diffufix.errors import ProjectError
from diffufix.repair.types import RepairResult, Status
from diffufix.store import Store
from tests.support.finished import BROKEN, MENDED, repaired


def _least_seconds(code: str) -> tuple[float, str]:
    """Seconds of the processor that a new Python spends on `code`, and what it printed.

    The least of three: whoever else is busy may slow one start, not the quickest.
    """
    timed = f"import time; began = time.process_time()\n{code}\nprint(time.process_time() - began)"
    spent = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", timed], capture_output=True, text=True, check=True
        )
        *printed, seconds = done.stdout.splitlines()
        spent.append(float(seconds))
    return min(spent), "\n".join(printed)


@pytest.fixture(scope="module")
def torch_seconds() -> float:
    """What importing torch alone costs here: processors differ, so a start is measured by it."""
    return _least_seconds("import torch")[0]


@pytest.mark.parametrize(
    "args",
    [["--help"], ["repair", "--help"], ["--version"], ["repair", "--budget", "x"], ["nonsense"]],
    ids=" ".join,
)
def test_help_and_wrong_arguments_import_nothing_heavy(
    args: list[str], torch_seconds: float
) -> None:
    seconds, printed = _least_seconds(
        "import sys\n"
        "from diffufix.cli import main\n"
        f"main({args!r})\n"
        "heavy = {'torch', 'transformers', 'docker', 'e2b', 'git', 'numpy'} & set(sys.modules)\n"
        "print('\\nheavy:', heavy or 'nothing')"
    )
    assert printed.splitlines()[-1] == "heavy: nothing"
    assert seconds < torch_seconds / 2


def test_version_and_python_m(diffufix_cli) -> None:
    done = diffufix_cli("--version")
    assert (done.returncode, done.stdout) == (0, f"diffufix {diffufix.__version__}\n")


def test_wrong_arguments(diffufix_cli) -> None:
    done = diffufix_cli("repair", "--budget", "soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == "error: --budget must be a number, not 'soon'."
    assert done.stderr.splitlines()[1] == "hint: `diffufix repair --help` shows how."


def test_errors_are_a_document_with_json(diffufix_cli) -> None:
    done = diffufix_cli("repair", "--json", "--sandbox", "lokal")
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert (document["schema_version"], document["status"], document["exit_code"]) == (
        1,
        "error",
        2,
    )
    assert "`local`" in document["hint"]


def test_pytest_arguments_arrive_as_they_are(project: Path, search) -> None:
    (project / "tests").mkdir()
    (project / "tests" / "test_x.py").touch()
    calls = search(repaired)
    args = ["tests/test_x.py::test_y[a b]", "-k", "a and not b", "-xvs", "--tb=short", "-p", "no:x"]
    assert main(["repair", "--budget", "5", *args, "--seed", "3", "--", "--json"]) == 0
    (settings,) = calls
    assert list(settings.pytest_args) == [*args, "--json"]
    assert (settings.budget, settings.seed, settings.json) == (5.0, 3, False)


def test_repair_leaves_the_tree_alone(project: Path, search, capsys) -> None:
    search(repaired)
    assert main(["repair"]) == 0
    out, err = capsys.readouterr()
    assert (project / "m.py").read_text() == BROKEN
    assert err == "searching ...\n"
    assert out == (
        "--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,2 @@\n def one():\n-    return 2\n+    return 1\n\n"
        "Repaired: 1 failing test now passes, and nothing else broke (2 others pass as before).\n"
        "  test_m.py::test_one\n"
        "\n"
        "Tests            before   after\n"
        "  passing             2       3\n"
        "  failing             1       0\n"
        "Confirmed in 2 runs of the whole suite: own order twice.\n"
        "\n"
        "Your files are unchanged; `diffufix apply 1` writes the patch.\n"
        "No other patch was found that passes these tests.\n"
        "This is run 1; it took 1.2 s.\n"
    )


def test_git_takes_the_whole_output(project: Path, search, capsys) -> None:
    search(repaired)
    main(["repair"])
    out = capsys.readouterr().out
    subprocess.run(["git", "apply", "-"], cwd=project, input=out, text=True, check=True)
    assert (project / "m.py").read_text() == MENDED


def test_apply_and_undo(project: Path, search, capsys) -> None:
    search(repaired)
    assert main(["repair", "--apply"]) == 0
    assert (project / "m.py").read_text() == MENDED
    assert "`diffufix undo` takes it back" in capsys.readouterr().out
    assert main(["undo"]) == 0
    assert (project / "m.py").read_text() == BROKEN
    assert capsys.readouterr().out == "restored m.py\n"
    assert main(["undo"]) == 2


def test_what_is_only_plausible_is_written_if_accepted(project: Path, search, capsys) -> None:
    def plausible(settings: Settings, listener: events.Listener) -> RepairResult:
        return replace(
            repaired(settings, listener), status=Status.PLAUSIBLE, probability=0.4,
            threshold=0.8, evidence=("no call in a passing test was recorded",),
            accepted=settings.accept == "plausible",
        )  # fmt: skip

    search(plausible)
    assert main(["repair", "--apply"]) == 1
    assert (project / "m.py").read_text() == BROKEN
    said = capsys.readouterr().out
    assert "passes your tests, but little speaks for it" in said
    assert "Likely right: 40%, less than the 80% of a repair\n  no call in a passing test" in said
    assert "`--apply --accept plausible` takes it all the same" in said
    assert "`diffufix apply 1` writes the patch" in said
    assert main(["repair", "--apply", "--accept", "plausible"]) == 0
    assert (project / "m.py").read_text() == MENDED


@pytest.mark.parametrize("text", ["f(", "x = 1", ""])
def test_expectations_are_expressions(project: Path, search, text: str) -> None:
    search(repaired)
    assert main(["repair", "--expect", text]) == 2


def test_refused_apply_still_shows_the_patch(project: Path, search, capsys) -> None:
    (project / "m.py").write_text("# changed meanwhile\n")
    search(repaired)
    assert main(["repair", "--apply"]) == 2
    out, err = capsys.readouterr()
    assert "+    return 1" in out
    assert "error: m.py changed while the repair was running.\nhint: " in err


def test_json_is_one_document(project: Path, search, capsys) -> None:
    search(repaired)
    assert main(["repair", "--json", "--apply"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["status"] == "repaired"
    assert document["applied"] is True
    assert document["patch"]["files"] == ["m.py"]
    assert document["patch"]["diff"].startswith("--- a/m.py")
    assert document["model"] == {"name": "mini", "hash": "0123456789"}


@pytest.mark.parametrize(
    ("outcome", "code", "says"),
    [
        (RepairResult(Status.NOTHING_FAILING, tests=5), 0, "Nothing to repair: 5 tests"),
        (RepairResult(Status.NOT_REPAIRED, hint="More --budget."), 1, "hint: More --budget."),
        (RepairResult(Status.INTERRUPTED), 130, "Interrupted"),
        (KeyboardInterrupt(), 130, "Interrupted; your files are unchanged."),
        (ProjectError("No tests.", "Write one."), 2, "error: No tests.\nhint: Write one."),
    ],
    ids=["nothing failing", "not repaired", "interrupted", "ctrl-c", "project error"],
)
def test_exit_codes(project: Path, search, capsys, outcome, code: int, says: str) -> None:
    search(outcome)
    assert main(["repair"]) == code
    assert says in "".join(capsys.readouterr())


def test_a_crash_is_short_and_keeps_its_traceback(project: Path, search, capsys) -> None:
    search(RuntimeError("what no one foresaw"))
    assert main(["repair"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "error: diffufix failed: RuntimeError: what no one foresaw"
    assert "Traceback" not in err
    assert "Traceback" in (project / ".diffufix/crash.log").read_text()
    assert main(["repair", "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_runs_list_show_and_clean(project: Path, search, capsys) -> None:
    for command in (["runs", "list"], ["rewards"], ["models", "list"]):
        assert main(command) == 0
        assert "diffufix" in capsys.readouterr().out  # what makes one
    assert main(["runs", "show"]) == 2
    assert not (project / ".diffufix").exists()
    capsys.readouterr()
    search(repaired)
    main(["repair"])
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[5] == "repaired"
    assert main(["runs", "show", "1", "--candidates"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("pass ")
    assert main(["runs", "show"]) == 0
    out = capsys.readouterr().out
    assert "candidates: 1 pass" in out
    assert "+    return 1" in out
    assert main(["runs", "show", "1", "--diff"]) == 0
    assert capsys.readouterr().out.startswith("--- a/m.py")
    assert main(["runs", "show", "1", "--json", "--candidates"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["candidates"][0]["state"] == "pass"
    assert main(["runs", "show", "9"]) == 2
    assert main(["clean", "--yes"]) == 0
    assert not (project / ".diffufix").exists()


def test_clean_asks_first_and_removes_only_its_own(project: Path, diffufix_cli) -> None:
    Store.open(project).close()
    done = diffufix_cli("clean", cwd=project)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    (project / ".diffufix/CACHEDIR.TAG").unlink()
    assert main(["clean", "--yes"]) == 2
    assert (project / ".diffufix").is_dir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_signals_unwind_and_answer_130(project: Path, number: signal.Signals) -> None:
    code = (
        "import signal, sys, time, types\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "loop = types.ModuleType('diffufix.repair.loop')\n"
        "def repair(settings, listener, began=None):\n"
        "    try:\n"
        "        print('ready', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('cleaned', flush=True)\n"
        "loop.repair = repair\n"
        "import diffufix.repair; diffufix.repair.loop = sys.modules[loop.__name__] = loop\n"
        "from diffufix.cli import main\n"
        "sys.exit(main(['repair']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert out == "cleaned\nInterrupted; your files are unchanged.\n"
