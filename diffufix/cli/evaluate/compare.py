"""`diffufix evaluate compare A B`: a paired test of two runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli.evaluate import options
from diffufix.cli.out import echo
from diffufix.errors import UsageError


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Folder of another run of the same suite.")],
    json: options.Json = False,
) -> None:
    """Is B better than A? A paired test over the cases that both have.

    Examples:
      diffufix evaluate compare evaluation/humaneval-A evaluation/humaneval-B
    """
    from diffufix.evaluation.runs import read_run
    from diffufix.evaluation.statistics import paired
    from diffufix.evaluation.summaries import figures
    from diffufix.report import evaluation as report
    from diffufix.report import jsondoc

    (run_a, rows_a), (run_b, rows_b) = read_run(a), read_run(b)
    if run_a["suite"] != run_b["suite"]:
        raise UsageError(
            f"{a} is a run of {run_a['suite']}, {b} of {run_b['suite']}.",
            "Two runs of one suite can be compared.",
        )
    found = {}
    theirs = figures(run_b, rows_b)
    for name, figure in figures(run_a, rows_a).items():
        if name not in theirs:
            continue
        try:
            found[name] = paired(
                {row["id"]: figure(row) for row in rows_a},
                {row["id"]: theirs[name](row) for row in rows_b},
            )
        except ValueError as error:
            raise UsageError(f"{a} and {b} cannot be compared: {error}.") from error
    notes = _notes(run_a, run_b)
    if json:
        told = {name: each.document() for name, each in found.items()}
        sys.stdout.write(jsondoc.dump(jsondoc.document({"figures": told, "notes": notes})))
        return
    echo("\n".join(report.comparison(f"{a} ({run_a['model']})", f"{b} ({run_b['model']})",
                                     found, notes)))  # fmt: skip


def _notes(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    notes = []
    if a["data"]["version"] != b["data"]["version"]:
        notes.append("the two runs read different versions of the data")
    differing = [
        f"{name} {a['settings'].get(name)} and {b['settings'].get(name)}"
        for name in sorted({*a["settings"], *b["settings"]} - {"weights"})
        if a["settings"].get(name) != b["settings"].get(name)
    ]
    if differing:
        notes.append(f"their settings differ: {'; '.join(differing)}")
    return notes
