"""What a run's rows amount to: shares with intervals, medians, counts. Plain values in and out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diffufix.evaluation.statistics import pass_at_k, share
from diffufix.evaluation.types import Row

#: The three counts of repairs, in the order of the table.
COUNTS = ("green", "right", "called")


def summary(run: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Of a run's description and its rows, for summary.json."""
    found = repairs(rows) if run["kind"] == "repair" else completions(run, rows)
    return {"suite": run["suite"], "kind": run["kind"], "model": run["model"], **found}


def repairs(rows: Sequence[Row]) -> dict[str, Any]:
    """Green, right and called repaired. A patch of which nobody knows is counted as not right."""
    ran = [row for row in rows if row.get("status") != "not run"]
    called = [row for row in ran if row["called"]]
    return {
        "cases": len(rows),
        "not_run": [row["id"] for row in rows if row.get("status") == "not run"],
        "rates": {name: share([float(row[name] is True) for row in ran]).document()
                  for name in COUNTS},
        "counts": {name: sum(row[name] is True for row in ran) for name in COUNTS},
        "undecided": [row["id"] for row in ran if row["right"] is None],
        "called_and_green": sum(row["green"] for row in called),
        "called_and_right": sum(row["right"] is True for row in called),
        "called_and_undecided": sum(row["right"] is None for row in called),
        "precision": share([float(r["right"] is True) for r in called]).document()
        if called else None,
        "candidates": sum(int(row.get("tried") or 0) for row in ran),
        "median_seconds": median(ran, "seconds"),
        "median_seconds_green": median([row for row in ran if row["green"]], "seconds"),
        "median_load": median(ran, "load"),
    }  # fmt: skip


def completions(run: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """pass@k of every level, AR-ness, tokens per forward, verdicts. Rows have `samples`."""
    levels = list(dict.fromkeys(level for row in rows for level in row["levels"]))
    samples = [sample for row in rows for sample in row["samples"]]
    ks = [k for k in (1, 5, 10, 25, 50, 100) if k <= run["samples"]]
    states: dict[str, int] = {}
    for sample in samples:
        for level, state in sample["states"].items():
            states[f"{level} {state}"] = states.get(f"{level} {state}", 0) + 1
    broken = [
        passes(row["broken"]["states"], level)
        for row in rows if "broken" in row for level in row["broken"]["states"]
    ]  # fmt: skip
    return {
        **({"broken": {"programs": len(broken), "pass": sum(broken)}} if broken else {}),
        "cases": len(rows),
        "samples": run["samples"],
        "ordered": bool(run.get("ordered")),
        "rates": {
            f"{level} pass@{k}": share([pass_k(row, level, k, run) for row in rows]).document()
            for level in levels for k in ks
        },
        "arness": {name: mean(samples, name) for name in ("local_arness", "global_arness")},
        "tokens_per_forward": ratio(samples, "tokens", "forwards"),
        "tokens": sum(int(sample.get("tokens") or 0) for sample in samples),
        "median_tokens": median(samples, "tokens"),
        "seconds": round(sum(float(row.get("seconds") or 0) for row in rows), 1),
        "median_seconds": median(rows, "seconds"),
        "states": states,
    }  # fmt: skip


def pass_k(row: Row, level: str, k: int, run: Mapping[str, Any]) -> float:
    """Of samples in a fixed order it is whether one of the first k passes, else the estimate."""
    passed = [passes(sample["states"], level) for sample in row["samples"]]
    passed += [False] * (run["samples"] - len(passed))  # there were no more to be had
    if run.get("ordered"):
        return float(any(passed[:k]))
    return pass_at_k(len(passed), sum(passed), k)


def passes(states: Mapping[str, str], level: str) -> bool:
    """EvalPlus counts a program at its "plus" level where it passes the old inputs, too."""
    both = level != "plus" or states.get("base", "pass") == "pass"
    return both and states.get(level) == "pass"


def median(rows: Sequence[Row], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return round(statistics.median(values), 2) if values else None


def mean(rows: Sequence[Row], name: str) -> float | None:
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return round(statistics.fmean(values), 4) if values else None


def ratio(rows: Sequence[Row], over: str, under: str) -> float | None:
    known = [row for row in rows if row.get(over) and row.get(under)]
    below = sum(row[under] for row in known)
    return round(sum(row[over] for row in known) / below, 3) if below else None


def figures(run: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Callable[[Row], float]]:
    """The figures of a case that two runs are compared by."""
    if run["kind"] == "repair":
        return {name: lambda row, name=name: float(row[name] is True) for name in COUNTS}  # type: ignore[misc]
    levels = list(dict.fromkeys(level for row in rows for level in row["levels"]))
    return {
        f"{level} pass@1": lambda row, level=level: pass_k(row, level, 1, run)  # type: ignore[misc]
        for level in levels
    }
