"""What `evaluate` prints and writes: tables as Markdown, plots as PNG and SVG."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SUMMARY, REPORT, PLOT = "summary.json", "report.md", "plot"
_COUNTS = {
    "green": "tests green",
    "right": "right",
    "called": "called repaired",
}
COLOURS = ("#2563a8", "#c2571a", "#3b7d3b")


def rate(share: Mapping[str, Any] | None) -> str:
    if share is None or not share["cases"]:
        return "-"
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


def lines_of(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """The table of a run, as Markdown that reads well in a terminal too."""
    rows = _repair_rows(summary) if summary["kind"] == "repair" else _coding_rows(summary)
    return [*table(("figure", "value"), rows), *[f"\nnote: {note}" for note in run["notes"]]]


def _repair_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    ran = summary["cases"] - len(summary["not_run"])
    rows = [
        (name, f"{summary['counts'][key]} of {ran}; {rate(summary['rates'][key])}")
        for key, name in _COUNTS.items()
    ]
    called = summary["counts"]["called"]
    rows += [
        ("of those called repaired: green; right; undecided",
         f"{summary['called_and_green']}; {summary['called_and_right']}; "
         f"{summary['called_and_undecided']} of {called}"),
        ("right or wrong not decided", str(len(summary["undecided"]))),
        ("candidates run", f"{summary['candidates']:,}"),
        ("median seconds; of green ones",
         f"{summary['median_seconds'] or '-'}; {summary['median_seconds_green'] or '-'}"),
        ("median load of the machine", str(summary["median_load"] or "-")),
    ]  # fmt: skip
    if summary["not_run"]:
        rows.append(("not run", ", ".join(summary["not_run"][:8])))
    return rows


def _coding_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, share in summary["rates"].items():
        shown = name.replace("pass@", "first ") if summary["ordered"] else name
        rows.append((shown, rate(share)))
    if broken := summary.get("broken"):
        rows.append(("broken programs that pass", f"{broken['pass']} of {broken['programs']}"))
    arness = summary["arness"]
    states = ", ".join(f"{count} {state}" for state, count in sorted(summary["states"].items()))
    rows.append(("cases; samples of each", f"{summary['cases']}; {summary['samples']}"))
    if not broken:
        rows += [
            ("AR-ness: local (NTP@1); global (FMS@1)",
             f"{_number(arness['local_arness'])}; {_number(arness['global_arness'])}"),
            ("tokens per forward", _number(summary["tokens_per_forward"])),
            ("median tokens of a sample", _number(summary["median_tokens"])),
            ("seconds; median of a case",
             f"{summary['seconds']}; {summary['median_seconds'] or '-'}"),
        ]  # fmt: skip
    rows.append(("verdicts", states))
    return rows


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    padded = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return [padded[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *padded[1:]]


def comparison(a: str, b: str, found: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    """`found` maps a figure to its PairedComparison."""
    rows = [
        (name, f"{each.a:.1%}", f"{each.b:.1%}",
         "{:+.1%} ({:+.1%} to {:+.1%})".format(*each.difference.all),
         f"{each.p:.3g}", f"{len(each.better)}; {len(each.worse)}", str(each.cases))
        for name, each in found.items()
    ]  # fmt: skip
    head = ("figure", "A", "B", "B - A", "p", "better; worse", "cases")
    lines = [f"A: {a}", f"B: {b}", "", *table(head, rows)]
    for name, each in found.items():
        if each.better or each.worse:
            lines += ["", f"{name}: B only: {', '.join(each.better[:12]) or 'none'}; "
                          f"A only: {', '.join(each.worse[:12]) or 'none'}"]  # fmt: skip
    return [*lines, *[f"\nnote: {note}" for note in notes]]


# -- files -----------------------------------------------------------------------------------------


def write(
    folder: Path,
    run: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    beside: Sequence[str] = (),
) -> list[Path]:
    """summary.json, report.md and, where matplotlib is there, plot.png and plot.svg."""
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    lines = [f"# {run['title']}, {run['model']}", "", f"`{run['command']}`", ""]
    lines += [f"Data: {run['data']['name']}, {run['data']['version'] or 'no version'}.", ""]
    lines += lines_of(run, summary)
    if beside:
        lines += ["", *beside]
    picture = _plot(run, rows, summary)
    written = [folder / SUMMARY, folder / REPORT]
    if picture is not None:
        for suffix, content in picture.items():
            (folder / f"{PLOT}.{suffix}").write_bytes(content)
            written.append(folder / f"{PLOT}.{suffix}")
        lines += ["", f"![]({PLOT}.png)"]
    lines += ["", *_case_table(run, rows)]
    (folder / REPORT).write_text("\n".join(lines) + "\n", "utf-8")
    return written


def _case_table(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if run["kind"] == "repair":
        head = ("case", "kind", "outcome", "likely right", "candidates", "seconds", "why")
        return table(head, [
            (str(row["id"]), row.get("kind", ""), outcome(row),
             f"{row['probability']:.2f}" if row.get("probability") is not None else "",
             str(row.get("tried", "")), str(row.get("seconds", "")),
             str(row.get("why") or row.get("message") or "")[:100].replace("\n", " "))
            for row in rows
        ])  # fmt: skip
    return table(("case", "samples that pass", "seconds", "first that fails"), [
        (str(row["id"]),
         "; ".join(f"{level} {sum(s['states'].get(level) == 'pass' for s in row['samples'])}"
                   f" of {len(row['samples'])}" for level in row["levels"]),
         str(row.get("seconds", "")),
         next((str(s.get("detail", ""))[:80] for s in row["samples"]
               if set(s["states"].values()) != {"pass"}), ""))
        for row in rows
    ])  # fmt: skip


def case_line(row: Mapping[str, Any]) -> str:
    """One case while a run goes on."""
    if "samples" in row:
        said = "; ".join(
            f"{level} {sum(s['states'].get(level) == 'pass' for s in row['samples'])}"
            f" of {len(row['samples'])}" for level in row["levels"]
        )  # fmt: skip
    else:
        said = f"{outcome(row):32} {row.get('tried') or 0:>6} tried"
    more = "" if row.get("green") else str(row.get("message", ""))[:80]
    return f"{row['id']:24} {said} {row.get('seconds', 0):>7} s  {more}".rstrip()


def outcome(row: Mapping[str, Any]) -> str:
    words = ["green"] if row["green"] else []
    words += ["right"] if row["right"] else ["undecided"] if row["right"] is None else []
    words += ["called repaired"] if row["called"] else []
    return ", ".join(words) or str(row.get("status") or "not repaired")


# -- plots -----------------------------------------------------------------------------------------


def _plot(
    run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> dict[str, bytes] | None:
    """By suffix; None without matplotlib, and where there is nothing to draw."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return None
    fonts: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "diffufix"}
    with rc_context(fonts):
        figure = Figure(figsize=(8.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        _bars(left, summary)
        (_seconds if summary["kind"] == "repair" else _order)(right, rows, summary)
        return saved(figure)


def saved(figure: Any) -> dict[str, bytes]:
    """A figure as PNG and as SVG, the same bytes for the same figure."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    text = svg.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return {"png": png.getvalue(), "svg": text.encode()}


def _bars(axis: Any, summary: Mapping[str, Any]) -> None:
    from matplotlib.ticker import PercentFormatter

    names = [_COUNTS.get(name, name) for name in summary["rates"]]
    shares = list(summary["rates"].values())
    values = [share["value"] for share in shares]
    reach = [[max(0.0, s["value"] - s["low"]) for s in shares],
             [max(0.0, s["high"] - s["value"]) for s in shares]]  # fmt: skip
    places = range(len(names))
    axis.barh(places, values, xerr=reach, color=COLOURS[0], height=0.6, capsize=3,
              error_kw={"elinewidth": 1, "ecolor": "#555"})  # fmt: skip
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.set_title(f"share of {summary['cases']} cases, 95 % intervals", fontsize=9)


def _seconds(axis: Any, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """How many cases were done within so many seconds."""
    axis.set_title("cases over seconds of the whole command", fontsize=9)
    for (key, name), colour in zip(_COUNTS.items(), COLOURS, strict=True):
        seconds = sorted(float(row["seconds"]) for row in rows if row[key] is True)
        if seconds:
            axis.step(
                [0, *seconds], range(len(seconds) + 1), where="post", color=colour, label=name
            )
    axis.set_xlabel("seconds")
    axis.set_ylim(0, max(1, len(rows)))
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, frameon=False)


def _order(axis: Any, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """AR-ness of the samples."""
    samples = [sample for row in rows for sample in row["samples"]]
    for name, label, colour in (
        ("local_arness", "local (NTP@1)", COLOURS[0]),
        ("global_arness", "global (FMS@1)", COLOURS[1]),
    ):
        values = [sample[name] for sample in samples if sample.get(name) is not None]
        if values:
            axis.hist(
                values, bins=[i / 20 for i in range(21)], alpha=0.6, color=colour, label=label
            )
    axis.set_title("AR-ness of the samples", fontsize=9)
    axis.set_xlim(0, 1)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, frameon=False)
    else:
        axis.text(0.5, 0.5, "no order of decoding is known", ha="center", transform=axis.transAxes)
        axis.set_yticks([])
