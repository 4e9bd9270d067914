"""The command line. `main` is the entry point of the `diffufix` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffufix.cli import failures
from diffufix.errors import PrerequisiteError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        failures.check_system()
    except PrerequisiteError as error:
        return failures.tell(error, sys.argv[1:] if argv is None else argv)
    from diffufix.cli.app import main as run  # what other systems lack is imported from here on

    return run(argv)
