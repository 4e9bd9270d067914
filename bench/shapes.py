"""Does `diffufix repair` do right on projects of difficult shape?

    python bench/shapes.py FOLDER [--only NAME ...] [--budget 60] [--python P] [--newer P]
        [--report FILE.md] [--logs FOLDER]

FOLDER holds one small project a folder, each with one fault. Every one is copied, made a git
repository and repaired with `--sandbox local --accept plausible` (how much speaks for a patch is
another matter); the patch on stdout is applied with `git apply` and the project's tests are run
once more. What is expected of each stands in `SHAPES`: `repaired` for
those that are not named there. `--python` is an interpreter with pytest (and the plugins that
`SHAPES` names; without them a shape is left out), `--newer` one with pytest on Python 3.12 or
later. One row a project, on stdout and in the report, which is written anew after each.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPAIRED = "repaired"
SAID = (
    "Repaired",
    "The patch",
    "A patch",
    "No ",
    "All ",
    "Of ",
    "Tried ",
    "What ",
    "error",
    "hint",
)


@dataclass(frozen=True)
class Shape:
    """How one project is run, and the outcome that is right for it.

    `expect`: `repaired` (exit status 0, the suite passes with the patch); else a text that has to
    be in what is said, without a claim that all is repaired.
    """

    expect: str = REPAIRED
    folder: str = ""  # below the project, where the command is run
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""  # a module of the interpreter
    newer: bool = False
    plain_run_first: bool = False
    import_roots: tuple[str, ...] = ()  # on PYTHONPATH: what an editable install would do
    check: tuple[str, ...] = ()  # further arguments of pytest where the patch is checked
    user_site: bool = False  # pytest is installed for the user only
    why: str = ""


SHAPES: dict[str, Shape] = {
    "02-rootpkg": Shape(folder="lamp"),
    "06-lf": Shape(arguments=("--lf",), plain_run_first=True),
    "07-envvar": Shape(environment={"MARKS_SCALE": "100"}),
    "07b-envvar-in-test": Shape(environment={"MARKS_SCALE": "100"}),
    "09-helper": Shape(why="the helper of the tests is not edited"),
    "13-newsyntax": Shape(newer=True),
    "16-mono": Shape(folder="libs/core", import_roots=("libs/core/src",)),
    "18-timeout-thread": Shape(needs="pytest_timeout"),
    "19-segfault": Shape(expect="ended", why="a test ends pytest: said, with its name"),
    "24b-closefds": Shape(
        expect="Still failing", why="the test closes what pytest writes to: pytest itself ends"
    ),
    "36-one-file": Shape(
        expect="holds the tests and the code", arguments=("kata.py",), why="code and tests in one"
    ),
    "39-skips": Shape(check=("-k", "not test_flaky")),
    "48-lint-items": Shape(needs="pytest_ruff"),
    "54-usersite": Shape(user_site=True),
}


HEAD = """\
| shape | right | exit | s | first line of the patch | what was said |
|---|---|---|---|---|---|"""


def has(python: str, module: str) -> bool:
    asked = [python, "-c", f"import importlib.util as u; exit(u.find_spec({module!r}) is None)"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def run(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> tuple[int, bytes, str]:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def one(
    source: Path, shape: Shape, options: argparse.Namespace, scratch: Path
) -> dict[str, object]:
    """Run one project; the row of the table."""
    root = scratch / source.name
    shutil.copytree(source, root, symlinks=True)
    for path in [path for path in root.rglob("*") if path.is_file() and path.stat().st_size < 200]:
        text = path.read_bytes().decode("utf-8", "replace").strip()
        if "/" in text and "\n" not in text and (path.parent / text).is_file():
            path.unlink()  # a link that became a file on the way
            path.symlink_to(text)
    place = root / shape.folder
    top = place if shape.folder and (place / "__init__.py").is_file() else root
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=top, check=True, capture_output=True)
    environment = {**os.environ, **shape.environment}
    python = options.newer if shape.newer else options.python
    if shape.user_site:
        python = user_site(scratch, options.python, environment)
    if shape.import_roots:
        environment["PYTHONPATH"] = os.pathsep.join(str(root / path) for path in shape.import_roots)
    test = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if shape.plain_run_first:
        run(test[:-2], place, environment)
    ours = {
        **environment,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]),
    }
    command = [sys.executable, "-m", "diffufix", "repair", "--sandbox", "local"]
    command += ["--accept", "plausible", "--python", python, f"--budget={options.budget:g}"]
    command += shape.arguments
    began = time.monotonic()
    status, out, told = run(command, place, ours)
    seconds = time.monotonic() - began
    patch, said = b"", out.decode("utf-8", "replace")
    if b"--- a/" in out:
        start = out.index(b"--- a/")
        patch = out[start:].split(b"\n\n")[0] + b"\n"
    applied = passes = False
    if patch:
        (scratch / "fix.patch").write_bytes(patch)
        where = ["git", "apply", str(scratch / "fix.patch")]
        applied = run(where, place, environment)[0] == 0
        passes = run([*test, *shape.check], place, environment)[0] == 0
    if shape.expect == REPAIRED:
        right = status == 0 and applied and passes
    else:
        right = shape.expect in said + told and "\nRepaired:" not in said
    row = {"name": source.name, "right": right, "status": status, "seconds": round(seconds, 1)}
    row |= {"patch": patch.decode("utf-8", "replace"), "applied": applied, "passes": passes}
    lines = [line for line in (said + told).splitlines() if line.strip()]
    final = [line for line in lines if line.startswith(SAID) and not line.startswith("No other")]
    return row | {"said": " | ".join(final)[:300], "why": shape.why, "log": told + said}


def user_site(scratch: Path, python: str, environment: dict[str, str]) -> str:
    """An interpreter whose pytest lies in the user's site-packages, in a home of its own."""
    base = subprocess.run(
        [python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    home = scratch / "home"
    home.mkdir()
    environment["HOME"] = str(home)
    environment.pop("PYTHONNOUSERSITE", None)
    command = [f"{base}/bin/python3", "-m", "pip", "install", "-q", "--user", "pytest"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return f"{base}/bin/python3"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="names, or beginnings of names")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--newer", default="")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--logs", type=Path, help="a folder for what each run said")
    options = parser.parse_args()
    rows: list[str] = []
    wrong: list[str] = []
    began = datetime.date.today()
    shapes = [
        path
        for path in sorted(options.folder.iterdir())
        if path.is_dir() and (not options.only or path.name.startswith(tuple(options.only)))
    ]
    print(HEAD)
    for source in shapes:
        shape = SHAPES.get(source.name, Shape())
        lacks = "" if not shape.newer or options.newer else "a newer interpreter"
        if shape.needs and not has(options.python, shape.needs):
            lacks = shape.needs
        if lacks:
            rows.append(f"| {source.name} | left out: {lacks} is missing | | | | |")
        else:
            with tempfile.TemporaryDirectory(prefix="shapes-") as scratch:
                row = one(source, shape, options, Path(scratch))
            rows.append(line_of(row))
            if not row["right"]:
                wrong.append(source.name)
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                (options.logs / f"{source.name}.log").write_text(str(row["log"]))
        print(rows[-1], flush=True)
        if options.report:
            options.report.write_text(report(options, began, rows, wrong, len(shapes)))
    print(count(rows, wrong, len(shapes)))


def line_of(row: Mapping[str, object]) -> str:
    """One row of the table."""
    added = [line[1:].strip() for line in str(row["patch"]).splitlines() if line[:1] == "+"]
    changed = added[1].replace("|", "\\|") if len(added) > 1 else ""
    said = str(row["said"] or row["why"]).replace("|", "\\|")
    return (
        f"| {row['name']} | {'yes' if row['right'] else 'NO'} | {row['status']} "
        f"| {row['seconds']} | {f'`{changed[:60]}`' if changed else ''} | {said} |"
    )


def count(rows: Sequence[str], wrong: Sequence[str], of: int) -> str:
    """How many are right, and which are not."""
    ran = len([row for row in rows if "| left out:" not in row])
    text = f"{ran - len(wrong)} of {ran} that were run are right: repaired, or the right refusal."
    text += f" Wrong: {', '.join(wrong)}." if wrong else ""
    return text + (f" The run was stopped after {len(rows)} of {of}." if len(rows) < of else "")


def report(
    options: argparse.Namespace,
    began: datetime.date,
    rows: Sequence[str],
    wrong: Sequence[str],
    of: int,
) -> str:
    """The page of a run."""
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    state = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    command = f"python bench/shapes.py FOLDER --python P --newer N --budget {options.budget:g}"
    command += f" --only {' '.join(options.only)}" if options.only else ""
    versions = [versions_of(python) for python in (options.python, options.newer) if python]
    load = os.getloadavg()[2]
    return f"""# Projects of difficult shape, run whole

`{command}`, {began}, state {state or "unknown"},
diffufix on Python {platform.python_version()}; the tests on
{"; for newer syntax on ".join(versions)}.
A load of {load:.0f} over the last quarter of an hour on {os.cpu_count()} cores. The patch was
applied with `git apply` and the project's suite was run again. With `--accept plausible` the
search stops at the first patch that passes: a better one may come later.

{HEAD}
{os.linesep.join(rows)}

{count(rows, wrong, of)}
"""


def versions_of(python: str) -> str:
    """An interpreter's version, and those of pytest and the plugins that shapes need."""
    asked = (
        "import importlib.metadata as m, platform as p\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "names = ('pytest', 'pytest-timeout', 'pytest-ruff', 'ruff')\n"
        "print(p.python_version(), *(f'with {n} {have[n]}' for n in names if n in have), sep=', ')"
    )
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
