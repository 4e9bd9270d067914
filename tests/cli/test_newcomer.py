"""What new users tripped over, each as a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffufix.cli import main
from diffufix.cli.parsing.passthrough import divided, stops_early
from diffufix.config import Settings
from diffufix.project import selection
from diffufix.repair.record import Record
from diffufix.repair.types import RepairResult, Status
from diffufix.testing import find_interpreter
from diffufix.testing.rejected import rejection
from diffufix.types import Frame, TestCase, TestRun
from diffufix.workspace.diagnosis import _uncollected
from tests.support.finished import repaired
from tests.support.scripted import repair


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(list(args))
    return code, "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--aply"], "--apply"),
        (["--bugdet", "5"], "--budget"),
        (["--model", "mni"], "Did you mean mini?"),
        (["--model", "./missing"], "There is no folder ./missing"),
        (["--model", "olama:qwen"], "Did you mean ollama:qwen?"),
        (["--adapter", "nosuch"], "There is no adapter nosuch"),
        (["--function", "n.py::one"], "no file n.py"),
        (["--function", "m.py::oen"], "Did you mean m.py::one?"),
        (["--sandbox", "dokcer"], "`docker`"),
        (["test_n.py"], "Did you mean test_m.py?"),
        (["test_n.py::test_one"], "Did you mean test_m.py::test_one?"),
        (["--budget"], "--budget needs a value"),
        (["--budget", "abc"], "not 'abc'"),
        (["--budget=-5"], "must be above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_slip_is_told_before_any_test_runs(
    project: Path, search, capsys, args: list[str], words: str
) -> None:
    (project / "test_m.py").write_text("def test_one():\n    pass\n")
    calls = search(repaired)
    code, text = said(capsys, "repair", *args)
    assert (code, calls) == (2, [])
    assert words in text
    assert not (project / ".diffufix").exists()


@pytest.mark.parametrize(
    "model",
    ["ollama:qwen2.5-coder:7b", "llamacpp:", "fim:Qwen/Qwen2.5-Coder-0.5B", "mini,ollama:qwen",
     "http://127.0.0.1:8080#qwen", "vllm:qwen@http://127.0.0.1:9000"],
)  # fmt: skip
def test_an_engine_is_no_slip(project: Path, search, model: str) -> None:
    calls = search(repaired)
    assert main(["repair", "-q", "--model", model]) == 0
    assert [call.model for call in calls] == [model]


def test_no_gpu_is_told_at_once(project: Path, search, capsys, monkeypatch) -> None:
    monkeypatch.setattr("diffufix.cli.parsing.preflight.may_have_gpu", lambda: False)
    calls = search(repaired)
    code, text = said(capsys, "repair", "--device", "cuda")
    assert (code, calls) == (2, [])
    assert "There is no GPU" in text


def test_bundles_and_values_of_pytest_stay_pytests() -> None:
    takes = {"-v": False, "-q": False, "-y": False, "--budget": True, "--json": False}
    args = ["-xvs", "-kyes", "-vv", "-v", "--budget", "5", "-k", "a", "--", "-q"]
    assert divided(args, takes) == (
        ["-v", "--budget", "5"], ["-xvs", "-kyes", "-vv", "-k", "a", "-q"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        ("ERROR: usage: x\n__main__.py: error: unrecognized arguments: --covv\n",
         "knows --covv", "--help"),
        ("ERROR: file or directory not found: {root}/test_n.py\n",
         "no tests in test_n.py", "test_m.py"),
        ("ERROR: not found: {root}/test_m.py::test_oen\n(no match in any of [<Module x>])",
         "no test test_oen in test_m.py", "test_m.py::test_one"),
        ("ERROR: not found: {root}/test_m.py::test_one[3]\n(no match)", "[3]", "collect-only"),
        ("ERROR: Wrong expression passed to '-k': a and: at column 6", "Wrong expression", "-k"),
        ("something else", "does not accept these arguments", "passed on"),
    ],
)  # fmt: skip
def test_what_pytest_rejects_is_one_sentence(
    tmp_path: Path, output: str, message: str, hint: str
) -> None:
    (tmp_path / "test_m.py").write_text("def test_one():\n    pass\n")
    error = rejection(output.format(root=tmp_path), tmp_path)
    assert message in error.message
    assert hint in error.hint
    assert len(error.message.splitlines()) <= 2


def test_a_program_that_is_no_python(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no Python interpreter"):
        find_interpreter(tmp_path, "/bin/ls")


@pytest.mark.parametrize(
    ("args", "words"),
    [(["repiar"], "'repair'"), (["runs", "lst"], "'list'"), (["undo", "--forc"], "--force"),
     (["config", "show", "bugdet"], "`budget`"), (["generate", "--budget"], "needs a value")],
    ids=str,
)  # fmt: skip
def test_the_nearest_name_is_told(project: Path, capsys, args: list[str], words: str) -> None:
    code, text = said(capsys, *args)
    assert code == 2
    assert words in text


def test_no_is_an_answer(project: Path, search, capsys, monkeypatch) -> None:
    search(repaired)
    main(["repair", "-q"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *words, **options: False)
    code, text = said(capsys, "clean")
    assert (code, "Nothing was removed." in text) == (0, True)
    assert "interrupted" not in text
    assert (project / ".diffufix").is_dir()


def test_internals_are_shown_to_those_who_ask(project: Path, search, capsys) -> None:
    search(repaired)
    _, plain = said(capsys, "repair")
    _, verbose = said(capsys, "repair", "-v")
    inside = re.compile(r"0123456|sample|nats|Tried 1 candidate")
    assert not inside.search(plain)
    assert inside.search(verbose)


def test_quiet_shows_the_result_alone(project: Path, search, capsys) -> None:
    search(repaired)
    capsys.readouterr()
    main(["repair", "-q"])
    assert capsys.readouterr().err == ""


def test_an_interruption_says_how_to_go_on(project: Path, search, capsys) -> None:
    from diffufix.repair.reasons import interrupted

    reason = interrupted(2)
    search(RepairResult(Status.INTERRUPTED, message=reason.message, hint=reason.hint))
    code, text = said(capsys, "repair")
    assert code == 130
    assert "what turned tests green in the search is kept" in text
    assert "`diffufix apply` writes it. The same command goes on from here" in text


def test_other_systems_in_one_line() -> None:
    """As on Windows: without the modules that it lacks."""
    code = (
        "import sys\n"
        "for name in ('fcntl', 'grp', 'pty', 'pwd', 'resource', 'termios', 'tty'):\n"
        "    sys.modules[name] = None\n"
        "from diffufix.cli import main, failures\n"
        "sys.platform = 'win32'\n"
        "sys.exit(main(['repair']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: diffufix does not run on Windows[^\n]*\n", done.stderr)


@pytest.mark.parametrize(("no", "force", "coloured"), [("", "1", True), ("1", "1", False)])
def test_colour_is_forced_and_refused(
    project: Path, search, capsys, monkeypatch, no: str, force: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no)
    monkeypatch.setenv("FORCE_COLOR", force)
    search(repaired)
    _, text = said(capsys, "repair", "-q")
    assert ("\x1b[" in text) is coloured
    assert "\x1b[1m--- a" not in text  # a diff that is piped stays one that git takes


def test_agents_are_told_how_the_sandbox_is_chosen(capsys) -> None:
    """`diffufix mcp` has no --sandbox, and the options of `repair` are what one tries."""
    code, text = said(capsys, "mcp", "--help")
    assert code == 0
    assert "DIFFUFIX_SANDBOX=local diffufix mcp" in text


def test_the_start_is_quick_enough() -> None:
    """Seconds of the processor; 0.3 s of the clock are measured by bench/start.py."""
    code = "import time, sys; from diffufix.cli import main; main(['--help']); "
    code += "sys.stderr.write(str(time.process_time()))"
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    spent = min(
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
            ).stderr
        )
        for _ in range(2)
    )
    assert spent < 0.4


@pytest.mark.parametrize(
    ("args", "early"),
    [(["-x"], "-x"), (["-xvs"], "-xvs"), (["--maxfail=2"], "--maxfail=2"), (["-kx"], "")],
)  # fmt: skip
def test_an_option_without_effect_is_told(args: list[str], early: str) -> None:
    assert stops_early(args) == early


@pytest.mark.parametrize(
    ("args", "some"),
    [
        ("", False), ("--quiet", False), ("-q -xvs --tb short -rA", False), ("-n 4 --lf", False),
        ("--tb=short tests", True), ("-q -k total", True), ("-m slow", True), ("-p no:x", True),
        ("test_m.py::test_one", True), ("--deselect test_m.py", True), ("--tb", False),
    ],
)  # fmt: skip
def test_how_it_is_shown_is_no_selection_of_tests(args: str, some: bool) -> None:
    """`pytest --quiet --diffufix` runs the whole suite, and a result that says so."""
    given = tuple(args.split())
    assert selection(given) == (given if some else ())


def test_a_run_that_is_not_logged_has_no_number(tmp_path: Path) -> None:
    (tmp_path / ".diffufix").write_text("a file is in the way")
    with Record.open(tmp_path, Settings(tmp_path)) as record:
        assert "This run is not logged" in record.warning
        assert record.number is None


@pytest.mark.slow
def test_a_cap_of_candidates_holds(tmp_path: Path) -> None:
    test = "from m import f\n\n\ndef test_f():\n    assert f(2, 3) == 7\n"
    files = {"m.py": "def f(a, b):\n    return a - b\n", "test_m.py": test}
    script = [("a - b", new) for new in ("a * b", "a // b", "a % b", "a ** b")]
    result, _ = repair(tmp_path, files, script, candidates=1)
    assert result.tried == 1
    assert "--candidates" in result.hint


def test_nothing_to_do_is_no_patch_for_git(project: Path, search, capsys) -> None:
    search(RepairResult(Status.NOTHING_FAILING, tests=1))
    assert main(["repair", "-q"]) == 0
    out = capsys.readouterr().out
    assert out == "Nothing to repair: 1 test, none fails.\n"
    command = ["git", "apply", "--allow-empty", "-"]
    subprocess.run(command, cwd=project, input=out, text=True, check=True)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"deselected": ("t.py::a", "t.py::b"), "args": ("-k", "nothing")},
         "None of 2 tests is selected by: pytest -k nothing"),
        ({"collection_errors": (TestCase("m.py", "error", 0.0, "SyntaxError: '(' (m.py, line 1)",
                                         frames=(Frame("m.py", 1, ""),)),)},
         "cannot be collected: m.py: SyntaxError: '(' (m.py, line 1)"),
        ({}, "finds no tests here"),
    ],
)  # fmt: skip
def test_why_no_test_was_run_is_said_once(tmp_path: Path, left: dict[str, Any], said: str) -> None:
    run = TestRun(
        **{"root": tmp_path, "args": (), "cases": (), "exit_code": 5, "seconds": 0.1, **left}
    )
    error = _uncollected(run)
    assert said in error.message
    assert error.message.count("line 1") <= 1
    assert error.hint
