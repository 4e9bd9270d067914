"""The registry of trained models: whole or not at all, one in use, always a way back."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.errors import CheckpointError, StoreError, UsageError
from diffufix.registry.cards import CARD, Card, read_card, readme
from diffufix.registry.models import POINTER, Registry

BASE = "b" * 32


def card(name: str, base: str = BASE, **values) -> Card:
    return Card(name, "lora", base, "mini", **values)


def weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"weights")


def registry(root: Path, *names: str) -> Registry:
    found = Registry(root)
    for name in names:
        found.add(card(name), weights)
    return found


def test_reading_makes_nothing(tmp_path: Path) -> None:
    empty = Registry(tmp_path)
    assert empty.names() == []
    assert empty.cards() == []
    assert empty.adopted(BASE) is None
    assert "a" not in empty
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="no trained model 'a'"):
        empty.card("a")


def test_a_model_is_kept_with_its_card(tmp_path: Path) -> None:
    made = card(
        "shop-1", method="coupled", parent="p" * 32, data={"groups": 12}, metrics={"reward": 0.5},
        gate={"before": 0.25, "after": 0.5, "tasks": 40, "better": True}, fingerprint="f" * 32,
    )  # fmt: skip
    folder = Registry(tmp_path).add(made, weights)
    assert read_card(folder) == made
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert made.verdict == "25.0% -> 50.0% of 40 held-out tasks, better"
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: peft\n")
    assert "| groups | 12 |" in text
    assert not (tmp_path / ".diffufix" / "models" / "shop-1.new").exists()
    assert (tmp_path / ".diffufix" / ".gitignore").read_text().endswith("*\n")


def test_adopting_and_going_back(tmp_path: Path) -> None:
    models = registry(tmp_path, "a", "b", "c")
    models.add(card("other", base="o" * 32), weights)
    assert models.adopt("a") is None
    assert models.adopt("b") == "a"
    assert models.adopt("b") == "b"  # a second time changes nothing
    models.adopt("other")
    assert Registry(tmp_path).adopted(BASE) == "b"
    assert models.in_use() == {BASE: "b", "o" * 32: "other"}
    with pytest.raises(UsageError, match="b is in use"):
        models.remove("b")
    models.adopt("c")
    models.remove("b")  # out of the history, too
    assert models.rollback(BASE) == "a"
    assert models.rollback(BASE) is None
    with pytest.raises(UsageError, match="nothing to go back"):
        models.rollback(BASE)
    assert models.adopted("o" * 32) == "other"
    assert models.names() == ["a", "c", "other"]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["adopt", "rollback", "remove"]), st.sampled_from("abc")),
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None)
def test_it_is_a_stack_of_what_is_there(tmp_path_factory, steps) -> None:
    models = registry(tmp_path_factory.mktemp("root"), "a", "b", "c")
    stack: list[str] = []
    there = {"a", "b", "c"}
    for step, name in steps:
        if step == "adopt" and name in there:
            models.adopt(name)
            stack += [name] if stack[-1:] != [name] else []
        elif step == "rollback" and stack:
            models.rollback(BASE)
            stack.pop()
        elif step == "remove" and name in there and stack[-1:] != [name]:
            models.remove(name)
            there.discard(name)
            left = [n for n in stack if n != name]
            stack = [n for i, n in enumerate(left) if i == 0 or left[i - 1] != n]
        assert models.adopted(BASE) == (stack[-1] if stack else None)
        assert set(models.names()) == there


@pytest.mark.parametrize("name", ["", "none", ".hidden", "a/b", "../a", "a b", POINTER, "x" * 65])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        Registry(tmp_path).add(card(name), weights)
    assert name not in Registry(tmp_path)


def test_names_that_are_taken(tmp_path: Path) -> None:
    models = registry(tmp_path, "a")
    with pytest.raises(UsageError, match="already"):
        models.add(card("a"), weights)
    assert models.free_name("a") == "a-1"
    models.add(card("a-1"), weights)
    assert models.free_name("a") == "a-2"
    assert models.free_name("/some folder/") == "some-folder-1"


def test_what_fails_half_way_is_not_there(tmp_path: Path) -> None:
    models = registry(tmp_path, "a")

    def full_disk(folder: Path) -> None:
        weights(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        models.add(card("b"), full_disk)
    assert models.names() == ["a"]
    (models.folder / ".new-killed").mkdir()  # a process that was killed in the middle
    assert models.names() == ["a"]
    models.add(card("b"), weights)
    assert sorted(p.name for p in models.folder.iterdir()) == [".lock", "a", "b"]


def test_a_pointer_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    models = registry(tmp_path, "a")
    models.adopt("a")
    (models.folder / POINTER).write_text('{"adop')
    with pytest.raises(StoreError, match="cannot be read"):
        models.adopted(BASE)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pickle"}, {"base": ""}, {"schema_version": 99}, {"method": 3},
        {"method": "\x1b[31m"}, {"data": []}, {"gate": "good"}, {"made_at": "now"},
    ],
)  # fmt: skip
def test_damaged_cards(tmp_path: Path, change: dict[str, object]) -> None:
    models = registry(tmp_path, "a", "b")
    path = models.folder / "a" / CARD
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError):
        models.card("a")
    assert [found.name for found in models.cards()] == ["b"]


def test_no_folder_of_the_users_machine_in_the_model_card() -> None:
    text = readme(Card("x", "full", BASE, "/home/me/secret/ckpt"))
    assert "secret" not in text
    assert "base_model" not in text
    assert "base_model: apple/DiffuCoder" in readme(Card("x", "lora", BASE, "apple/DiffuCoder"))


def _adopt_often(root: Path, name: str) -> None:
    models = Registry(root)
    models.add(card(name), weights)
    for _ in range(20):
        models.adopt(name)


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = ["a", "b", "c"]
    jobs = [context.Process(target=_adopt_often, args=(tmp_path, name)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    models = Registry(tmp_path)
    assert models.names() == names
    assert models.adopted(BASE) in names
