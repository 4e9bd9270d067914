"""mutmut 3 on the same project, for comparison: how many mutants per second its own runner does.

Touches one folder, which the caller gives and removes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

SETTINGS = "[mutmut]\nsource_paths=ledger\nalso_copy=tests\n"


def mutmut(project: Path, folder: Path, command: str, workers: int) -> dict[str, object]:
    """Mutants, their number per second as mutmut says it, and per second of the whole run.

    `command` is mutmut's executable, in an environment of its own with pytest. Where it does not
    run, `skipped` says why.
    """
    executable = shutil.which(command)
    if executable is None:
        return {"skipped": f"{command} is not installed"}
    root = folder / "mutmut"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "setup.cfg").write_text(SETTINGS)
    began = time.monotonic()
    done = subprocess.run(
        [executable, "run", "--max-children", str(workers)],
        cwd=root, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    seconds = time.monotonic() - began
    counts = re.findall(r"(\d+)/(\d+)", done.stdout)
    rate = re.search(r"([\d.]+) mutations/second", done.stdout)
    if not counts or rate is None or counts[-1][0] != counts[-1][1]:
        tail = (done.stdout + done.stderr).strip()[-200:]
        return {"skipped": f"mutmut ended with status {done.returncode}: {tail}"}
    count = int(counts[-1][1])
    return {
        "mutants": count,
        "per_second": float(rate.group(1)),
        "per_second_with_start": round(count / seconds, 2),
    }
