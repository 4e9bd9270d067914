"""`pytest --diffufix`: repairs what just failed and prints the result below pytest's own summary.

The plugin is loaded in every run of pytest where diffufix is installed, so it imports nothing heavy
of ours. The repair is a process of its own, with the arguments that this pytest was given: what the
tests did to this process does not matter, and the same tests are spoken of. pytest's exit status
stays what the tests made it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import diffufix

if diffufix._calmed:  # this process is the tests', and they find the environment as it was
    os.environ.pop("GOMP_SPINCOUNT", None)

OPTION = "--diffufix"
#: Options with a value of their own.
_VALUED = (f"{OPTION}-budget",)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("diffufix", "repair of failing tests")
    group.addoption(
        OPTION, action="store_true", default=False,
        help="Search for a verified patch of what failed; nothing is written.",
    )  # fmt: skip
    group.addoption(
        f"{OPTION}-budget", type=float, metavar="SECONDS",
        help="Time limit from start to result (default: 60, or that of pyproject.toml).",
    )  # fmt: skip
    group.addoption(
        f"{OPTION}-apply", action="store_true", default=False,
        help="Write the patch, where it is a repair; `diffufix undo` takes it back.",
    )  # fmt: skip


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    yield  # pytest's summary is written
    config = session.config
    if not config.getoption("diffufix") or hasattr(config, "workerinput"):  # of pytest-xdist
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    reason = _why_not(session)
    reporter.ensure_newline()
    if reason:
        reporter.write_line(f"diffufix: {reason}")
        return
    reporter.section("diffufix", sep="=")
    reporter.flush()
    _repair(config)


def _why_not(session: pytest.Session) -> str:
    """Why there is nothing to repair; empty where there is."""
    status = int(session.exitstatus)
    if status == pytest.ExitCode.OK:
        return "nothing failed, nothing to repair"
    if status != pytest.ExitCode.TESTS_FAILED:
        what = "was interrupted" if status == pytest.ExitCode.INTERRUPTED else "did not run"
        return f"pytest {what}, nothing was repaired"
    if not session.testsfailed:
        return "no test failed, nothing to repair"
    return ""


def _repair(config: pytest.Config) -> None:
    command = [sys.executable, "-P", "-m", "diffufix", "repair"]
    budget = config.getoption("diffufix_budget")
    command += [f"--budget={budget:g}"] if budget is not None else []
    command += ["--apply"] if config.getoption("diffufix_apply") else []
    command += ["--", *own_arguments(config.invocation_params.args)]
    env = dict(os.environ)
    if sys.prefix != sys.base_prefix:  # as if the environment that runs pytest were activated
        env["VIRTUAL_ENV"] = sys.prefix
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    try:
        subprocess.run(command, cwd=config.invocation_params.dir, env=env, check=False)
    except KeyboardInterrupt:
        pass  # the repair has got it, too, and has said what there was
    finally:
        if capture is not None:
            capture.resume_global_capture()


def own_arguments(args: Sequence[str | os.PathLike[str]]) -> list[str]:
    """pytest's arguments without those of this plugin."""
    found: list[str] = []
    left = iter([os.fspath(argument) for argument in args])
    for argument in left:
        if argument in _VALUED:
            next(left, None)
        elif argument.partition("=")[0] not in (*_VALUED, OPTION, f"{OPTION}-apply"):
            found.append(argument)
    return found
