"""`diffufix evaluate sweep SUITE`: pass@1 and pass@10 against temperature, AR-ness beside them.

The figure of the DiffuCoder paper: a higher temperature of a diffusion model draws not only other
tokens but another order, so that AR-ness falls and pass@k rises.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options as common
from diffufix.cli.evaluate import options
from diffufix.cli.evaluate.options import CaseSelection, plain
from diffufix.cli.out import echo
from diffufix.errors import UsageError


def sweep(
    suite: options.Suite,
    temperature: Annotated[
        str,
        typer.Option(
            metavar="LOW:HIGH[:STEP]|T,T,...",
            help="Temperatures; the step is 0.2 without one.",
            rich_help_panel=options.SAMPLING,
        ),
    ] = "0.2:1.2",
    samples: options.Samples = 10,
    data: options.Data = None,
    out: options.Out = None,
    every: options.Every = 1,
    limit: options.Limit = None,
    only: options.Only = "",
    again: options.Again = False,
    any_version: options.AnyVersion = False,
    model: common.Model = None,
    adapter: common.Adapter = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    max_cost: common.MaxCost = None,
    top_p: options.TopP = 1.0,
    max_tokens: options.MaxTokens = None,
    style: options.Style = "auto",
    batch: options.Batch = 8,
    sandbox: common.Sandbox = None,
    image: common.Image = None,
    python: options.Python = None,
    workers: common.Workers = None,
    seed: common.Seed = None,
    yes: options.Yes = False,
    json: options.Json = False,
) -> None:
    """Sample a suite at several temperatures. Each is a run of its own, and goes on as one.

    Examples:
      diffufix evaluate sweep humaneval --temperature 0.2:1.2
      diffufix evaluate sweep mbpp+ --temperature 0.2,0.6,1.0 -n 20
    """
    from diffufix.cli.evaluate.run import completer_of, evaluate_with, judge_of, sampling_of
    from diffufix.report import evaluation_sweep as report
    from diffufix.report import jsondoc

    temperatures = values_of(temperature)
    asked = CaseSelection(suite, data, out, every, limit, only, again, any_version, yes, json)
    opened = asked.open()
    if opened.format.kind == "repair":
        raise UsageError(
            f"{opened.format.title} is a suite of faults; a repair has no temperature.",
            "Sweep over a suite of functions, such as humaneval.",
        )
    chosen = {
        "model": model, "adapter": adapter, "device": device, "dtype": dtype, "max_cost": max_cost,
        "yes": yes,
    }  # fmt: skip
    completer = completer_of(chosen)
    if completer.ordered:
        raise UsageError(
            f"{completer.name} searches and does not sample: it has no temperature.",
            "Name a model that samples with --model, such as apple/DiffuCoder-7B-Base.",
        )
    folder = out or Path("evaluation") / f"sweep-{opened.format.name}-{plain(completer.name)}"
    points = []
    with judge_of(sandbox, image, python, workers) as judge:
        for each in temperatures:
            sampling = sampling_of(opened, each, top_p, max_tokens, seed=seed or 0, batch=batch)
            total = evaluate_with(
                asked.at(folder / f"t{each:g}"), opened, completer, judge, sampling, samples, style,
                quiet=True,
            )  # fmt: skip
            points.append({"temperature": each, **total})
            written = report.write(folder, opened.format.title, completer.name, points)
    if json:
        sys.stdout.write(jsondoc.dump(jsondoc.rows_document("points", points)))
        return
    echo("\n".join(report.lines_of(points)))
    echo(f"\nwritten: {', '.join(map(str, written))}", err=True)


def values_of(text: str) -> list[float]:
    """`0.2:1.2`, `0.2:1.2:0.1` or `0.2,0.7`. Raises UsageError."""
    try:
        if ":" not in text:
            found = [float(part) for part in text.split(",")]
        else:
            low, high, *rest = map(float, text.split(":"))
            step = rest[0] if rest else 0.2
            count = round((high - low) / step) if step > 0 else -1
            found = [round(low + i * step, 6) for i in range(count + 1)]
    except ValueError:
        found = []
    if not found or min(found) <= 0 or len(found) > 50:
        raise UsageError(
            f"--temperature {text!r} is no range of temperatures above 0.",
            "Write 0.2:1.2, 0.2:1.2:0.1, or 0.2,0.6,1.0.",
        )
    return found
