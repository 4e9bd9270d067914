"""The report of a training: curves from log.jsonl as report.html and report.png, in its folder.

The page stands alone: no script, nothing fetched. Curves need matplotlib (the extra `train`); the
page without them has the same figures as a table.
"""

from __future__ import annotations

import html
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HTML, PNG = "report.html", "report.png"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis: keys of the log's rows under what the reader sees."""

    title: str
    curves: Mapping[str, str]
    percent: bool = False


PANELS = (
    Panel("reward", {"reward": "mean", "reward_std": "spread"}),
    Panel("completions", {"passed": "pass", "unchanged": "unchanged"}, percent=True),
    Panel("tasks solved, mean of all tried", {"solve_rate": "rate"}, percent=True),
    Panel("groups with signal", {"signal": "share"}, percent=True),
    Panel("KL to the reference (nats)", {"kl": "KL"}),
    Panel("clipped ratios", {"clipped": "share"}, percent=True),
    Panel("completion length (tokens)", {"length": "mean"}),
    Panel("AR-ness (left to right)", {"arness": "share"}, percent=True),
    Panel("loss", {"loss": "loss"}),
    Panel("gradient norm", {"norm": "norm"}),
    Panel(
        "throughput (per second)",
        {key: key.partition("/")[0] for key in ("samples/s", "verdicts/s", "scored/s")},
    ),
    Panel("updates per second", {"updates/s": "updates"}),
)
_COLOURS = ("#2563a8", "#c2571a", "#3b7d3b")
_DASHES = ("-", "--", ":")


@dataclass(frozen=True)
class Facts:
    """What the page says beside the curves. `gate` are lines of text, `use` commands."""

    title: str
    summary: Sequence[str] = ()
    gate: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    use: Sequence[str] = ()


def write_report(folder: Path, facts: Facts) -> list[Path]:
    """Write the report beside the folder's log.jsonl; returns what was written.

    Raises OSError where the folder cannot be written.
    """
    rows = read_rows(folder / "log.jsonl")
    panels = [panel for panel in PANELS if any(_points(rows, key) for key in panel.curves)]
    pictures = _draw(rows, panels) if panels else None
    page = folder / HTML
    page.write_text(_page(facts, rows, panels, pictures[0] if pictures else ""), "utf-8")
    if pictures is None:
        return [page]
    (folder / PNG).write_bytes(pictures[1])
    return [page, folder / PNG]


def read_rows(log: Path) -> list[dict[str, Any]]:
    """The rows of a log; none where there is no log, a row cut short by a crash is left out."""
    rows = []
    for line in log.read_text("utf-8").splitlines() if log.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


# -- curves ----------------------------------------------------------------------------------------


def _points(rows: Rows, key: str) -> list[tuple[int, float]]:
    return [
        (row["step"], float(row[key]))
        for row in rows
        if isinstance(row.get(key), int | float) and math.isfinite(row[key])
    ]


def smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Each with the mean of itself and `reach` neighbours on both sides, as far as there are."""
    parts = [values[max(0, i - reach) : i + reach + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def _draw(rows: Rows, panels: Sequence[Panel]) -> tuple[str, bytes] | None:
    """The panels as SVG and as PNG; None without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return None
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    fonts: Any = {
        "font.size": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "diffufix",
        "axes.axisbelow": True,
    }
    with rc_context(fonts):
        figure = Figure(figsize=(3.7 * across, 2.35 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=False):
            _draw_one(axis, rows, panel)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=130)
    text = svg.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text, png.getvalue()


def _draw_one(axis: Any, rows: Rows, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    drawn = [(name, points) for key, name in panel.curves.items() if (points := _points(rows, key))]
    for (name, points), colour, dash in zip(drawn, _COLOURS, _DASHES, strict=False):
        steps, values = [step for step, _ in points], [value for _, value in points]
        reach = len(values) // 30
        if reach:
            axis.plot(steps, values, color=colour, alpha=0.3, linewidth=0.8)
        style = {"color": colour, "linestyle": dash, "linewidth": 1.6, "label": name}
        axis.plot(steps, smoothed(values, reach), marker="o" if len(values) < 8 else "", **style)
    axis.set_title(panel.title, loc="left", fontsize=9.5)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_xlabel("step", fontsize=8)
    values = [value for _, points in drawn for _, value in points]
    if min(values) >= 0:
        axis.set_ylim(bottom=0, top=None if max(values) > 0 else 1)
    if panel.percent:
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if max(values) > 0.05 else 1))
    if len(drawn) > 1:
        axis.legend(frameon=False, fontsize=8)


# -- the page --------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff;
       max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; border-bottom: 1px solid #ddd; }
td + td, th + th { text-align: right; }
pre { background: #f4f4f4; padding: .7rem 1rem; overflow-x: auto; }
.columns { display: flex; flex-wrap: wrap; gap: 3rem; align-items: flex-start; }
svg { max-width: 100%; height: auto; }
"""


def _page(facts: Facts, rows: Rows, panels: Sequence[Panel], svg: str) -> str:
    parts = [f"<h1>{_text(facts.title)}</h1>"]
    parts += [f"<p>{_text(line)}</p>" for line in facts.summary]
    if facts.gate:
        lines = "\n".join(map(_text, facts.gate))
        parts += ["<h2>Compared on held-out functions</h2>", f"<pre>{lines}</pre>"]
    if svg:
        parts += ["<h2>Curves</h2>", svg]
    elif panels:
        parts.append("<p>No curves: matplotlib is missing (pip install 'diffufix[train]').</p>")
    parts.append('<div class="columns">')
    if panels:
        parts.append(_figures(rows, panels))
    parts += [_table("Data", facts.data), _table("Settings", facts.settings), "</div>"]
    if facts.use:
        lines = "\n".join(map(_text, facts.use))
        parts += ["<h2>Use it, or not</h2>", f"<pre>{lines}</pre>"]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(facts.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _figures(rows: Rows, panels: Sequence[Panel]) -> str:
    """The curves as numbers: the mean of the first and of the last tenth of their rows."""
    lines = []
    for panel in panels:
        for key, name in panel.curves.items():
            values = [value for _, value in _points(rows, key)]
            if values:
                part = max(1, len(values) // 10)
                title = panel.title if len(panel.curves) == 1 else f"{panel.title}: {name}"
                first, last = sum(values[:part]) / part, sum(values[-part:]) / part
                shown = (f"{v:.1%}" if panel.percent else f"{v:.4g}" for v in (first, last))
                lines.append(_row(title, *shown))
    head = "<tr><th></th><th>begin</th><th>end</th></tr>"
    return f"<div><h2>Figures</h2><table>{head}{''.join(lines)}</table></div>"


def _table(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    lines = "".join(_row(key.replace("_", " "), _shown(value)) for key, value in values.items())
    return f"<div><h2>{title}</h2><table>{lines}</table></div>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"


def _shown(value: Any) -> str:
    if type(value) is int:
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    return html.escape(text)
