"""How long one waits for a command line that has nothing to do.

Seconds of the clock, the least of several starts: `diffufix --help`, and `diffufix repair` on a
suite that is green, against the suite's own time as pytest says it. Goals: 0.3 s, and 1 s more.
Python keeps its bytecode, as it does where nobody forbids it: without, pytest rewrites the
assertions of every plugin anew in each run.

    python bench/start.py [--project FOLDER] [--times 5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DIFFUFIX = [sys.executable, "-m", "diffufix"]
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
}
#: A suite of 200 tests that take nothing: what is measured is everything else.
TESTS = "import pytest\n\n\n@pytest.mark.parametrize('n', range(200))\ndef test_n(n):\n    pass\n"


def least(command: Sequence[str], folder: Path, times: int) -> float:
    """Seconds of the quickest of several runs. Raises CalledProcessError where one fails."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=ENVIRONMENT)
        spent.append(time.perf_counter() - began)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, help="a project whose tests pass")
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.project or Path(scratch)
        if given.project is None:
            (folder / "test_n.py").write_text(TESTS)
        rows = {
            "diffufix --help": [*DIFFUFIX, "--help"],
            "diffufix repair --help": [*DIFFUFIX, "repair", "--help"],
            "diffufix --version": [*DIFFUFIX, "--version"],
            "python -m pytest -q": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            "diffufix repair, green": [
                *(*DIFFUFIX, "repair", "--sandbox", "local"),
                *("--python", sys.executable),  # the one that pytest is measured with
            ],
        }
        seconds = {name: least(command, folder, given.times) for name, command in rows.items()}
    for name, spent in seconds.items():
        print(f"{name:24} {spent:6.2f} s")
    more = seconds["diffufix repair, green"] - seconds["python -m pytest -q"]
    print(f"{'repair beside pytest':24} {more:+6.2f} s")


if __name__ == "__main__":
    main()
