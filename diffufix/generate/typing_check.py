"""mypy on a candidate, where the project uses it. Runs the project's own mypy on a scratch copy."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffufix.sandbox.bubblewrap import bubblewrap_works, enclosed_command, interpreter_paths
from diffufix.source.plain import write_within
from diffufix.testing import fresh_copy
from diffufix.testing.environment import child_environment
from diffufix.testing.interpreter import enclosing

SECONDS = 120.0
_ERROR = re.compile(r"^(.+?):(\d+)(?::\d+)?: error: (.*)$")


class Mypy:
    """`errors` are those of given lines only: what else is wrong was wrong before."""

    def __init__(self, root: Path, python: str, scratch: Path) -> None:
        self.root, self.python = root, python
        self.missing = ""  # why it cannot be asked
        self._tree = fresh_copy(root, scratch)

    def _enclosed(self) -> list[str]:
        if not bubblewrap_works():
            return []
        python = Path(self.python)
        shown = interpreter_paths(self.python, tuple(enclosing(python, self.root)))
        return enclosed_command(shown, str(self._tree), [str(self._tree)])

    def errors(self, files: Mapping[str, str], lines: Mapping[str, Sequence[range]]) -> list[str]:
        """What mypy says of these lines of the edited files (relative path -> new text)."""
        for path, text in files.items():
            write_within(self._tree, path, text.encode("utf-8"))
        command = [self.python, "-m", "mypy", "--no-color-output", "--no-error-summary"]
        command += ["--hide-error-context", "--no-pretty", "--follow-imports=silent", *files]
        env = child_environment(self.root, self._tree, Path(self.python))
        env.pop("PYTHONPATH", None)  # mypy refuses paths of installed packages there
        before = self._enclosed()
        if not before:
            self.missing = "mypy runs plugins of the project, and there is no bubblewrap around it"
            return []
        command = [*before, *command, "--cache-dir", "/tmp/mypy"]
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
