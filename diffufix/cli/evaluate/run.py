"""`diffufix evaluate SUITE`: run a suite, or go on with a run that was cut short."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import diffufix
from diffufix.cli import options as common
from diffufix.cli.evaluate import options
from diffufix.cli.evaluate.options import CaseSelection, plain
from diffufix.cli.out import echo
from diffufix.config import load_settings
from diffufix.errors import UsageError
from diffufix.report.words import counted

if TYPE_CHECKING:
    from diffufix.completion.types import Completer, SamplingPlan
    from diffufix.evaluation.suites import OpenSuite
    from diffufix.evaluation.verdicts import ProgramJudge

INFILLING_TOKENS, TOKENS = 64, 512


def run(
    suite: options.Suite,
    passed_on: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Repairs: options of `diffufix repair`."),
    ] = None,
    data: options.Data = None,
    out: options.Out = None,
    every: options.Every = 1,
    limit: options.Limit = None,
    only: options.Only = "",
    again: options.Again = False,
    any_version: options.AnyVersion = False,
    check: options.Check = False,
    model: common.Model = None,
    adapter: common.Adapter = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    max_cost: common.MaxCost = None,
    budget: options.Budget = 60.0,
    samples: options.Samples = 1,
    temperature: options.Temperature = 0.2,
    top_p: options.TopP = 0.95,
    max_tokens: options.MaxTokens = None,
    tokens_per_step: options.TokensPerStep = 1,
    style: options.Style = "auto",
    seconds: options.Seconds = 20.0,
    batch: options.Batch = 8,
    sandbox: common.Sandbox = None,
    image: common.Image = None,
    python: options.Python = None,
    venvs: options.Venvs = None,
    workers: common.Workers = None,
    on: common.On = None,
    seed: common.Seed = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Measure a model on a suite. A run that was cut short goes on where it ended.

    Examples:
      diffufix evaluate humanevalfix --data cases.jsonl --every 10
      diffufix evaluate bugs/ --budget 120 -- --accept plausible    # options of `repair`
      diffufix evaluate humaneval+ --check                          # is the data sound?
      diffufix evaluate mbpp+ --model FOLDER -n 10 --temperature 0.6
    """
    asked = CaseSelection(suite, data, out, every, limit, only, again, any_version, yes, json)
    opened = asked.open()
    chosen = {
        "model": model, "adapter": adapter, "device": device, "dtype": dtype, "max_cost": max_cost,
        "yes": yes,
    }  # fmt: skip
    if opened.format.kind == "repair":
        passed = _words(chosen, "adapter", "device", "dtype", "max_cost")
        passed += passed_on or ()
        passed += [f"--workers={workers}"] if workers else []
        passed += [f"--seed={seed}"] if seed else []
        where = load_settings(Path.cwd(), (), {"sandbox": sandbox, "image": image})
        plan = {"budget": budget, "sandbox": where.sandbox, "options": passed}
        plan |= {"image": where.image} if where.image else {}
        with _cluster("" if check else on or "") as words:
            _repairs(asked, opened, plan, model or "", check, venvs, python or "", words)
        return
    if on:
        raise UsageError(
            "--on is for suites of faults.", "Programs are judged on this machine: --workers."
        )
    if passed_on:
        raise UsageError(
            f"{opened.format.title} is no suite of faults: `{passed_on[0]}` is passed to nobody.",
            "What follows -- are options of `diffufix repair`.",
        )
    with judge_of(sandbox, image, python, workers) as judge:
        if check:
            _check(asked, opened, judge)
            return
        sampling = sampling_of(
            opened, temperature, top_p, max_tokens, tokens_per_step=tokens_per_step,
            seed=seed or 0, batch=batch, seconds=seconds,
        )  # fmt: skip
        evaluate_with(asked, opened, completer_of(chosen), judge, sampling, samples, style)


def _words(chosen: dict[str, Any], *names: str) -> list[str]:
    return [f"--{n.replace('_', '-')}={chosen[n]}" for n in names if chosen[n] is not None]


def _repairs(
    asked: CaseSelection, opened: OpenSuite, plan: dict[str, Any], model: str, check: bool,
    venvs: Path | None, python: str, words: Sequence[str] = (),
) -> None:  # fmt: skip
    from diffufix.evaluation.environments import Environments
    from diffufix.evaluation.repairing import RepairPlan, check_case, run_case

    environments = Environments(venvs, python)
    agreed = ("--yes",) if asked.yes else ()  # nobody can be asked there
    options = (*agreed, *plan["options"], *words)
    repairing = RepairPlan(plan["budget"], model, plan["sandbox"], options, plan.get("image", ""))
    one = check_case if check else run_case
    plan |= {"check": True} if check else {}
    name = "publisher's fixes" if check else model or "by machine"
    total = carry_out(asked, opened, name, plan, lambda case: one(case, repairing, environments))
    if check:
        _sound(total)


@contextmanager
def _cluster(on: str) -> Iterator[list[str]]:
    """What tells each repair of the cluster; one that is made here is made once for all."""
    from diffufix.cluster import cluster_of

    with cluster_of(on if on == "ray" else "") as made:
        yield [f"--on=ray:{made.address}"] if made else [f"--on={on}"] if on else []


def _check(asked: CaseSelection, opened: OpenSuite, judge: ProgramJudge) -> None:
    from diffufix.evaluation.completing import Checking

    settings: dict[str, Any] = {"samples": 1, "check": True}
    start = Checking(judge).start
    _sound(carry_out(asked, opened, "publisher's solutions", settings, start, judge.workers))


