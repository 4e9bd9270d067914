"""A code block as a program: in a sandbox, beside a copy of the project where there is one."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffufix.config import Settings
from diffufix.project import PROJECT_FILES
from diffufix.testing import fresh_copy
from diffufix.testing.environment import enclosed_environment
from diffufix.workspace.choice import choose

SECONDS = 30.0
OUTPUT = 20_000  # bytes of each stream
NAME = "_chat_block.py"


@dataclass(frozen=True)
class Ran:
    """How a block ended."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    place: str  # the sandbox

    def document(self) -> dict[str, Any]:
        return asdict(self)


def run_block(code: str, settings: Settings) -> Ran:
    """Raises PrerequisiteError (no sandbox), SandboxUnavailable."""
    place = choose(settings)
    with tempfile.TemporaryDirectory(prefix="diffufix-chat-") as name:
        scratch = Path(name)
        if any((settings.root / known).is_file() for known in PROJECT_FILES):
            tree = fresh_copy(settings.root, scratch)
        else:
            tree = scratch / "tree"
            tree.mkdir()
        sandbox = place.make(tree)
        try:
            sandbox.start()
            sandbox.write_files({NAME: code.encode()})
            ran = sandbox.exec(
                [place.python, "-B", NAME],
                env=enclosed_environment(settings.root, sandbox.tree),
                timeout=SECONDS, max_output=OUTPUT,
            )  # fmt: skip
            return Ran(
                ran.returncode, ran.stdout.decode(errors="replace"),
                ran.stderr.decode(errors="replace"), ran.timed_out, sandbox.capabilities.name,
            )  # fmt: skip
        finally:
            sandbox.close()
