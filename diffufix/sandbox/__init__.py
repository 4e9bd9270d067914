"""Places where code under test may run: one protocol, several backends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffufix.errors import PrerequisiteError, UsageError
from diffufix.sandbox.local import LocalSandbox
from diffufix.sandbox.protocol import Capabilities, ExecResult, Limits, Process, Sandbox

__all__ = [
    "Capabilities",
    "ExecResult",
    "Limits",
    "LocalSandbox",
    "Process",
    "Sandbox",
    "make_sandbox",
]

KINDS = ("local", "docker", "e2b")


def make_sandbox(
    kind: str | None,
    tree: Path,
    *,
    python: str | Path | None = None,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
) -> Sandbox:
    """A sandbox, not yet started, that owns the scratch copy `tree`; `kind` None picks one.

    Raises: PrerequisiteError for a backend that is not there, UsageError for an unknown one.
    """
    if kind in (None, "local"):
        return LocalSandbox(tree, python=python, readable=readable, limits=limits)
    if kind in KINDS:
        raise PrerequisiteError(
            f"the {kind} sandbox is not in this version yet", "use --sandbox local"
        )
    raise UsageError(f"unknown sandbox {kind!r}", f"choose one of {', '.join(KINDS)}")
