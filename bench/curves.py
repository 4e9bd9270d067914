"""Curves of training runs from their logs, one run after the other on one axis of steps.

    python bench/curves.py LOG.jsonl... [--changed STEP,STEP] [--out mini]

Left: loss on the steps' own batches, each and smoothed, and on held-out functions by kind of
example. Right: the share of held-out places whose best id is right. A run starts at a dashed line,
and at a dotted one what is held out changed, at the step given; the held-out curves break at both,
for what is measured on their two sides does not compare. Writes docs/curves/NAME.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "curves"
COLOURS = {
    "repair": "#1f77b4",
    "gap": "#ff7f0e",
    "plain": "#2ca02c",
    "history": "#9467bd",
    "body": "#d62728",
}
SMOOTH = 2  # rows of the log on each side
Rows = list[dict[str, Any]]


def read(paths: Sequence[Path]) -> list[Rows]:
    """The rows of each log, their steps counted from the first run's beginning."""
    runs: list[Rows] = []
    done = 0
    for path in paths:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        runs.append([row | {"step": row["step"] + done} for row in rows])
        done = runs[-1][-1]["step"]
    return runs


def smoothed(values: Sequence[float]) -> list[float]:
    parts = [values[max(0, i - SMOOTH) : i + SMOOTH + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def measured(rows: Rows, kind: str, changed: Sequence[int]) -> list[Rows]:
    """The rows that measure a kind of example, cut where what they measure changed."""
    quiz = [row for row in rows if f"{kind}_loss" in row]
    edges = [0, *sorted(changed), quiz[-1]["step"] if quiz else 0]
    return [[row for row in quiz if a < row["step"] <= b] for a, b in itertools.pairwise(edges)]


def draw(runs: Sequence[Rows], changed: Sequence[int], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 3.9), sharex=True)
    named: set[str] = set()
    for number, rows in enumerate(runs):
        first = number == 0
        steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
        left.plot(steps, losses, color="#999999", alpha=0.4, linewidth=1)
        left.plot(steps, smoothed(losses), color="#444444", label="training" if first else None)
        for kind, colour in COLOURS.items():
            for part in filter(None, measured(rows, kind, changed)):
                steps = [row["step"] for row in part]
                for axis, key in ((left, f"{kind}_loss"), (right, f"{kind}_top1")):
                    axis.plot(
                        steps, [row[key] for row in part], color=colour, marker="o", markersize=4,
                        label=None if kind in named else f"held out: {kind}",
                    )  # fmt: skip
                    named.add(kind)
        for axis in (left, right):
            if not first:
                axis.axvline(runs[number - 1][-1]["step"], color="#bbbbbb", linestyle="--")
    for step in changed:
        for axis in (left, right):
            axis.axvline(step, color="#bbbbbb", linestyle=":")
    left.set_ylabel("loss (nats)")
    right.set_ylabel("best id is right")
    right.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1)
    for axis in (left, right):
        axis.set_xlabel("step")
        axis.grid(alpha=0.25)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, ncols=len(labels), loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--changed", default="", help="steps, from the first run's beginning")
    parser.add_argument("--out", default="mini")
    args = parser.parse_args()
    changed = [int(step) for step in args.changed.split(",") if step]
    draw(read(args.logs), changed, FOLDER / f"{args.out}.png")


if __name__ == "__main__":
    main()
