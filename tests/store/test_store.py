"""The log: what goes in comes out, whatever happens to the process or the file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import StoreError, UsageError
from diffufix.store import Store
from diffufix.store.query import candidates_of, get_run, list_runs, suspects_of
from diffufix.store.store import log_path
from diffufix.types import State, SuspiciousFunction, Verdict


def fill_one(store: Store, root: Path) -> int:
    run = store.begin_run(Settings(root=root, seed=7))
    store.set_model(run, "mini", "abc123", parameters=10)
    store.add_suspects(
        run, [SuspiciousFunction("a.py", "f", 1, 3, 0.9, {2: 0.9}, "1 of 1 failing test")]
    )
    hole = store.add_hole(run, "a.py", "f", 10, 12, "expression", 0.9, "<=", {"left": [1, 2]})
    for text, state in (("<", State.FAIL), (">=", State.TIMEOUT), ("==", State.PASS)):
        fill = store.add_fill(hole, text, [5], [-0.5], order=[0], logp=-0.5)
        candidate = store.add_candidate(run, fill, f"key{text}", diff=f"-<=\n+{text}\n")
        store.add_verdict(candidate, Verdict(state, {"test_a.py::test": "passed"}, 0.1, "why"))
    return run


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run = fill_one(store, tmp_path)
        store.finish_run(run, "repaired", {"tried": 3})
        assert store.warning == ""
    with Store.open_strictly(tmp_path, create=False) as store:
        row = get_run(store, run)
        assert (row.status, row.model, row.model_hash) == ("repaired", "mini", "abc123")
        assert (row.holes, row.fills) == (1, 3)
        assert row.states == {"fail": 1, "pass": 1, "timeout": 1}
        assert row.settings["seed"] == 7
        assert row.summary == {"tried": 3}
        assert [s.qualname for s in suspects_of(store, run)] == ["f"]
        shown = [(c.original, c.text, c.state) for c in candidates_of(store, run)]
        assert shown == [("<=", "<", "fail"), ("<=", ">=", "timeout"), ("<=", "==", "pass")]


def test_folder_is_kept_out_of_git_and_backups(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    assert "*" in (tmp_path / ".diffufix/.gitignore").read_text().splitlines()
    tag = (tmp_path / ".diffufix/CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_later_verdict_counts_and_states_are_those_of_the_screening(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run = store.begin_run()
        candidate = store.add_candidate(run, None, "key")
        store.add_verdict(candidate, Verdict(State.PASS))
        store.add_verdict(candidate, Verdict(State.FAIL, detail="breaks test_b"), stage="confirm")
        store.flush()
        (row,) = candidates_of(store, run)
        assert (row.kind, row.stage, row.detail) == ("combined", "confirm", "breaks test_b")
        assert get_run(store, run).states == {"pass": 1}


def test_lone_surrogates_and_tensors_are_stored(tmp_path: Path) -> None:
    class Tensor:
        def tolist(self) -> list[float]:
            return [1.0]

    with Store.open(tmp_path) as store:
        run = store.begin_run({"root": tmp_path})
        hole = store.add_hole(run, "a.py", "f", 0, 1, "body", original="\udc80é")
        fill = store.add_fill(hole, "x", token_logps=Tensor())  # type: ignore[arg-type]
        store.add_candidate(run, fill, "k")
        store.finish_run(run, "repaired")
        assert store.warning == ""
        row = store.connection.execute("SELECT original FROM holes").fetchone()
        assert row[0] == "\\udc80é"


def test_two_stores_write_to_one_log(tmp_path: Path) -> None:
    with Store.open(tmp_path) as one, Store.open(tmp_path) as two:
        runs = fill_one(one, tmp_path), fill_one(two, tmp_path)
        one.finish_run(runs[0], "repaired")
        two.finish_run(runs[1], "not-repaired")
        assert [run.status for run in list_runs(one)] == ["not-repaired", "repaired"]
        assert not one.warning
        assert not two.warning


def test_run_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    with Store.open(tmp_path) as writer:
        run = fill_one(writer, tmp_path)
        writer.flush()
        fill_one(writer, tmp_path)  # pending: must not block the reader
        with Store.open_strictly(tmp_path, create=False) as reader:
            assert get_run(reader, run).fills == 3
            assert get_run(reader, run).status == "running"


WRITER = """
import sys, itertools
from pathlib import Path
from diffufix.store import Store
from diffufix.types import State, Verdict
store = Store.open(Path(sys.argv[1]))
run = store.begin_run()
hole = store.add_hole(run, "a.py", "f", 0, 1, "expression")
for n in itertools.count():
    fill = store.add_fill(hole, f"fill {n}", [n], [-1.0])
    candidate = store.add_candidate(run, fill, str(n))
    store.add_verdict(candidate, Verdict(State.FAIL))
    if n == 100:
        store.flush()
        print("go", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.11, 0.3])
def test_kill_at_any_moment_leaves_a_sound_log(tmp_path: Path, delay: float) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == "go\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
    with Store.open(tmp_path) as store:
        assert store.warning == ""
        check = store.connection.execute("PRAGMA integrity_check").fetchone()[0]
        assert check == "ok"
        assert not store.connection.execute("PRAGMA foreign_key_check").fetchall()
        (run,) = list_runs(store)
        assert run.status == "killed"
        assert run.fills >= 100
        assert store.begin_run() == run.id + 1


def test_many_rows_a_second(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        run = store.begin_run()
        hole = store.add_hole(run, "a.py", "f", 0, 1, "expression")
        started = time.process_time()
        for n in range(5000):
            store.add_fill(hole, "x" * 20, list(range(8)), [-0.1] * 8, logp=-n)
        store.flush()
        assert time.process_time() - started < 5  # 0.2 s on an idle machine
        assert get_run(store, run).fills == 5000


def corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever it was before" * 100)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize(("harm", "says"), [(corrupt, "not a database"), (newer, "newer")])
def test_unusable_log_is_a_clear_error_and_a_warning(tmp_path: Path, harm, says: str) -> None:
    Store.open(tmp_path).close()
    harm(log_path(tmp_path))
    with pytest.raises(StoreError, match=says) as caught:
        Store.open_strictly(tmp_path)
    assert "diffufix clean" in caught.value.hint
    with Store.open(tmp_path) as store:  # a repair goes on
        assert says in store.warning
        store.finish_run(fill_one(store, tmp_path), "repaired")
        assert list_runs(store)[0].fills == 3


def test_locked_log_does_not_stop_a_repair(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("diffufix.store.connection.LOCK_PATIENCE", 0.05)
    with Store.open(tmp_path) as store:
        run = store.begin_run()
        with sqlite3.connect(log_path(tmp_path), isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            store.add_hole(run, "a.py", "f", 0, 1, "body")
            store.flush()
            assert get_run(store, run).holes == 0
            with Store.open(tmp_path) as second:
                second.begin_run()
                assert "locked" in second.warning
            other.execute("ROLLBACK")
        other.close()
        store.flush()  # what waited is written now
        assert get_run(store, run).holes == 1
        assert store.warning == ""


@pytest.mark.skipif(os.name != "posix", reason="needs a file where a folder should be")
def test_unwritable_root_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".diffufix").write_text("a file in the way")
    with Store.open(tmp_path) as store:
        assert "cannot be written" in store.warning
        assert fill_one(store, tmp_path) == 1


def test_missing_log_and_missing_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no log"):
        Store.open_strictly(tmp_path, create=False)
    assert not (tmp_path / ".diffufix").exists()
    with Store.open(tmp_path) as store, pytest.raises(UsageError, match="no run 5"):
        get_run(store, 5)