def _sound(total: dict[str, Any]) -> None:
    """Exit code 1 where a publisher's solution does not pass, or a broken program does."""
    wanted = [rate["value"] for name, rate in total["rates"].items() if name != "called"]
    if min(wanted, default=1.0) < 1.0 or total.get("broken", {}).get("pass"):
        echo("Some solution of the publisher's does not pass here, or a broken one does.", err=True)
        raise typer.Exit(1)


def judge_of(
    sandbox: str | None, image: str | None, python: str | None, workers: int | None
) -> ProgramJudge:
    """The judge of programs that the options ask for."""
    from diffufix.evaluation.verdicts import ProgramJudge

    settings = load_settings(Path.cwd(), (), {"sandbox": sandbox, "image": image})
    judge = ProgramJudge(
        sandbox=settings.sandbox, image=settings.image, python=python or "",
        workers=workers or os.cpu_count() or 1,
    )  # fmt: skip
    if judge.place.note:
        echo(f"warning: {judge.place.note}", err=True)
    return judge


def sampling_of(
    opened: OpenSuite, temperature: float, top_p: float, max_tokens: int | None, **others: Any
) -> SamplingPlan:
    """How completions are drawn, by the options; `others` are fields of SamplingPlan."""
    from diffufix.completion.types import SamplingPlan

    tokens = max_tokens or (INFILLING_TOKENS if opened.format.kind == "infilling" else TOKENS)
    return SamplingPlan(temperature, None if top_p in (0, 1) else top_p, tokens, **others)


def evaluate_with(
    asked: CaseSelection, opened: OpenSuite, completer: Completer, judge: ProgramJudge,
    sampling: SamplingPlan, samples: int, style: str, quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A run of completions with what is loaded already. Returns the summary."""
    from dataclasses import asdict

    from diffufix.evaluation.completing import Completing, CompletionPlan
    from diffufix.report.result import took

    plan = CompletionPlan(1 if sampling.temperature == 0 else samples, style, sampling)
    settings = {
        "samples": plan.samples, "style": plan.style_for(completer), **asdict(sampling),
        "weights": completer.weights, "ordered": completer.ordered,
    }  # fmt: skip
    start = Completing(completer, judge, plan).start
    total = carry_out(asked, opened, completer.name, settings, start, 2, quiet)
    if spent := completer.spent():
        echo(took(completer.name, spent), err=True)
    return total


def completer_of(chosen: dict[str, Any]) -> Any:
    """The model or engine by the options of the group "Model" and `yes`."""
    from diffufix.cli.consent import settled
    from diffufix.completion.completer import open_completer

    return open_completer(settled(load_settings(Path.cwd(), (), chosen)))


def carry_out(
    asked: CaseSelection, opened: OpenSuite, model: str, settings: dict[str, Any],
    start: Callable[[Any], Any], ahead: int = 1, quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Drive the run, write its files, print its table. Returns the summary."""
    from diffufix.evaluation.driving import drive
    from diffufix.evaluation.published import beside
    from diffufix.evaluation.runs import RunFolder
    from diffufix.evaluation.suites import selected
    from diffufix.evaluation.summaries import summary
    from diffufix.report import evaluation as report
    from diffufix.report import jsondoc

    items = selected(opened, every=asked.every, limit=asked.limit, only=asked.ids)
    form = opened.format
    described: dict[str, Any] = {
        "suite": form.name, "title": form.title, "kind": form.kind, "model": model,
        "data": {"name": opened.found.path.name, "version": opened.found.version},
        "every": asked.every, "limit": asked.limit, "only": list(asked.ids),
        "settings": settings, "notes": list(opened.notes),
        "samples": settings.get("samples"), "ordered": settings.get("ordered", False),
        "started": datetime.now().isoformat(timespec="seconds"),
        "diffufix_version": diffufix.__version__,
        "command": shlex.join(["diffufix", *sys.argv[1:]]),
    }  # fmt: skip
    place = asked.out or Path("evaluation") / f"{form.name}-{plain(model)}"
    folder = RunFolder(place, described, again=asked.again)
    done = sum(folder.done(item.id) is not None for item in items)
    echo(f"{form.title}: {counted(len(items), 'case')}, {done} of them done; {place}", err=True)
    for note in opened.notes:
        echo(f"note: {note}", err=True)
    rows = drive(folder, items, start, _tell, ahead)
    total = summary(described, rows)
    others = beside(described, total)
    written = report.write(place, described, rows, total, others)
    if quiet:
        return total
    if asked.json:
        told = {"run": described, "summary": total, "cases": rows}
        sys.stdout.write(jsondoc.dump(jsondoc.document(told)))
    else:
        echo(f"{form.title}, {model}\n")
        echo("\n".join([*report.lines_of(described, total), *([""] if others else []), *others]))
        echo(f"\nwritten: {', '.join(map(str, written))}", err=True)
    return total


def _tell(number: int, count: int, row: dict[str, Any], fresh: bool) -> None:
    from diffufix.report.evaluation import case_line

    if fresh:
        echo(f"{number:>4}/{count} {case_line(row)}", err=True)


def suites(json: options.Json = False) -> None:
    """The suites, and where their data is published.

    Examples:
      diffufix evaluate suites
      diffufix evaluate suites --json
    """
    from diffufix.evaluation.suites import SUITES
    from diffufix.report import jsondoc

    rows: list[dict[str, Any]] = [
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
