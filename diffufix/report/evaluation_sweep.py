"""A sweep over temperatures: its table, and the figure of the DiffuCoder paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffufix.report.evaluation import COLOURS, rate, saved, table

Points = Sequence[Mapping[str, Any]]


def lines_of(points: Points) -> list[str]:
    """One row a temperature."""
    names = [name for name in points[0]["rates"] if name.endswith(("@1", "@10"))]
    head = ["temperature", *names, "local AR-ness", "global AR-ness", "tokens per forward"]
    rows = [
        [f"{point['temperature']:g}", *(rate(point["rates"].get(name)) for name in names),
         *(_shown(value) for value in (*point["arness"].values(), point["tokens_per_forward"]))]
        for point in points
    ]  # fmt: skip
    return table(head, rows)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write(folder: Path, title: str, model: str, points: Points) -> list[Path]:
    """sweep.json, sweep.md and, where matplotlib is there, sweep.png and sweep.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(list(points), indent=1) + "\n", "utf-8")
    lines = [f"# {title}, {model}: temperatures", "", *lines_of(points)]
    written = [folder / "sweep.json", folder / "sweep.md"]
    for suffix, content in (_figure(title, model, points) or {}).items():
        (folder / f"sweep.{suffix}").write_bytes(content)
        written.append(folder / f"sweep.{suffix}")
    if len(written) > 2:
        lines += ["", "![](sweep.png)"]
    (folder / "sweep.md").write_text("\n".join(lines) + "\n", "utf-8")
    return written


def _figure(title: str, model: str, points: Points) -> dict[str, bytes] | None:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.ticker import PercentFormatter
    except ImportError:
        return None
    fonts: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "diffufix"}
    x = [point["temperature"] for point in points]
    with rc_context(fonts):
        figure = Figure(figsize=(8.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        names = [name for name in points[0]["rates"] if name.endswith(("@1", "@10"))]
        for number, name in enumerate(names):
            colour, dash = COLOURS[number // 2 % len(COLOURS)], "--" if "@10" in name else "-"
            shares = [point["rates"].get(name) for point in points]
            known = [(t, s) for t, s in zip(x, shares, strict=True) if s is not None]
            left.plot([t for t, _ in known], [s["value"] for _, s in known], dash, marker="o",
                      markersize=3, color=colour, label=name)  # fmt: skip
            left.fill_between([t for t, _ in known], [s["low"] for _, s in known],
                              [s["high"] for _, s in known], color=colour, alpha=0.12)  # fmt: skip
        for key, label, colour in (
            ("local_arness", "local (NTP@1)", COLOURS[0]),
            ("global_arness", "global (FMS@1)", COLOURS[1]),
        ):
            pairs = [(t, p["arness"][key]) for t, p in zip(x, points, strict=True)]
            pairs = [(t, value) for t, value in pairs if value is not None]
            right.plot([t for t, _ in pairs], [v for _, v in pairs], marker="o", markersize=3,
                       color=colour, label=label)  # fmt: skip
        left.set_title(f"{title}, {model.split('/')[-1]}", fontsize=9)
        right.set_title("AR-ness", fontsize=9)
        for axis in (left, right):
            axis.set_xlabel("temperature")
            axis.set_ylim(-0.02, 1.02)
            axis.yaxis.set_major_formatter(PercentFormatter(1))
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=8, frameon=False)
        return saved(figure)
