"""What an interrupted run has tried is known to the next one of the same command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.repair.record import Record
from diffufix.repair.types import Status
from diffufix.store import Store
from diffufix.store.resume import MARK, Earlier, earlier, mark
from diffufix.types import FAILED, PASSED, State, Verdict
from tests.support.scripted import repair

RED_T = frozenset({"t"})


def log(store: Store, marked: str, status: str | None, **verdicts: State) -> int:
    run = store.begin_run({MARK: marked})
    for key, state in verdicts.items():
        verdict = Verdict(state, {"t": FAILED, "u": PASSED})
        store.add_verdict(store.add_candidate(run, None, key), verdict)
    if status:
        store.finish_run(run, status)
    store.flush()
    return run


def test_only_interrupted_runs_right_before_count(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        log(store, "m", "interrupted", old=State.FAIL)
        log(store, "m", "not-repaired", done=State.FAIL)
        first = log(store, "m", "interrupted", a=State.FAIL, b=State.PASS, c=State.TIMEOUT)
        log(store, "other", "interrupted", x=State.FAIL)
        second = log(store, "m", None, d=State.FAIL)  # killed
        now = log(store, "m", None)
        assert earlier(store, "m", now) == Earlier((first, second), {"a": RED_T, "d": RED_T})
        assert earlier(store, "", now) == Earlier()
        assert earlier(store, "unknown", now) == Earlier()


def test_a_candidate_that_passed_for_a_part_is_no_failure(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run = store.begin_run({MARK: "m"})
        candidate = store.add_candidate(run, None, "k")
        store.add_verdict(candidate, Verdict(State.FAIL, {"t": FAILED}))
        store.add_verdict(candidate, Verdict(State.PASS, {"u": PASSED}))
        store.finish_run(run, "interrupted")
        assert earlier(store, "m", run + 1).failed == {}


def test_a_changed_file_or_option_is_another_search(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("x = 1\n")
    settings = Settings(tmp_path)
    before = mark(tmp_path, asdict(settings), "repair")
    assert mark(tmp_path, asdict(Settings(tmp_path, budget=5.0, apply=True)), "repair") == before
    assert mark(tmp_path, asdict(Settings(tmp_path, function="m.py::f")), "repair") != before
    (tmp_path / "m.py").write_text("x = 22\n")
    assert mark(tmp_path, asdict(settings), "repair") != before


def test_fresh_knows_nothing(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    with Record.open(tmp_path, settings) as record:
        candidate = record._store.add_candidate(record.run_id, None, "k")
        record.verdict(candidate, Verdict(State.FAIL, {"t": FAILED}), "screen")
    with Record.open(tmp_path, settings) as record:
        assert record.earlier.failed == {"k": RED_T}
    with Record.open(tmp_path, Settings(tmp_path, fresh=True)) as record:
        assert record.earlier.failed == {}


FILES = {
    "m.py": "def add(a, b):\n    total = a - b\n    return total\n",
    "test_m.py": "from m import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
}


@pytest.mark.slow
def test_the_same_command_goes_on(tmp_path: Path) -> None:
    wrong = [("a - b", "a * b"), ("a - b", "a // b")]
    first, _ = repair(tmp_path, FILES, [*wrong, 0.5, KeyboardInterrupt()])
    assert first.status is Status.INTERRUPTED

    second, told = repair(tmp_path, {}, [*wrong, ("a - b", "a + b")])
    assert second.status is Status.REPAIRED
    assert second.tried == 1
    assert second.generated == 3
    stages = [e.text for e in told.events if hasattr(e, "text")]
    assert any("2 candidates are known to fail" in text for text in stages)
