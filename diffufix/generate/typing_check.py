"""mypy on a candidate, where the project uses it. Runs the project's own mypy on a scratch copy."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffufix.testing import fresh_copy
from diffufix.testing.environment import child_environment

SECONDS = 120.0
_ERROR = re.compile(r"^(.+?):(\d+)(?::\d+)?: error: (.*)$")


class Mypy:
    """`errors` are those of given lines only: what else is wrong was wrong before."""

    def __init__(self, root: Path, python: str, scratch: Path) -> None:
        self.root, self.python = root, python
        self.missing = ""  # why it cannot be asked
        self._tree = fresh_copy(root, scratch)

    def errors(self, files: Mapping[str, str], lines: Mapping[str, Sequence[range]]) -> list[str]:
        """What mypy says of these lines of the edited files (relative path -> new text)."""
        for path, text in files.items():
            (self._tree / path).write_text(text, encoding="utf-8", newline="")
        command = [self.python, "-m", "mypy", "--no-color-output", "--no-error-summary"]
        command += ["--hide-error-context", "--no-pretty", "--follow-imports=silent", *files]
        env = child_environment(self.root, self._tree, Path(self.python))
        env.pop("PYTHONPATH", None)  # mypy refuses paths of installed packages there
        try:
            done = subprocess.run(
                command, cwd=self._tree, env=env, capture_output=True, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            self.missing = f"mypy did not answer: {type(error).__name__}"
            return []
        if "No module named mypy" in done.stderr:
            self.missing = "mypy is configured, but not installed in the project's interpreter"
            return []
        if done.returncode not in (0, 1):
            self.missing = "mypy ended with an error"
            return []
        found = []
        for line in done.stdout.splitlines():
            match = _ERROR.match(line)
            if match and any(int(match[2]) in part for part in lines.get(match[1], ())):
                found.append(f"{match[1]}:{match[2]}: {match[3]}")
        return found
