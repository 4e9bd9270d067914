"""Run a project's tests under its own interpreter: `run_tests`.

Touches nothing but a temporary folder of its own (pytest's cache, temporary files of the tests),
which is removed at the end. pytest itself runs in `tree`; tests that write there write there. Given
a sandbox, everything happens inside it.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from diffufix.errors import PrerequisiteError, ProjectError
from diffufix.sandbox.protocol import Sandbox
from diffufix.sandbox.reap import remove, scratch_prefix
from diffufix.source.plain import read_within, within
from diffufix.testing.environment import child_environment, enclosed_environment, moved_args
from diffufix.testing.process import REPORTS, Ended, run_listening, run_listening_inside
from diffufix.testing.records import Records
from diffufix.testing.rejected import rejection
from diffufix.types import TestRun

INSIDE = Path(__file__).resolve().parent / "inside"
_INTERRUPTED, _INTERNAL, _USAGE = 2, 3, 4  # pytest.ExitCode
_DEAF = 3  # times its limit, and seconds: a test that is silent for longer cannot be interrupted
_SHOWN = 3_000  # characters of pytest's output in an error message
_LINES, _FRAMES = 10, 3  # of what an interpreter says when it crashes


def run_tests(
    root: Path,
    args: Sequence[str],
    *,
    python: Path | str,
    tree: Path | None = None,
    coverage: bool = False,
    timeout: float | None = None,
    test_timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    ids: Sequence[str] | None = None,
    known: Sequence[str] = (),
    sandbox: Sandbox | None = None,
    folder: str = "",
) -> TestRun:
    """Run pytest with the user's `args` in `tree` (default: `root`) and tell every outcome.

    It is started in `folder`, relative to the tree.

    The run is one process in a fixed order that never stops early, whatever the project's options
    say. With `coverage` the lines executed by each test are recorded; that costs time, so measure
    durations without. `ids` runs only these tests, in this order. `known` are all ids of an
    earlier run: tests whose ids have changed since (a time, a random part) are called the same
    again. A phase (setup, call, teardown) of a test that takes longer than `test_timeout`
    seconds fails with the traceback of where it hung; it may take twice as long where it does not
    stay in one call of the project's code, and five times where it sleeps. One that cannot be
    interrupted (it hangs outside Python) is an error, and so is a whole run that takes longer than
    `timeout` seconds. `env` overrides variables; `DIFFUFIX_COLLECTOR` (coverage, monitoring,
    settrace) forces a way to record lines.
    With `sandbox`, a started one, the tests run there in its tree, and `python` is a name there.

    Nothing collected gives a run without cases; a folder or module that cannot be collected is in
    `collection_errors`. Raises UsageError (pytest rejects the arguments), PrerequisiteError (no
    such interpreter, no pytest in it), ProjectError (the run hangs, crashes or is cut short),
    SandboxUnavailable.
    """
    root = Path(os.path.abspath(root))
    collector = {**os.environ, **(env or {})}.get("DIFFUFIX_COLLECTOR", "auto")
    settings = {
        "root": str(root),
        "coverage": collector if coverage else "",
        "test_timeout": test_timeout,
        "folder": folder,
        "around": not coverage,
    }
    lists = {"ids": ids, "known": known or None}
    if sandbox is None:
        tree = (tree or root).resolve()
        if not tree.is_dir():
            raise ProjectError(
                f"There is no folder {tree}.", "Run diffufix in the project's folder."
            )
    there = str(tree) if sandbox is None else sandbox.tree
    records = Records(tidy=lambda text: text.replace(there, str(root)))
    stuck = partial(records.silent, _DEAF * test_timeout + _DEAF) if test_timeout else _never
    began = time.monotonic()
    if sandbox is None:
        assert tree is not None
        ended = _run_here(
            root, tree, args, Path(python), settings, env, lists, records, timeout, stuck
        )
    else:
        ended = _run_inside(
            root, sandbox, args, str(python), settings, env, lists, records, timeout, stuck
        )
    output = records.tidy(ended.output)
    _judge(records, ended, output.strip(), str(python), timeout, root)
    return TestRun(
        root=root,
        args=tuple(args),
        cases=records.cases(),
        exit_code=ended.returncode if records.status is None else records.status,
        seconds=ended.seconds,
        start_seconds=(records.first_start or began) - began,
        coverage=records.coverage,
        deselected=tuple(records.deselected),
        collection_errors=tuple(records.collection_errors),
        output=output,
        variables=records.variables,
        home_files=records.home_files,
        missed=records.missed,
        shared=records.shared,
    )


def _run_here(
    root: Path,
    tree: Path,
    args: Sequence[str],
    python: Path,
    settings: Mapping[str, object],
    env: Mapping[str, str] | None,
    lists: Mapping[str, Sequence[str] | None],
    records: Records,
    timeout: float | None,
    stuck: Callable[[], bool],
) -> Ended:
    with _scratch() as scratch:
        told: dict[str, object] = {**settings, "tree": str(tree)}
        for name, ids in lists.items():
            told[name] = None if ids is None else f"{scratch}/{name}.json"
            if ids is not None:
                (scratch / f"{name}.json").write_text(json.dumps(list(ids)), encoding="ascii")
        with contextlib.suppress(OSError, shutil.Error):
            if within(root, root / ".pytest_cache"):
                shutil.copytree(root / ".pytest_cache", scratch / "cache", symlinks=True)
        variables = child_environment(
            root,
            tree,
            python,
            first=[INSIDE],
            extra={"TMPDIR": str(scratch), **(env or {})},
            folder=str(settings["folder"]),
        )
        try:
            return run_listening(
                _command(str(python), moved_args(args, root, tree), f"{scratch}/cache"),
                cwd=tree / str(settings["folder"]),
                env=lambda fd: {**variables, "DIFFUFIX_INSIDE": json.dumps({**told, "fd": fd})},
                on_line=records.take,
                timeout=timeout,
                stuck=stuck,
            )
        except OSError as error:
            raise PrerequisiteError(
                f"{python} cannot be run: {error.strerror or error}",
                "Name the project's interpreter with --python.",
            ) from error


def _run_inside(
    root: Path,
    sandbox: Sandbox,
    args: Sequence[str],
    python: str,
    settings: Mapping[str, object],
    env: Mapping[str, str] | None,
    lists: Mapping[str, Sequence[str] | None],
    records: Records,
    timeout: float | None,
    stuck: Callable[[], bool],
) -> Ended:
    place, cache = f"{sandbox.private}/testing", f"{sandbox.temporary}/cache"
    files = {f"{place}/{path.name}": path.read_bytes() for path in INSIDE.glob("*.py")}
    told = {**settings, "tree": sandbox.tree, "fd": REPORTS}
    for name, ids in lists.items():
        told[name] = None if ids is None else f"{place}/{name}.json"
        if ids is not None:
            files[f"{place}/{name}.json"] = json.dumps(list(ids)).encode()
    with contextlib.suppress(OSError):
        for path in (root / ".pytest_cache" / "v" / "cache").iterdir():
            if (data := read_within(root, path)) is not None:
                files[f"{cache}/v/cache/{path.name}"] = data
    sandbox.write_files(files)
    folder = str(settings["folder"])
    variables = enclosed_environment(root, sandbox.tree, first=[place], extra=env, folder=folder)
    return run_listening_inside(
        sandbox,
        _command(python, moved_args(args, root, Path(sandbox.tree)), cache),
        env={**variables, "DIFFUFIX_INSIDE": json.dumps(told)},
        cwd=f"{sandbox.tree}/{folder}".rstrip("/"),
        on_line=records.take,
        timeout=timeout,
        stuck=stuck,
    )


def _never() -> bool:
    return False


def _command(python: str, args: Sequence[str], cache: str) -> list[str]:
    command = [python, "-m", "pytest", "-p", "_diffufix_reporter"]
    if not any("no:cacheprovider" in argument for argument in args):
        # A cache of our own leaves no litter and, unlike none, keeps the cache's fixture working.
        command += ["-o", f"cache_dir={cache}"]
    return [*command, *args]


def _judge(
    records: Records, ended: Ended, output: str, python: str, timeout: float | None, root: Path
) -> None:
    """Raise unless the run says everything that there is to say about the tests."""
    shown = output[-_SHOWN:]
    where = f"in {records.running}" if records.running else "before the first test"
    skip = f"Leave it out with --deselect '{records.running}'" if records.running else "See above"
    if ended.timed_out and (timeout is None or ended.seconds < timeout):
        raise ProjectError(f"{records.running} hangs and cannot be interrupted.", f"{skip}.")
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
        raise rejection(shown, root)
    if not records.versions:
        raise ProjectError(f"pytest did not start:\n{shown}", "Try it: python -m pytest")
    if records.status is None:
        raise ProjectError(
            f"The interpreter ended {where} ({_how(ended.returncode)}) without a result."
            f"{_last_words(output)}",
            f"{skip}, or run that test alone.",
        )
    left = len(records.unfinished())
    # An exit status after the last test is a hook's: every outcome is known.
    if left or (records.status in (_INTERRUPTED, _INTERNAL) and not records.cases()):
        early = f", {left} test{'s' if left > 1 else ''} before the end" if left else ""
        raise ProjectError(
            f"pytest stopped {where}{early}.\n{shown}",
            f"{skip}, or run that test alone.",
        )


def _last_words(output: str) -> str:
    """Of what an interpreter said at its end what tells most: of a dump of its stack the reason and
    the frames on top."""
    lines = [line[:200] for line in output.splitlines() if line.strip()]
    dumped = next((n for n, line in enumerate(lines) if "Fatal Python error" in line), None)
    if dumped is not None:
        reason = lines[dumped][lines[dumped].index("Fatal Python error") :]
        frames = [line for line in lines[dumped + 1 :] if line.startswith('  File "')]
        lines = [reason, *frames[:_FRAMES], *(["  ..."] if len(frames) > _FRAMES else [])]
    return "".join(f"\n{line}" for line in lines[-_LINES:])


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder, removed even when the tests left folders that cannot be entered."""
    path = Path(tempfile.mkdtemp(prefix=scratch_prefix())).resolve()
    try:
        yield path
    finally:
        remove(path)
