"""Unified diffs on files of a folder, by `git apply`; the folder itself is left as it is."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from diffufix.errors import UsageError

_TARGET = re.compile(r"^\+\+\+ (?:b/)?([^\t\n]+)", re.M)


def applied(folder: Path, diff: str) -> dict[str, str]:
    """The whole texts of the files that `diff` changes, with it. Raises UsageError."""
    paths = [path for path in _TARGET.findall(diff) if path != "/dev/null"]
    if outside := [path for path in paths if path.startswith("/") or ".." in Path(path).parts]:
        raise UsageError(f"A patch changes a file outside of the project: {outside[0]}.")
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for path in paths:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            if (folder / path).is_file():
                (copy / path).write_bytes((folder / path).read_bytes())
        ran = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"], cwd=copy, input=diff.encode(),
            capture_output=True, check=False,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": name},
        )  # fmt: skip
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip()
            raise UsageError(f"A patch does not apply: {said}.", "Is the suite's data complete?")
        return {path: (copy / path).read_text("utf-8") for path in paths if (copy / path).is_file()}
