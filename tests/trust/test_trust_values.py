"""Values as text: nothing of the project is called, nothing is unbounded."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import NoReturn

import pytest

import diffufix.trust.inside

sys.path.insert(0, str(Path(diffufix.trust.inside.__file__).parent))
try:
    from _diffufix_inputs import (  # type: ignore[import-not-found]
        EffectRefused,
        Guard,
        Player,
        changed,
        made_up,
    )
    from _diffufix_values import TEXT, Values  # type: ignore[import-not-found]
finally:
    sys.path.pop(0)


class Liar:
    def __init__(self) -> None:
        self.a, self.me = 1, self

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise SystemExit

    def __hash__(self) -> int:
        raise SystemExit

    def __getattribute__(self, name: str) -> object:
        raise SystemExit


class Named(dict[str, object]):
    def items(self) -> NoReturn:
        raise SystemExit


def test_no_method_of_the_project_is_called() -> None:
    liar = Liar.__new__(Liar)
    object.__setattr__(liar, "a", 1)
    assert Values().of(liar)[0] == "Liar(a=1)"
    assert Values().of(Named(k=2))[0] == "Named({'k': 2})"


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), ("1", 1), ([1], (1,)), ({1: 2}, [(1, 2)]), (b"a", "a"), (set(), {}),
     (0.0, -0.0), ("a" * 900, "a" * 899 + "b"), (deque([1]), [1])],
)  # fmt: skip
def test_what_differs_has_another_digest(one: object, other: object) -> None:
    assert Values().of(one)[1] != Values().of(other)[1]


def test_text_is_bounded_and_equal_values_agree() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    wide = {str(n): list(range(50)) for n in range(1000)}
    for value in (deep, wide, "x" * 10**6):
        assert len(Values().of(value)[0]) <= TEXT
    assert Values().of({3, 1, 2}) == Values().of({2, 3, 1})


def test_made_up_values_keep_their_type() -> None:
    import pickle
    import random

    rng = random.Random(0)
    for value in (3, True, 1.5, "ab", b"ab", [1, "a"], (1, 2), {1, 2}, {"a": 1}):
        assert all(type(changed(value, rng, 2)) is type(value) for _ in range(50))
    kept = [("f", pickle.dumps({"a": 1, "b": "xy"}, 4)), ("f", pickle.dumps({"a": 7, "b": ""}, 4))]
    found = made_up(kept, 50, 0, 5.0)
    assert found == made_up(kept, 50, 0, 5.0)
    assert len({data for _, data, _ in found}) == len(found) > 40


def test_a_made_up_input_changes_no_file(tmp_path: Path) -> None:
    import pickle

    def spoil(path: str) -> None:
        with open(path, "w") as file:
            file.write("x")

    def hang(path: str) -> None:
        while True:
            pass

    player, target = Player(Guard()), tmp_path / "f"
    played = player.play(spoil, pickle.dumps({"path": str(target)}, 4))
    assert played[1] == "refused"
    assert not target.exists()
    assert issubclass(EffectRefused, RuntimeError)
    assert player.play(hang, pickle.dumps({"path": ""}, 4))[1] == "late"
    target.write_text("after: the guard is off")
