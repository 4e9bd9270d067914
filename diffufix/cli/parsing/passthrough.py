"""Telling diffufix's own options from those that go on to pytest.

Ours are recognised whole (`--budget 5`, `--budget=5`, `-v`); bundles such as `-xvs` and everything
after `--` are pytest's. What is nearly one of ours, and no option of pytest's, is an error at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffufix.cli.parsing.pages import CliCommand
from diffufix.errors import UsageError

NEAR = 0.8  # likeness from which an unknown option is taken for a typing error
#: Options of pytest and of well-known plugins that look like one of ours.
THEIRS = frozenset({"--forked", "--color", "--verbosity"})
_EARLY = frozenset({"--exitfirst", "--maxfail", "--stepwise"})
_BUNDLE = re.compile("-[vqsl]*x[vqsl]*")  # -kx is an expression
_TEST_FOLDERS = 4  # levels that are looked through for a test file of that name
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv", "build", "dist"})


class PytestCommand(CliCommand):
    """A command whose other arguments are pytest's, as they are and in their order."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        takes_value = {
            name: not (getattr(param, "is_flag", False) or getattr(param, "count", False))
            for param in self.get_params(ctx)
            if param.param_type_name == "option"
            for name in (*param.opts, *param.secondary_opts)
        }
        ours, theirs = divided(args, takes_value)
        return super().parse_args(ctx, [*ours, "--", *theirs])


def divided(args: Sequence[str], takes_value: dict[str, bool]) -> tuple[list[str], list[str]]:
    """(ours, pytest's). Raises UsageError for what is nearly an option of ours."""
    ours: list[str] = []
    theirs: list[str] = []
    left = list(args)
    while left:
        arg = left.pop(0)
        if arg == "--":
            return ours, theirs + left
        name, attached, _ = arg.partition("=")
        if name in takes_value and not (attached and not name.startswith("--")):
            ours.append(arg)
            if takes_value[name] and not attached:
                if not left:
                    raise UsageError(f"{name} needs a value.", "--help shows which.")
                ours.append(left.pop(0))
            continue
        if name.startswith("--") and name not in THEIRS:
            near = difflib.get_close_matches(name, takes_value, n=1, cutoff=NEAR)
            if near:
                raise UsageError(
                    f"There is no option {name}.",
                    f"Did you mean {near[0]}? What is pytest's and looks like one of ours goes "
                    f"after --: -- {name}",
                )
        theirs.append(arg)
    return ours, theirs


def check_tests(args: Sequence[str], cwd: Path) -> None:
    """Raises UsageError where a test file is named that is not there, with the nearest one."""
    for before, arg in zip(["", *args], args, strict=False):
        name = arg.partition("::")[0]
        named = name.endswith(".py") and not name.startswith("-") and not before.startswith("-")
        if named and not (cwd / name).exists():
            near = nearest_file(name, cwd)
            hint = f"Did you mean {near}{arg[len(name):]}?" if near else (
                "Paths are relative to the folder that you are in."
            )  # fmt: skip
            raise UsageError(f"There is no test file {name}.", hint)


def stops_early(args: Sequence[str]) -> str:
    """The option of pytest that would end a run at a failure; "" without one."""
    return next((a for a in args if a.partition("=")[0] in _EARLY or _BUNDLE.fullmatch(a)), "")


def nearest_file(name: str, cwd: Path) -> str:
    """The Python file below `cwd` whose path is most like `name`; "" where none is."""
    found = []
    folders = [cwd]
    for _ in range(_TEST_FOLDERS):
        below: list[Path] = []
        for folder in folders:
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            for path in entries:
                if path.name.startswith(".") or path.name in _SKIPPED or path.is_symlink():
                    continue
                if path.is_dir():
                    below.append(path)
                elif path.suffix == ".py":
                    found.append(path.relative_to(cwd).as_posix())
        folders = below
    same = [path for path in found if Path(path).name == Path(name).name]
    near = difflib.get_close_matches(name, found, n=1, cutoff=NEAR)
    return same[0] if same else near[0] if near else ""
