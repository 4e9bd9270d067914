"""`diffufix inspect`: how a model fills a hole, step by step; or the page of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.config import load_settings
from diffufix.errors import UsageError
from diffufix.project import find_root
from diffufix.report import jsondoc, style


def inspect(
    what: Annotated[
        str,
        typer.Argument(metavar="PROMPT|RUN", help="Code left of a hole; or the number of a run."),
    ],
    right: Annotated[
        str, typer.Option(help="Code right of the hole.", show_default="an empty line")
    ] = "\n",
    length: Annotated[int, typer.Option(min=1, max=256, help="Masks to begin with.")] = 16,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Samples per temperature.")] = 4,
    temperature: Annotated[
        list[float] | None,
        typer.Option(help="May be repeated.", show_default="0.2, 0.8 and 1.2"),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page that needs nothing else.")
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a picture.")] = None,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    seed: options.Seed = None,
    yes: options.Yes = None,
    json: options.JsonFlag = False,
) -> None:
    r"""Watch a model fill a hole: which tokens come first, how sure it is, how left to right.

    Examples:
      diffufix inspect $'def add(a, b):\n    return ' --html add.html
      diffufix inspect 'total = sum(' --right ')' --length 6 --temperature 0 --samples 1
      diffufix inspect 3 --html run.html
    """
    if what.isdigit():
        _run(int(what), html)
        return
    from diffufix.cli.consent import settled
    from diffufix.completion.denoised import denoise
    from diffufix.registry.policy import choose_policy
    from diffufix.report.inspection import (
        inspection_document,
        inspection_lines,
        inspection_page,
        state_line,
        write_picture,
    )

    for path in (html, png):
        if path is not None and not path.resolve().parent.is_dir():
            raise UsageError(f"There is no folder {path.resolve().parent}.", "Make it first.")
    given = {
        "model": model, "adapter": adapter, "device": device, "dtype": dtype, "seed": seed,
        "yes": yes,
    }  # fmt: skip
    settings = settled(load_settings(Path.cwd(), (), given))
    loaded = choose_policy(settings).load(settings.device, settings.dtype)
    live = style.is_terminal(sys.stderr) and not json
    width = style.width_of(sys.stderr) - 12

    def seen(step: int, state: Sequence[str | None]) -> None:
        if live:
            sys.stderr.write(f"\r\x1b[K  step {step:>3}  {state_line(state)[:width]}")
            sys.stderr.flush()

    heat = temperature or [0.2, 0.8, 1.2]
    runs = denoise(
        loaded, what, right, temperatures=heat, samples=samples, length=length,
        seed=settings.seed, seen=seen,
    )  # fmt: skip
    if live:
        sys.stderr.write("\r\x1b[K")
    if html is not None:
        told = f"{samples} samples of {length} masks at each temperature, seed {settings.seed}."
        html.write_text(inspection_page(loaded.name, what, right, told, runs), "utf-8")
    if png is not None:
        write_picture(runs, png)
    if json:
        echo(jsondoc.dump(jsondoc.rows_document("inspection", inspection_document(runs))), nl=False)
        return
    for run in runs:
        for line in inspection_lines(run):
            echo(line)
    for path in (html, png):
        if path is not None:
            echo(f"Written: {path}", err=True)


def _run(number: int, html: Path | None) -> None:
    """The page of a run, with how its fills came to be."""
    from diffufix.report.page import write_page

    if html is None:
        raise UsageError(
            "A run is shown as a page.",
            f"`diffufix inspect {number} --html FILE`, or `diffufix runs show {number}`.",
        )
    write_page(find_root(Path.cwd()), number, html)
    echo(f"Written: {html}", err=True)
