"""A run goes on after a kill, refuses what does not belong together, counts what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import UsageError
from diffufix.evaluation.driving import drive
from diffufix.evaluation.runs import ROWS, RunFolder, read_run
from diffufix.evaluation.summaries import completions, summary

PLAN = {"suite": "own", "kind": "repair", "settings": {"budget": 60.0}, "model": "mini"}


@dataclass(frozen=True)
class Item:
    id: str


ITEMS = [Item(name) for name in "abcd"]
KILLED = """
import os, signal, sys
from pathlib import Path
from diffufix.evaluation.driving import drive
from diffufix.evaluation.runs import RunFolder
from tests.evaluation.test_evaluation_runs import ITEMS, PLAN

def one(item):
    if item.id == "c":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"id": item.id, "by": "first"}

drive(RunFolder(Path(sys.argv[1]), PLAN), ITEMS, one, lambda *told: None, 0)
"""


def test_a_run_that_was_killed_goes_on(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "run"
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], cwd=repository, capture_output=True, text=True
    )
    assert ran.returncode == -9, ran.stderr
    with (folder / ROWS).open("a") as file:
        file.write('{"id": "c", "by": "fi')  # as it would be where the kill came in a write
    ran_now: list[str] = []

    def one(item: Item) -> dict[str, Any]:
        ran_now.append(item.id)
        return {"id": item.id, "by": "second"}

    told: list[tuple[int, bool]] = []
    rows = drive(RunFolder(folder, PLAN), ITEMS, one,
                 lambda number, count, row, fresh: told.append((number, fresh)))  # fmt: skip
    assert ran_now == ["c", "d"]
    assert [row["by"] for row in rows] == ["first", "first", "second", "second"]
    assert told == [(1, False), (2, False), (3, True), (4, True)]
    assert [row["id"] for row in read_run(folder)[1]] == ["a", "b", "c", "d"]


def test_rows_keep_their_order_while_verdicts_are_waited_for(tmp_path: Path) -> None:
    waiting: list[Future[dict[str, Any]]] = []

    def start(item: Item) -> Future[dict[str, Any]]:
        later: Future[dict[str, Any]] = Future()
        waiting.append(later)
        if len(waiting) > 1:  # the second is over before the first
            later.set_result({"id": item.id})
            if not waiting[0].done():
                waiting[0].set_result({"id": "a"})
        return later

    rows = drive(RunFolder(tmp_path / "r", PLAN), ITEMS, start, lambda *told: None, 2)
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]


def test_another_run_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    RunFolder(tmp_path / "r", PLAN).add({"id": "a"})
    other = PLAN | {"settings": {"budget": 30.0}}
    with pytest.raises(UsageError, match="holds a run with settings"):
        RunFolder(tmp_path / "r", other)
    assert RunFolder(tmp_path / "r", PLAN).rows == {"a": {"id": "a"}}
    assert RunFolder(tmp_path / "r", other, again=True).rows == {}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds other files"):
        RunFolder(tmp_path / "mine", PLAN)
    with pytest.raises(UsageError, match="holds no run"):
        read_run(tmp_path / "mine")


def test_a_case_that_could_not_be_set_up_is_tried_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r", PLAN)
    folder.add({"id": "a", "status": "repaired"})
    folder.add({"id": "b", "status": "not run"})
    again = RunFolder(tmp_path / "r", PLAN)
    rows = drive(again, ITEMS[:2], lambda item: {"id": item.id}, lambda *told: None)
    assert rows == [{"id": "a", "status": "repaired"}, {"id": "b"}]
    assert read_run(tmp_path / "r")[1] == rows


def repaired(id: str, green: bool, right: bool | None, called: bool) -> dict[str, Any]:
    return {"id": id, "green": green, "right": right, "called": called, "seconds": 3.0, "tried": 10}


def test_repairs_are_counted_three_ways() -> None:
    rows = [
        repaired("a", True, True, True), repaired("b", True, False, True),
        repaired("c", True, None, False), repaired("d", False, False, False),
        {**repaired("e", False, False, False), "status": "not run"},
    ]  # fmt: skip
    found = summary(PLAN, rows)
    assert found["counts"] == {"green": 3, "right": 1, "called": 2}
    assert found["rates"]["green"]["value"] == 0.75
    assert (found["called_and_green"], found["called_and_right"]) == (2, 1)
    assert found["undecided"] == ["c"]
    assert found["not_run"] == ["e"]


def test_ordered_answers_are_counted_by_the_first_ones() -> None:
    def row(id: str, *states: str) -> dict[str, Any]:
        samples = [{"states": {"base": state}, "tokens": 4, "forwards": 2} for state in states]
        return {"id": id, "levels": ["base"], "samples": samples, "seconds": 1.0}

    rows = [row("a", "fail", "pass"), row("b", "pass"), row("c", "fail")]
    run = {"kind": "coding", "suite": "own", "model": "m", "samples": 5}
    ordered = summary(run | {"ordered": True}, rows)["rates"]
    assert ordered["base pass@1"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert ordered["base pass@5"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    drawn = summary(run | {"ordered": False}, rows)["rates"]
    assert drawn["base pass@1"]["value"] == pytest.approx(2 / 15, abs=1e-4)
    assert json.dumps(summary(run, rows))


def test_the_new_inputs_count_where_the_old_ones_pass_too() -> None:
    """As EvalPlus counts its "plus" level."""
    states = [{"base": "fail", "plus": "pass"}, {"base": "pass", "plus": "pass"}, {"plus": "pass"}]
    rows = [
        {"id": str(n), "levels": ["base", "plus"], "samples": [{"states": each}],
         "broken": {"states": each}}
        for n, each in enumerate(states)
    ]  # fmt: skip
    total = completions({"samples": 1}, rows)
    assert total["rates"]["plus pass@1"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert total["broken"] == {"programs": 5, "pass": 3}
