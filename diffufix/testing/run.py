"""Run a project's tests under its own interpreter: `run_tests`.

Touches nothing but a temporary folder of its own (pytest's cache, temporary files of the tests),
which is removed at the end. pytest itself runs in `tree`; tests that write there write there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from diffufix.errors import PrerequisiteError, ProjectError, UsageError
from diffufix.testing.environment import child_environment, moved_args
from diffufix.testing.process import Ended, run_listening
from diffufix.testing.records import Records
from diffufix.testing.types import TestRun

INSIDE = Path(__file__).resolve().parent / "inside"
_INTERRUPTED, _INTERNAL, _USAGE = 2, 3, 4  # pytest.ExitCode
_SHOWN = 3_000  # characters of pytest's output in an error message


def run_tests(
    root: Path,
    args: Sequence[str],
    *,
    python: Path,
    tree: Path | None = None,
    coverage: bool = False,
    timeout: float | None = None,
    test_timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    ids: Sequence[str] | None = None,
) -> TestRun:
    """Run pytest with the user's `args` in `tree` (default: `root`) and tell every outcome.

    The run is one process in a fixed order that never stops early, whatever the project's options
    say. With `coverage` the lines executed by each test are recorded; that costs time, so measure
    durations without. `ids` runs only these tests, in this order. A phase (setup, call, teardown)
    of a test that takes longer than `test_timeout` seconds fails with the traceback of where it
    hung; a whole run that takes longer than `timeout` seconds is an error. `env` overrides
    variables; `DIFFUFIX_COLLECTOR` (coverage, monitoring, settrace) forces a way to record lines.

    Nothing collected gives a run without cases; a folder or module that cannot be collected is in
    `collection_errors`. Raises UsageError (pytest rejects the arguments), PrerequisiteError (no
    such interpreter, no pytest in it), ProjectError (the run hangs, crashes or is cut short).
    """
    root = Path(os.path.abspath(root))
    tree = (tree or root).resolve()
    if not tree.is_dir():
        raise ProjectError(f"There is no folder {tree}.", "Run diffufix in the project's folder.")
    collector = {**os.environ, **(env or {})}.get("DIFFUFIX_COLLECTOR", "auto")
    records = Records(tidy=lambda text: text.replace(str(tree), str(root)))
    with _scratch() as scratch:
        settings = {
            "root": str(root),
            "tree": str(tree),
            "ids": None,
            "coverage": collector if coverage else "",
            "test_timeout": test_timeout,
        }
        if ids is not None:
            settings["ids"] = str(scratch / "ids.json")
            (scratch / "ids.json").write_text(json.dumps(list(ids)), encoding="ascii")
        variables = child_environment(
            root, tree, python, first=[INSIDE], extra={"TMPDIR": str(scratch), **(env or {})}
        )
        began = time.monotonic()
        try:
            ended = run_listening(
                _command(root, tree, args, python, scratch),
                cwd=tree,
                env=lambda fd: {**variables, "DIFFUFIX_INSIDE": json.dumps({**settings, "fd": fd})},
                on_line=records.take,
                timeout=timeout,
            )
        except OSError as error:
            raise PrerequisiteError(
                f"{python} cannot be run: {error.strerror or error}",
                "Name the project's interpreter with --python.",
            ) from error
    output = records.tidy(ended.output)
    _judge(records, ended, output.strip()[-_SHOWN:], python, timeout)
    return TestRun(
        root=root,
        args=tuple(args),
        cases=records.cases(),
        exit_code=ended.returncode if records.status is None else records.status,
        seconds=ended.seconds,
        start_seconds=(records.first_start or began) - began,
        coverage=records.coverage,
        collection_errors=tuple(records.collection_errors),
        output=output,
    )


def _command(root: Path, tree: Path, args: Sequence[str], python: Path, scratch: Path) -> list[str]:
    command = [str(python), "-m", "pytest", "-p", "_diffufix_reporter"]
    if not any("no:cacheprovider" in argument for argument in args):
        # A cache of our own leaves no litter and, unlike no cache, keeps --lf and --ff working.
        command += ["-o", f"cache_dir={scratch / 'cache'}"]
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(root / ".pytest_cache", scratch / "cache")
    return command + moved_args(args, root, tree)


def _judge(records: Records, ended: Ended, shown: str, python: Path, timeout: float | None) -> None:
    """Raise unless the run says everything that there is to say about the tests."""
    where = f"in {records.running}" if records.running else "before the first test"
    skip = f"Leave it out with --deselect '{records.running}'" if records.running else "See above"
    if ended.timed_out:
        raise ProjectError(
            f"The tests did not end within {timeout:g} s: they hang {where}.",
            f"{skip}, or allow more time.",
        )
    if not records.versions and re.search(r"No module named '?pytest\b", shown):
        raise PrerequisiteError(
            f"{python} has no pytest.",
            f"Install it there ({python} -m pip install pytest) or name another interpreter "
            "with --python.",
        )
    if records.collection_errors and records.status in (None, _USAGE):
        return  # a conftest.py that does not import: pytest gives up before it collects
    if _USAGE in (records.status, ended.returncode):
        raise UsageError(
            f"pytest does not accept these arguments:\n{shown}",
            "Everything that is no option of diffufix is passed on to pytest.",
        )
    if not records.versions:
        raise ProjectError(f"pytest did not start:\n{shown}", "Try it: python -m pytest")
    if records.status is None:
        raise ProjectError(
            f"The interpreter ended {where} ({_how(ended.returncode)}) without a result.\n{shown}",
            f"{skip}, or run that test alone.",
        )
    if records.status in (_INTERRUPTED, _INTERNAL) or records.unfinished():
        left = len(records.unfinished())
        raise ProjectError(
            f"pytest stopped {where}, {left} tests before the end.\n{shown}",
            f"{skip}, or run that test alone.",
        )


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder, removed even when the tests left folders that cannot be entered."""
    path = Path(tempfile.mkdtemp(prefix="dfx-")).resolve()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            for folder, _, _ in os.walk(path):
                with contextlib.suppress(OSError):
                    os.chmod(folder, 0o700)
            shutil.rmtree(path, ignore_errors=True)
