"""What `diffufix inspect` shows: one page that needs nothing else, a picture, and text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffufix.completion.denoised import KS, Denoised
from diffufix.errors import PrerequisiteError
from diffufix.events import MASK
from diffufix.trusted import visible

_PAGE = Path(__file__).with_name("page.html")


def inspection_document(runs: Sequence[Denoised]) -> list[dict[str, Any]]:
    """As JSON holds it: every state of every sample, AR-ness by k, what the first step sees."""
    return [
        {
            "temperature": run.temperature,
            "samples": [asdict(sample) for sample in run.samples],
            "first": [round(value, 4) for value in run.first],
            "local": [run.arness(k)[0] for k in KS],
            "global": [run.arness(k)[1] for k in KS],
            "distinct": run.distinct,
        }
        for run in runs
    ]


def inspection_page(model: str, left: str, right: str, told: str, runs: Sequence[Denoised]) -> str:
    """HTML with its data, style and script in it."""
    from jinja2 import Environment
    from markupsafe import Markup

    data = {"left": left, "right": right, "ks": KS, "runs": inspection_document(runs)}
    text = json.dumps(data).replace("<", "\\u003c")  # never the end of the script
    template = Environment(autoescape=True).from_string(_PAGE.read_text("utf-8"))
    return template.render(model=model, told=told, data=Markup(text))


def inspection_lines(run: Denoised) -> list[str]:
    """The first sample, with the order in which its tokens were committed, and AR-ness."""
    sample = run.samples[0]
    lines = [f"temperature {run.temperature:g}, first of {len(run.samples)} samples:"]
    lines += [f"  {line}" for line in visible(sample.text).split("\n")]
    lines.append("  order  token               probability")
    for token in sorted(sample.tokens, key=lambda each: each.step):
        lines.append(f"  {token.step + 1:>5}  {token.text!r:18}  {token.probability:>6.1%}")
    for k in KS[:3]:
        local, over = run.arness(k)
        if local is not None and over is not None:
            lines.append(f"  AR-ness k={k}: local {local:.0%}, global {over:.0%}")
    return lines


def state_line(state: Sequence[str | None]) -> str:
    """A hole on its way, in one line."""
    return visible("".join(MASK if text is None else text for text in state).replace("\n", "⏎"))


def write_picture(runs: Sequence[Denoised], path: Path) -> None:
    """Order, AR-ness and first confidence as PNG. Raises PrerequisiteError."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PrerequisiteError(
            "A picture needs matplotlib.", "pip install 'diffufix[bench]'"
        ) from error
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    for run in runs:
        named = f"T = {run.temperature:g}"
        steps = [token.step + 1 for token in run.samples[0].tokens]
        first.plot(range(1, len(steps) + 1), steps, ".-", label=named)
        values = [run.arness(k) for k in KS]
        line = second.plot(KS, [v[0] for v in values], ".-", label=f"local, {named}")[0]
        second.plot(KS, [v[1] for v in values], ".--", color=line.get_color(),
                    label=f"global, {named}")  # fmt: skip
    third.plot(range(1, len(runs[0].first) + 1), runs[0].first, ".-")
    first.set(title="Step of each token, first sample", xlabel="position", ylabel="step")
    second.set(title="AR-ness", xlabel="k", ylim=(0, 1.05))
    third.set(title="Top probability before the first step", xlabel="position", ylim=(0, 1.05))
    for axes in (first, second):
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
