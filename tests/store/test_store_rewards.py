"""Counting, keeping small, and exchanging the groups of a log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.errors import StoreError, UsageError
from diffufix.store import Store
from diffufix.store.exchange import read, write
from diffufix.store.overview import bound, prune, summary
from diffufix.store.trajectories import read_groups
from diffufix.types import Completion, Group, Noise, Prompt, Task

NOISE = Noise(((True, False),), ((1 / 0.3, 0.0),), 2**63)


def group(name: str, made_at: float, *rewards: float | None, origin: str = "mutant") -> Group:
    task = Task(
        f"key-{name}", "shop.py", name, f"def {name}():\r\n    return 'é'\n" * 40, 4, 5,
        "statement", origin, ("t::a", "t::b"), False, "x", ("t::a",),
    )  # fmt: skip
    done = tuple(
        Completion(
            (1, 2), f"{name} {i} ü", {None: "infra", 1.0: "pass"}.get(r, "fail"), r,
            {"tests": 0.1} if r else {}, (NOISE,), ((-0.1, 0.0),), 0.5, 3, (1, 0),
        )
        for i, r in enumerate(rewards)
    )  # fmt: skip
    sampling = {"temperature": 1.0, "top_p": None, "alg": "entropy", "tokens_per_step": 1}
    return Group(task, Prompt((1,), (2,), (), 2, gap=True), done, "m" + origin, "coupled", sampling,
                 made_at)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened
        assert opened.warning == ""


def fill(store: Store, count: int = 10) -> list[Group]:
    now = time.time()
    groups = [
        group(f"f{i}", now - 1000 * (count - i), 0.0, float(i % 2), origin="mutant")
        for i in range(count)
    ]
    for each in groups:
        store.add_group(None, each)
    return groups


def test_an_empty_log_has_a_summary(store: Store) -> None:
    found = summary(store)
    assert found.groups == found.completions == found.with_signal == 0
    assert found.mean is found.oldest is found.newest is None
    assert found.models == ()
    assert found.size > 0


def test_summary_counts(store: Store) -> None:
    run = store.begin_run({})
    store.set_model(run, "mini", "mmutant")
    fill(store)
    store.add_group(run, group("lost", 5.0, None, 1.0, origin="repair"))
    found = summary(store)
    assert (found.groups, found.completions, found.tasks) == (11, 22, 11)
    assert (found.with_signal, found.lost, found.passes) == (5, 1, 6)
    assert found.mean == pytest.approx(5 / 20)
    assert found.states == {"fail": 15, "pass": 6, "infra": 1}
    assert found.origins == {"mutant": (10, 5), "repair": (1, 0)}
    assert found.oldest == 5.0
    newest, oldest = found.models
    assert (newest.fingerprint, newest.name, newest.groups, newest.passes) == (
        "mmutant", "mini", 10, 5,
    )  # fmt: skip
    assert (oldest.name, oldest.mean) == ("", None)


def texts(store: Store) -> tuple[int, int]:
    tasks, blobs = store.query("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM blobs)")[
        0
    ]
    return tasks, blobs


def test_pruning_by_count_takes_what_it_refers_to(store: Store) -> None:
    groups = fill(store)
    removed = prune(store, keep=3)
    assert (removed.groups, removed.completions) == (7, 14)
    assert list(read_groups(store, oldest_first=True)) == groups[-3:]
    assert texts(store) == (3, 8)  # three sources, each beside the right one; tests; a prompt
    prune(store, keep=0)
    assert texts(store) == (0, 0)


def test_pruning_by_age_takes_runs_too(store: Store) -> None:
    groups = fill(store)
    old, new = store.begin_run({}), store.begin_run({})
    for run in (old, new):
        hole = store.add_hole(run, "a.py", "f", 0, 1, "statement")
        store.add_fill(hole, "x")
        store.finish_run(run, "repaired")
    store.connection.execute("UPDATE runs SET finished_at = 5 WHERE id = ?", (old,))
    removed = prune(store, older_than=3500)
    assert (removed.groups, removed.runs) == (7, 1)
    assert list(read_groups(store, oldest_first=True)) == groups[-3:]
    assert [row[0] for row in store.query("SELECT run_id FROM holes")] == [new]


def test_pruning_what_teaches_nothing(store: Store) -> None:
    fill(store)
    store.add_group(None, group("lost", time.time(), None, 1.0))
    assert prune(store, without_signal=True).groups == 6
    assert all(each.has_signal for each in read_groups(store))


def test_pruning_by_size_gives_room_back(store: Store) -> None:
    fill(store, 600)
    size = prune(store).after
    removed = prune(store, max_bytes=size // 2)
    assert removed.after <= size // 2
    left = list(read_groups(store, oldest_first=True))
    assert 0 < len(left) < 600
    assert left[-1].task.qualname == "f599"
    assert removed.groups == 600 - len(left)


def test_a_log_stays_within_its_bound(store: Store) -> None:
    fill(store, 600)
    store.flush()
    bound(store, limit=2**40)
    assert summary(store).groups == 600
    bound(store, limit=200_000)
    assert 0 < summary(store).groups < 600


def test_a_locked_log_says_so(tmp_path: Path, store: Store) -> None:
    fill(store, 2)
    store.flush()
    with Store.open(tmp_path) as other, other.transaction():
        store.connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(StoreError) as raised:
            prune(store, keep=1)
    assert "Another process" in raised.value.hint
    assert summary(store).groups == 2


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_files_bring_back_the_same_groups(tmp_path: Path, store: Store, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    groups = [*fill(store), group("none", 7.25), group("lost", 8.5, None)]
    groups[0] = replace(groups[0], sampling={}, task=replace(groups[0].task, answer=None))
    path = tmp_path / f"groups.{suffix}"
    assert write(path, groups) == 12
    assert list(read(path)) == groups
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".groups")] == []


def test_importing_what_was_exported_adds_nothing(tmp_path: Path, store: Store) -> None:
    fill(store)
    path = tmp_path / "groups.jsonl"
    assert write(path, read_groups(store)) == 10
    for each in read(path):
        store.add_group(None, each)
    assert summary(store).completions == 20


def test_files_that_are_none_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    write(path, [group("f", 1.0, 0.0)])
    good = path.read_text()
    for bad in ("{}", "[1]", "no json", json.dumps({**json.loads(good), "schema_version": 9})):
        path.write_text(good + "\n" + bad + "\n")
        with pytest.raises(StoreError, match="line 2"):
            list(read(path))
    with pytest.raises(StoreError, match=r"line 1|cannot"):
        list(read(tmp_path / "missing.jsonl"))
    with pytest.raises(UsageError, match=r"groups\.csv"):
        list(read(tmp_path / "groups.csv"))
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path / "no" / "such.jsonl", [])
