"""Does diffufix get along with packages as they are? One planted mutant in each of forty.

    python bench/sweep.py SOURCES [--only NAMES] [--budget 30] [--out NAME]

SOURCES is where sdists are unpacked and environments are made; packages are downloaded from the
registry with pip, in the version that is newest. For each: its tests run outside of diffufix; one
function that they cover is broken by one mutation that they notice; `diffufix repair` is run on a
copy. A package works when the run ends by itself within the budget and what its tests take, with a
result (no crash, no usage error), its outcomes of the baseline are those outside, the broken
function is among the suspects, and nothing is left in the folder of temporary files. With --out
results go to bench/results/NAME.json and .md. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from bench.mutants import mutants
from bench.repair import RESULTS

#: Pure Python, tests in the sdist, known widely; none that anything is tuned on.
PACKAGES = (
    *("arrow", "blinker", "boltons", "cattrs", "chardet", "click", "colorama", "croniter"),
    *("dacite", "decorator", "dictdiffer", "dpath", "emoji", "flask", "furl", "humanize"),
    *("hyperlink", "idna", "inflect", "isodate", "itsdangerous", "jinja2", "markupsafe"),
    *("marshmallow", "mistletoe", "networkx", "parse", "pathspec", "pluggy", "ply"),
    *("prettytable", "pyparsing", "python-slugify", "pyrsistent", "sortedcontainers"),
    *("sqlparse", "tabulate", "toolz", "wcwidth", "werkzeug"),
)
EXTRA = ("pytest<9", "hypothesis", "pytz", "python-dateutil", "freezegun", "simplejson")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--out", help="name of the files in bench/results")
    args = parser.parse_args()
    only = {name for name in args.only.split(",") if name}
    rows: list[dict[str, object]] = []
    for name in PACKAGES:
        if only and name not in only:
            continue
        row = swept(name, args.sources, args.budget)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        if args.out:
            write(args.out, rows)
    print(json.dumps({"packages": len(rows), "work": sum(bool(row["works"]) for row in rows)}))


def swept(name: str, sources: Path, budget: float) -> dict[str, object]:
    """What became of one package; `why` where it does not work."""
    row: dict[str, object] = {"package": name, "works": False, "why": ""}
    try:
        tree, python = fetched(name, sources)
    except (subprocess.CalledProcessError, OSError, StopIteration, tarfile.TarError) as error:
        return {**row, "why": f"cannot be set up: {str(error)[-200:]}"}
    left = set(Path(tempfile.gettempdir()).glob("diffufix-*"))
    options = argparse.Namespace(budget=budget, python=str(python))
    made = next(iter(mutants(tree, 1, 1, random.Random(name), options)), None)
    if made is None:
        return {**row, "why": "no mutant that its tests notice was found"}
    row |= made
    new = set(Path(tempfile.gettempdir()).glob("diffufix-*")) - left
    if made["status"] not in ("repaired", "plausible", "not-repaired"):
        row["why"] = f"{made['status']}: {made['message']}"
    elif made["rank"] is None:
        row["why"] = "the broken function is not among the suspects"
    elif new:
        row["why"] = f"left behind: {sorted(new)[0].name}"
    row["works"] = not row["why"]
    return row


def fetched(name: str, sources: Path) -> tuple[Path, Path]:
    """The package's unpacked sources, and the interpreter of an environment that has it."""
    folder = sources / name
    python = folder / "env" / "bin" / "python"
    if not (folder / "ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        download = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder), name]
        subprocess.run([sys.executable, "-m", "pip", *download], check=True, capture_output=True)
        archive = next(folder.glob("*.tar.gz"))
        with tarfile.open(archive) as file:
            file.extractall(folder / "tree", filter="data")
        venv.create(folder / "env", with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", *EXTRA]
        subprocess.run([*install, str(archive)], check=True, capture_output=True)
        (folder / "ready").touch()
    return next(p for p in (folder / "tree").iterdir() if p.is_dir()), python


def write(name: str, rows: list[dict[str, object]]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [f"# {name}", "", f"{sum(bool(row['works']) for row in rows)} of {len(rows)} work.", ""]
    lines += ["| package | works | status | rank | seconds | why |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["package"], row["works"], row.get("status", ""), row.get("rank", "")]
        cells += [row.get("seconds", ""), row["why"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
