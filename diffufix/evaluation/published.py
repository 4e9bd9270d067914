"""Published figures beside a run (published.json), and what differs in the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

#: Suite -> its level -> the column that the level is compared with.
_COLUMNS = {
    "humaneval": {"base pass@1": "humaneval"},
    "humaneval+": {"base pass@1": "humaneval", "plus pass@1": "humaneval+"},
    "mbpp+": {"base pass@1": "mbpp", "plus pass@1": "mbpp+"},
    "bigcodebench-complete": {"base pass@1": "bigcodebench"},
    "bigcodebench-instruct": {"base pass@1": "bigcodebench"},
    "bigcodebench-hard-complete": {"base pass@1": "bigcodebench-hard"},
    "bigcodebench-hard-instruct": {"base pass@1": "bigcodebench-hard"},
    "infilling-single": {"base pass@1": "infilling-single"},
    "humanevalfix": {"green": "humanevalfix"},
    "humanevalfix-answers": {"base pass@1": "humanevalfix"},
}


@cache
def tables() -> dict[str, Any]:
    return json.loads(
        (resources.files("diffufix.evaluation") / "published.json").read_text("utf-8")
    )


def beside(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown: the published table of this suite with this run as its last row. None for
    a run without a model."""
    if run["settings"].get("check"):
        return []
    columns = _COLUMNS.get(run["suite"], {})
    for table in tables().values():
        shown = {figure: column for figure, column in columns.items() if column in table["columns"]}
        if shown:
            return _lines(table, shown, run, summary)
    return []


def _lines(
    table: Mapping[str, Any], shown: Mapping[str, str], run: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> list[str]:  # fmt: skip
    places = [table["columns"].index(column) for column in shown.values()]
    lines = [f"Published ({table['source']}), in per cent:", ""]
    lines += ["| model | " + " | ".join(shown.values()) + " |", "|---" * (len(shown) + 1) + "|"]
    for model, values in table["rows"].items():
        cells = ["" if values[place] is None else f"{values[place]:.1f}" for place in places]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    own = [summary["rates"].get(figure) for figure in shown]
    cells = ["" if share is None else f"{100 * share['value']:.1f}" for share in own]
    lines.append(f"| **this run: {run['model']}** | " + " | ".join(cells) + " |")
    lines += ["", "What differs:", ""]
    return [*lines, *[f"- {each}" for each in (*table["protocol"], *_own(run, summary))]]


def _own(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """What this very run does otherwise."""
    settings, found = run["settings"], []
    if run["every"] > 1 or run["limit"] or run["only"] or run["notes"]:
        found.append(f"here {summary['cases']} cases only")
    if run["kind"] == "repair":
        found.append(f"here {settings['budget']:g} s a case")
    elif run["ordered"]:
        found.append("here the first of a search's answers, not a sample")
    elif "temperature" in settings:
        found.append(
            f"here temperature {settings['temperature']:g}, {settings['max_tokens']} masks, "
            f"{settings['tokens_per_step']} a step, {settings['samples']} samples, "
            f"prompts for {settings['style']} models"
        )
    return found
