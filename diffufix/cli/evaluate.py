"""`diffufix evaluate SUITE`, `compare`, `sweep`, `suites`: published benchmarks, and real bugs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import diffufix
from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.errors import UsageError

#: Words that are commands; everything else that comes first is a suite.
_RUN = "run"


class _SuiteFirst(TyperGroup):
    """`evaluate SUITE` is `evaluate run SUITE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SuiteFirst,
    no_args_is_help=True,
    help="Measure a model on published benchmarks: `diffufix evaluate SUITE`, where SUITE is a "
    "name (`diffufix evaluate suites` lists them), a file or a folder of real bugs.",
)

Data = Annotated[
    Path | None,
    typer.Option(
        help="The suite's data: your copy of the file or checkout.", show_default="fetched"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the run.", show_default="evaluation/SUITE-MODEL"),
]
Every = Annotated[int, typer.Option(min=1, help="Take every n-th case only.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take at most this many cases.")]
Only = Annotated[str, typer.Option(metavar="ID,...", help="Take these cases only.")]
Again = Annotated[bool, typer.Option("--again", help="Begin anew; what --out holds is removed.")]
AnyVersion = Annotated[
    bool, typer.Option("--any-version", help="Take data of another version; results say so.")
]
Check = Annotated[
    bool,
    typer.Option("--check", help="No model: the publisher's solutions, then the faulty ones."),
]
Budget = Annotated[float, typer.Option(min=1, help="Repairs: seconds for each case.")]
Venvs = Annotated[
    Path | None,
    typer.Option(help="Where environments of real bugs are kept.", show_default="the user's cache"),
]
Base = Annotated[str, typer.Option(help="The interpreter for cases.", show_default="a fitting one")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to downloads: data and models.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@dataclass(frozen=True)
class _Asked:
    """Options that repairs and completions share."""

    suite: str
    data: Path | None
    out: Path | None
    every: int
    limit: int | None
    only: tuple[str, ...]
    again: bool
    any_version: bool
    yes: bool
    json: bool


@app.command(_RUN, hidden=True, context_settings={"ignore_unknown_options": False})
def run(
    suite: Annotated[str, typer.Argument(help="A suite's name, its file, or its folder.")],
    passed_on: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Repairs: options of `diffufix repair`."),
    ] = None,
    data: Data = None,
    out: Out = None,
    every: Every = 1,
    limit: Limit = None,
    only: Only = "",
    again: Again = False,
    any_version: AnyVersion = False,
    check: Check = False,
    model: options.Model = None,
    budget: Budget = 60.0,
    venvs: Venvs = None,
    base: Base = "",
    sandbox: options.Sandbox = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Run a suite, or go on with a run that was cut short."""
    asked = _Asked(
        suite, data, out, every, limit, tuple(filter(None, only.split(","))), again, any_version,
        yes, json,
    )  # fmt: skip
    from diffufix.evaluation.suites import open_suite

    opened = open_suite(suite, data, agreed=_agreed(asked), any_version=any_version)
    from diffufix.evaluation.repairing import RepairPlan

    plan = RepairPlan(budget, model or "", sandbox or "auto", tuple(passed_on or ()), check)
    _repairs(asked, opened, plan, venvs, base)


def _repairs(asked: _Asked, opened: Any, plan: Any, venvs: Path | None, base: str) -> None:
    from diffufix.evaluation.environments import Environments
    from diffufix.evaluation.repairing import check_case, run_case

    environments = Environments(venvs, base)
    settings = {"budget": plan.budget, "sandbox": plan.sandbox, "options": list(plan.options)}
    one = check_case if plan.check else run_case
    model = "publisher's fixes" if plan.check else plan.model or "by machine"
    _carry_out(asked, opened, model, settings, lambda case: one(case, plan, environments))


def _carry_out(asked: _Asked, opened: Any, model: str, settings: dict[str, Any], one: Any) -> None:
    """Drive the run, write its files, print its table."""
    from diffufix.evaluation.driving import drive
    from diffufix.evaluation.runs import RunFolder
    from diffufix.evaluation.suites import selected
    from diffufix.evaluation.summaries import summary
    from diffufix.report import evaluation as report
    from diffufix.report import jsondoc

    items = selected(opened, every=asked.every, limit=asked.limit, only=asked.only)
    form = opened.format
    described = {
        "suite": form.name, "title": form.title, "kind": form.kind, "model": model,
        "data": {"name": opened.found.path.name, "version": opened.found.version},
        "every": asked.every, "limit": asked.limit, "only": list(asked.only),
        "settings": settings, "notes": list(opened.notes),
        "started": datetime.now().isoformat(timespec="seconds"),
        "diffufix_version": diffufix.__version__,
        "command": shlex.join(["diffufix", *sys.argv[1:]]),
    } | ({"samples": settings["samples"]} if "samples" in settings else {})  # fmt: skip
    place = asked.out or Path("evaluation") / f"{form.name}-{_plain(model)}"
    folder = RunFolder(place, described, again=asked.again)
    echo(f"{form.title}: {len(items)} cases, {len(folder.rows)} of them done; {place}", err=True)
    for note in opened.notes:
        echo(f"note: {note}", err=True)
    rows = drive(folder, items, one, _teller(form.kind))
    total = summary(described, rows)
    written = report.write(place, described, rows, total)
    if asked.json:
        document = jsondoc.rows_document("cases", rows) | {"run": described, "summary": total}
        sys.stdout.write(jsondoc.dump(document))
    else:
        echo(f"{form.title}, {model}\n")
        echo("\n".join(report.lines_of(described, total)))
        echo(f"\nwritten: {', '.join(map(str, written))}", err=True)


def _plain(text: str) -> str:
    """A name for a folder."""
    kept = "".join(c if c.isalnum() or c in ".-_" else "-" for c in text.rstrip("/").split("/")[-1])
    return kept.strip("-.") or "model"


def _teller(kind: str) -> Any:
    from diffufix.report.evaluation import outcome

    def tell(number: int, count: int, row: dict[str, Any], fresh: bool) -> None:
        if not fresh:
            return
        if kind == "repair":
            said = f"{outcome(row):32} {row.get('tried') or 0:>6} tried"
            more = row.get("message", "") if not row["green"] else ""
        else:
            said = "; ".join(
                f"{level} {sum(s['states'].get(level) == 'pass' for s in row['samples'])}"
                f" of {len(row['samples'])}" for level in row["levels"]
            )  # fmt: skip
            more = ""
        line = (
            f"{number:>4}/{count} {row['id']:24} {said} {row.get('seconds', 0):>7} s  {more[:80]}"
        )
        echo(line.rstrip(), err=True)

    return tell


def _agreed(asked: _Asked) -> Any:
    def agreed(offer: str) -> bool:
        if asked.yes:
            return True
        if asked.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        echo(f"{offer} Fetch it? [y/N] ", err=True, nl=False)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return agreed


@app.command("suites")
def suites(json: Json = False) -> None:
    """The suites, and where their data is published."""
    from diffufix.evaluation.suites import SUITES
    from diffufix.report import jsondoc

    rows = [
        {
            "name": each.name, "title": each.title, "kind": each.kind, "cases": each.cases or None,
            "url": each.publication.url if each.publication else None,
            "licence": each.publication.licence if each.publication else None,
        }
        for each in SUITES.values()
    ]  # fmt: skip
    if json:
        sys.stdout.write(jsondoc.dump(jsondoc.rows_document("suites", rows)))
        return
    for row in rows:
        echo(f"{row['name']:28} {row['kind']:9} {row['cases'] or '-':>5}  {row['title']}")
        echo(f"{'':28} {row['url'] or 'your own folder (docs/evaluate.md)'}")


def _runs(paths: Sequence[Path]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    from diffufix.evaluation.runs import read_run

    return [read_run(path) for path in paths]


@app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a run.")],
    b: Annotated[Path, typer.Argument(help="Folder of another run of the same suite.")],
    json: Json = False,
) -> None:
    """Is B better than A? A paired test over the cases that both have."""
    from diffufix.evaluation.statistics import paired
    from diffufix.evaluation.summaries import figures
    from diffufix.report import evaluation as report
    from diffufix.report import jsondoc

    (run_a, rows_a), (run_b, rows_b) = _runs([a, b])
    if run_a["suite"] != run_b["suite"]:
        raise UsageError(
            f"{a} is a run of {run_a['suite']}, {b} of {run_b['suite']}.",
            "Two runs of one suite can be compared.",
        )
    notes = []
    if run_a["data"]["version"] != run_b["data"]["version"]:
        notes.append("the two runs read different versions of the data")
    if run_a["settings"] != run_b["settings"]:
        notes.append(f"their settings differ: {run_a['settings']} and {run_b['settings']}")
    found = {}
    for name, figure in figures(run_a, rows_a).items():
        try:
            found[name] = paired(
                {row["id"]: figure(row) for row in rows_a},
                {row["id"]: figures(run_b, rows_b)[name](row) for row in rows_b},
            )
        except (KeyError, ValueError) as error:
            raise UsageError(f"{a} and {b} cannot be compared: {error}.") from error
    if json:
        told = {name: each.document() for name, each in found.items()}
        sys.stdout.write(jsondoc.dump(jsondoc.document({"figures": told, "notes": notes})))
        return
    echo("\n".join(report.comparison(str(a), str(b), found, notes)))
