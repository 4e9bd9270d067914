"""Are true fixes confirmed, and what do negative controls and the compared world cost?

    python bench/held.py REAL_BUGS_FOLDER [--only IDS,PROJECTS] [--python PYTHON] [--orders]

REAL_BUGS_FOLDER has bugs.jsonl and trees/ID.tar.xz. Each fix is confirmed as `repair` would do it,
in a local sandbox; PYTHON must have what the projects need. Without --orders only the project's own
order is run. One line for each bug; the last line is a JSON summary: of the confirmations that
passed, the seconds of all of it and of the controls. Touches temporary folders only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.source.file import SourceFile
from diffufix.testing import run_tests
from diffufix.types import Candidate
from diffufix.verify import Confirmer
from diffufix.verify.trials import Trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--orders", action="store_true")
    options = parser.parse_args()
    only = {*options.only.split(",")} - {""}
    spent = spy()
    rows = []
    for line in (options.folder / "bugs.jsonl").read_text(encoding="utf-8").splitlines():
        bug = json.loads(line)
        if only and not only & {bug["id"], bug["project"]}:
            continue
        spent[:] = []
        try:
            row = confirmed(bug, options)
        except Exception as error:
            row = {"state": "none", "detail": f"{type(error).__name__}: {error}"[:200]}
        rows.append({"id": bug["id"], **row, "controls": len(spent), "spent": sum(spent)})
        print(json.dumps(rows[-1]), flush=True)
    passed = [row for row in rows if row["state"] == "pass"]
    print(
        json.dumps(
            {
                "confirmed": len(passed),
                "of": len(rows),
                "suspicious": [row["id"] for row in rows if row["state"] == "suspicious"],
                "seconds": round(sum(row["seconds"] for row in passed), 1),
                "of them controls": round(sum(row["spent"] for row in passed), 1),
            }
        )
    )


def spy() -> list[float]:
    """The seconds of every control that is run from now on."""
    spent: list[float] = []
    control = Trials.control

    def timed(*args: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            return control(*args, **options)
        finally:
            spent.append(time.monotonic() - began)

    Trials.control = timed  # type: ignore[method-assign]
    return spent


def confirmed(bug: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "project")
        root.mkdir()
        with tarfile.open(options.folder / "trees" / f"{bug['id']}.tar.xz") as archive:
            archive.extractall(root, filter="data")
        while len(inner := list(root.iterdir())) == 1 and not (root / bug["path"]).exists():
            root = inner[0]
        fixed = Path(scratch, "fixed")
        shutil.copytree(root, fixed, symlinks=True)
        subprocess.run(["patch", "-p1", "-s"], input=bug["fix"], text=True, cwd=fixed, check=True)
        text = SourceFile.decode_any((fixed / bug["path"]).read_bytes()).text
        args = [*bug["tests"], *(f"--deselect={test}" for test in bug["deselect"])]
        env = {"PYTHONPATH": ":".join(str(root / path) for path in bug["pythonpath"])}
        run = run_tests(root, args, python=Path(options.python), env=env)
        outcomes = {case.id: case.outcome for case in run.cases}

        def sandbox() -> Sandbox:
            tree = Path(tempfile.mkdtemp(dir=scratch)) / "tree"
            shutil.copytree(root, tree, symlinks=True)
            return LocalSandbox(tree, python=options.python)

        with Confirmer(
            sandbox, python=options.python, args=args, root=root, baseline=outcomes,
            seconds={case.id: case.seconds for case in run.cases}, env=env,
        ) as confirmer:  # fmt: skip
            until = None if options.orders else time.monotonic()
            found = confirmer.confirm(Candidate({bug["path"]: text}), bug["failing"], until)
        verdict = found.verdict
        return {
            "state": verdict.state.value, "detail": verdict.detail, "tests": len(outcomes),
            "seconds": verdict.seconds, "runs": len(found.claims.runs) if found.claims else 0,
        }  # fmt: skip


if __name__ == "__main__":
    main()
