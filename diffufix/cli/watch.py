"""`diffufix watch`: when a file changes and a test goes red, search for its repair and show it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.consent import settled
from diffufix.cli.failures import tell
from diffufix.cli.out import echo
from diffufix.cli.parsing import check_tests, preflight
from diffufix.cli.repair import search
from diffufix.config import Settings, load_settings
from diffufix.errors import DiffufixError
from diffufix.repair.types import Status
from diffufix.report import terminal
from diffufix.report.words import counted
from diffufix.types import TestRun

EVERY = 1.0  # seconds between two looks at the files
QUIET = 0.5  # seconds in which nothing may change before tests are run: editors save in steps
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})
_WATCHED = (".py", ".toml", ".cfg", ".ini")

Stamps = Mapping[str, tuple[int, int]]


def watch(
    pytest_args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PYTEST_ARGS]...",
            show_default=False,
            help="Arguments for pytest: the tests to keep an eye on.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time limit of each repair.",
            show_default="60",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End after the first change that was looked at.")
    ] = False,
    model: options.Model = None,
    max_cost: options.MaxCost = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
    pass_env: options.PassEnv = None,
    workers: options.Workers = None,
    trust: options.Trust = None,
    yes: options.Yes = None,
    quiet: options.Quiet = None,
    verbose: options.Verbose = None,
) -> None:
    """Watch the project; when something goes red, search for its repair and show it.

    Nothing is ever written to your files: `diffufix apply` does that, when you say so. What failed
    when the watch began is left alone. Ctrl-C ends it.

    Examples:
      diffufix watch
      diffufix watch tests/test_cart.py --budget 30
    """
    given = dict(locals())
    args = tuple(given.pop("pytest_args") or ())
    given.pop("once")
    check_tests(args, Path.cwd())
    settings = load_settings(Path.cwd(), args, given)
    preflight.check(settings)
    settings = replace(settled(settings), apply=False)
    try:
        _watch(settings, once)
    except KeyboardInterrupt:
        echo("No longer watching.", err=True)


def _watch(settings: Settings, once: bool) -> None:
    run = _run(settings)
    old = frozenset(case.id for case in run.red) if run else None  # None: nothing is known yet
    known = f"; {_left(len(old), ' already')}" if old else ""
    echo(f"Watching {settings.root}{known}. Ctrl-C ends it.", err=True)
    for changed in changes(settings.root):
        echo(f"{changed} changed", err=True)
        run = _run(settings)
        if run is not None and old is None:
            old = frozenset(case.id for case in run.red)
            echo(f"{_left(len(old))}." if old else "No test fails.", err=True)
        elif run is not None and old is not None:
            old = _looked_at(settings, run, old)
        if once:
            return


def _left(number: int, since: str = "") -> str:
    fail, are = ("fails", "is") if number == 1 else ("fail", "are")
    return f"{counted(number, 'test')} {fail}{since} and {are} left alone"


def _looked_at(settings: Settings, run: TestRun, old: frozenset[str]) -> frozenset[str]:
    """Tell what has changed and search for what has gone red; the old failures that are left."""
    red = {case.id for case in run.red}
    mended = old & {case.id for case in run.cases} - red
    if mended:
        fail = "fails" if len(mended) == 1 else "fail"
        echo(f"{counted(len(mended), 'test')} no longer {fail}.", err=True)
    if broken := [each.id for each in run.collection_errors]:
        echo(f"Cannot be collected: {', '.join(broken)}", err=True)
    old -= mended
    if red - old:
        words = [word for test in _leavable(old, run) for word in ("--deselect", test)]
        _repair(replace(settings, pytest_args=(*settings.pytest_args, *words)))
    elif not broken:
        echo("Nothing has gone red.", err=True)
    return old


def _leavable(old: Collection[str], run: TestRun) -> list[str]:
    """The tests that can be deselected alone: pytest deselects all whose ids begin so."""
    ids = [case.id for case in run.cases]
    return [each for each in ids if each in old and sum(id.startswith(each) for id in ids) == 1]


def _repair(settings: Settings) -> None:
    """Search and show; an error is told, and the watch goes on."""
    try:
        result = search(settings, time.monotonic())
    except DiffufixError as error:
        tell(error, ())
        return
    terminal.write_result(result, sys.stdout, settings.verbose)
    sys.stdout.flush()
    if result.status is Status.INTERRUPTED:
        raise KeyboardInterrupt  # Ctrl-C ends the watch, too


def _run(settings: Settings) -> TestRun | None:
    """The tests as they are now, in the sandbox that a repair would choose; None, and told why,
    where they cannot be run."""
    import tempfile

    from diffufix.sandbox.reap import scratch_prefix
    from diffufix.workspace.choice import choose
    from diffufix.workspace.diagnosis import Suite

    try:
        with (
            tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch,
            Suite(settings, choose(settings), Path(scratch), lambda tree: None) as suite,
        ):
            return suite.run(test_timeout=max(5.0, settings.budget))
    except DiffufixError as error:
        tell(error, ())
        return None


def changes(
    root: Path, sleep: Callable[[float], object] = time.sleep, every: float = EVERY
) -> Iterator[str]:
    """The name of a file that changed, each time that some have and then rest for a moment."""
    before = stamps(root)
    while True:
        sleep(every)
        now = stamps(root)
        if now == before:
            continue
        while True:  # until whoever writes has done
            sleep(QUIET)
            later = stamps(root)
            if later == now:
                break
            now = later
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        before = now
        if names:
            yield names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def stamps(root: Path) -> Stamps:
    """Size and time of every file that tests may depend on, by its path from the root."""
    found: dict[str, tuple[int, int]] = {}
    pending = [root]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                pending.append(Path(entry.path))
            elif entry.name.endswith(_WATCHED):
                try:
                    state = entry.stat()
                except OSError:
                    continue  # gone again
                name = Path(entry.path).relative_to(root).as_posix()
                found[name] = (state.st_size, state.st_mtime_ns)
    return found
