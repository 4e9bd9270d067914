"""Groups in the log: what goes in comes out, whatever it is; what is shared is kept once."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffufix.errors import StoreError
from diffufix.store import Store
from diffufix.store.packing import pack, unpack
from diffufix.store.schema import MIGRATIONS, migrate
from diffufix.store.store import log_path
from diffufix.store.trajectories import read_groups
from diffufix.types import Completion, Group, Noise, Prompt, Task

NOISE = Noise(
    ((True, False, True), (False, True, False)),
    ((1 / 0.3, 0.0, 1 / 0.3), (0.0, 1 / 0.7, 0.0)),
)


def completion(reward: float | None = 0.0, text: str = "x", **more: object) -> Completion:
    state = {None: "infra", 1.0: "pass"}.get(reward, "fail")
    values = {
        "ids": (5, 70_000, 3), "parts": {"tests": reward or 0.0}, "noise": (NOISE, NOISE),
        "behaviour": ((-0.1, -2.5, -0.3), (-1.0, 0.0, -3.0)), "order": (2, 0, 1), "seconds": 0.25,
        "steps": 3,
    } | more  # fmt: skip
    return Completion(text=text, state=state, reward=reward, **values)  # type: ignore[arg-type]


def task(name: str = "f", source: str = "def f():\n    return 1\n", origin: str = "mutant") -> Task:
    return Task(
        f"key-{name}", "shop.py", name, source, 4, 5, "expression", origin, ("t::a", "t::b"),
        True, "g", ("t::a",), "AssertionError: assert 1 == 2\nassert f() == 2",
    )  # fmt: skip


def group(*rewards: float | None, made_at: float = 1000.5, **more: object) -> Group:
    values = {
        "task": task(), "prompt": Prompt((1, 2), (3,), (9,), 3, " ", True, (7, 8)), "model": "abc",
        "estimator": "coupled", "sampling": {"temperature": 1.0, "top_p": None, "alg": "entropy"},
        "made_at": made_at,
        "completions": tuple(completion(r, f"x{i}") for i, r in enumerate(rewards or (0.0, 1.0))),
    } | more  # fmt: skip
    return Group(**values)  # type: ignore[arg-type]


numbers = st.floats(allow_nan=False, width=64)
noises = st.builds(
    Noise,
    st.lists(st.lists(st.booleans(), max_size=4).map(tuple), max_size=3).map(tuple),
    st.lists(st.lists(numbers, max_size=4).map(tuple), max_size=3).map(tuple),
    st.none() | st.integers(0, 2**64),
)
ids = st.lists(st.integers(-1, 2**31), max_size=5).map(tuple)
completions = st.builds(
    Completion,
    ids=ids,
    text=st.text(max_size=5),
    state=st.sampled_from(["pass", "fail"]),
    reward=st.none() | numbers,
    parts=st.dictionaries(st.text(max_size=3), numbers, max_size=3),
    noise=st.lists(noises, max_size=2).map(tuple),
    behaviour=st.lists(st.lists(numbers, max_size=4).map(tuple), max_size=2).map(tuple),
    order=ids,
)


@given(st.lists(completions, max_size=4))
@settings(deadline=None)
def test_packing_is_exact(whole: list[Completion]) -> None:
    bare = [replace(c, ids=(), parts={}, noise=(), behaviour=(), order=()) for c in whole]
    assert unpack(pack(whole), bare) == tuple(whole)


def test_numbers_take_the_bytes_they_need() -> None:
    singles = [completion(behaviour=((-0.5, -0.25, -1.0),) * 50)] * 8
    doubles = [completion(behaviour=((-0.1, -0.2, -0.3),) * 50)] * 8
    assert len(pack(singles)) < len(pack(doubles))
    with pytest.raises(ValueError, match="damaged"):
        unpack(pack(singles)[:-5], singles)


source_texts = st.text("ab\n é\ud800", max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(source_texts, min_size=1, max_size=4))
def test_sources_of_one_path_come_back(tmp_path_factory: object, sources: list[str]) -> None:
    store = Store(Store.open(Path("/dev/null")).connection)
    given = [group(task=task(f"f{i}", text), made_at=i + 1.0) for i, text in enumerate(sources)]
    for each in given:
        store.add_group(None, each)
    assert list(read_groups(store, oldest_first=True)) == given
    store.close()


def test_groups_come_back_from_disk(tmp_path: Path) -> None:
    given = [group(0.0, 1.0), group(0.5, None, made_at=2000.25)]
    with Store.open(tmp_path) as store:
        run = store.begin_run({})
        for each in given:
            store.add_group(run, each)
            store.add_group(run, each)  # is known
        store.finish_run(run, "repaired")
        assert store.warning == ""
    with Store.open_strictly(tmp_path, create=False) as store:
        assert list(read_groups(store)) == given[::-1]
        assert list(read_groups(store, run=run, oldest_first=True)) == given
        assert list(read_groups(store, run=run + 1)) == []


def test_a_group_without_a_time_gets_one(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.add_group(None, group(made_at=0.0))
        (found,) = read_groups(store, since=time.time() - 60)
        assert time.time() - 60 < found.made_at <= time.time()


def test_filters(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for i in range(12):
            rewards: tuple[float | None, ...] = ((0.0, 1.0), (1.0, 1.0), (0.0, None))[i // 4]
            about = task(f"f{i % 3}", origin="repair" if i % 2 else "mutant")
            store.add_group(None, group(*rewards, task=about, made_at=i + 1.0, model=f"m{i // 6}"))

        def times(**filters: object) -> list[float]:
            return [g.made_at for g in read_groups(store, **filters)]  # type: ignore[arg-type]

        assert times() == [float(i) for i in range(12, 0, -1)]
        assert times(oldest_first=True, limit=3) == [1, 2, 3]
        assert times(task="key-f1") == [11, 8, 5, 2]
        assert times(model="m0") == [6, 5, 4, 3, 2, 1]
        assert times(origin="repair") == [12, 10, 8, 6, 4, 2]
        assert times(origin=("repair", "mutant")) == times()
        assert times(since=10.0) == [12, 11, 10]
        assert times(with_signal=True) == [4, 3, 2, 1]
        assert times(per_task=1) == [12, 11, 10]
        assert times(per_task=2, with_signal=True) == [4, 3, 2, 1]
        assert times(per_task=1, with_signal=True) == [4, 3, 2]


def test_many_mutants_of_a_large_file_cost_little(tmp_path: Path) -> None:
    source = "".join(f"def f{i}(x):\n    return x * {i * i} + {i}\n\n\n" for i in range(2000))
    with Store.open(tmp_path) as store:
        for i in range(200):
            at = source.index(f"* {i * i} +")
            mutant = source[:at] + "-" + source[at + 1 :]
            broken = replace(task(f"f{i}", mutant), start=at, end=at + 1, answer="*")
            store.add_group(None, group(task=broken, made_at=i + 1.0))
        store.flush()
        size = store.query("SELECT sum(length(body)) FROM blobs")[0][0]
        assert size < 60_000
        first = next(read_groups(store, limit=1))
        assert first.task.source == source.replace("* 39601 +", "- 39601 +", 1)


def test_writers_in_several_threads(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:

        def write(first: int) -> None:
            for i in range(first, first + 50):
                store.add_group(None, group(made_at=i + 1.0))
                if i % 10 == 0:
                    list(read_groups(store, limit=2))

        threads = [threading.Thread(target=write, args=(n * 50,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(read_groups(store))) == 200
        assert store.warning == ""


def test_a_damaged_payload_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.add_group(None, group())
        store.flush()
        store.connection.execute("UPDATE payloads SET body = x'00'")
        with pytest.raises(StoreError) as raised:
            list(read_groups(store))
        assert raised.value.hint


def test_a_log_without_groups_is_brought_up_to_date(tmp_path: Path) -> None:
    log_path(tmp_path).parent.mkdir()
    connection = sqlite3.connect(log_path(tmp_path), isolation_level=None)
    later = MIGRATIONS[1:]
    del MIGRATIONS[1:]
    try:
        migrate(connection)
    finally:
        MIGRATIONS.extend(later)
    connection.execute(
        "INSERT INTO runs (version, command, settings, pid, started_at)"
        " VALUES ('0', 'repair', '{}', 1, 0)"
    )
    connection.close()
    with Store.open_strictly(tmp_path) as store:
        store.add_group(1, group())
        assert len(list(read_groups(store, run=1))) == 1


def test_infinite_likelihoods_survive() -> None:
    odd = completion(behaviour=((-math.inf, 1e300, 1e-300),))
    assert unpack(pack([odd]), [odd]) == (odd,)
