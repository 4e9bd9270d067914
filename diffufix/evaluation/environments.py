"""Interpreters for cases whose tests need packages: one environment for each set of requirements.

Touches the folder it is given; `uv` makes the environments where it is installed, else venv and pip
do. An environment that was made before is used again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from diffufix.errors import PrerequisiteError
from diffufix.evaluation.types import RepairCase

LIMIT = 1800.0  # seconds for one environment


def default_folder() -> Path:
    """Where environments and downloaded suites are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "diffufix" / "evaluate"


class Environments:
    """`base` is the interpreter that environments are made with; empty: a fitting one."""

    def __init__(self, folder: Path | None = None, base: str = "") -> None:
        self._folder = folder or default_folder() / "environments"
        self._base = base

    def python_for(self, case: RepairCase) -> str:
        """An interpreter for its tests; empty: `repair` finds one.

        Raises PrerequisiteError where there is none of its version, or packages cannot be had.
        """
        if not case.requirements and not case.python:
            return self._base
        base = self._base or _interpreter(case.python)
        key = hashlib.sha256("\n".join(sorted(case.requirements)).encode()).hexdigest()[:12]
        folder = self._folder / (f"{case.python}-{key}" if case.python else key)
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            self._make(folder, python, base, case)
        return str(python)

    def _make(self, folder: Path, python: Path, base: str, case: RepairCase) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        wanted = folder.with_name(f"{folder.name}.txt")
        wanted.write_text("\n".join(case.requirements) + "\n", "utf-8")
        if uv := shutil.which("uv"):
            steps = [
                [uv, "venv", "-q", "--python", base, str(folder)],
                [uv, "pip", "install", "-q", "--python", str(python), "-r", str(wanted)],
            ]
        else:
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            steps = [[base, "-m", "venv", str(folder)], [*pip, "-r", str(wanted)]]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        for step in steps:
            try:
                subprocess.run(step, check=True, env=clean, capture_output=True, timeout=LIMIT)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or b""
                raise PrerequisiteError(
                    f"The environment of {case.id} cannot be made: "
                    f"{said.decode(errors='replace').strip()[-300:] or error}",
                    f"It needs {wanted}; --venvs names a folder with ready ones.",
                ) from error
        (folder / "complete").touch()


def _interpreter(version: str) -> str:
    """A Python of that version (3.8 of 3.8.3). Raises PrerequisiteError."""
    if not version:
        return sys.executable
    short = ".".join(version.split(".")[:2])
    if shutil.which("uv"):
        return short  # uv finds it, or fetches it
    if short == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    if (found := shutil.which(f"python{short}")) is not None:
        return found
    raise PrerequisiteError(
        f"There is no Python {short} here.",
        "Install it, or uv, which fetches it; --python names an interpreter for all cases.",
    )
