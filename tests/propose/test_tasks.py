"""Tasks and prompts: what a model is asked, and that its answer lands where it was asked."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffufix.decode.layout import SLACK
from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.holes import holes
from diffufix.propose.tasks import MAX_WIDTH, aligned, candidate_of, make_task, prompt_of, text_of
from diffufix.source.functions import find_function
from diffufix.types import Hole, Task
from tests.support.checkpoints import make_dream_checkpoint

SOURCE = '''import math


class Shop:
    def total(self, prices, größe=1):
        """The sum."""
        found = 0
        for price in prices:
            if price > 0 and not math.isnan(price):
                found -= price * größe
        return (found)


def other():
    return "ä" + "ö"
'''
TREE = ast.parse(SOURCE)
HOLES = [
    ("Shop.total" if name == "Shop.total" else "other", hole)
    for name in ("Shop.total", "other")
    for hole in holes(SOURCE, find_function(TREE, name, 1) or TREE)
]


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return load_model("mini", device="cpu")


def task_at(name: str, start: int, end: int, **more: Any) -> Task:
    span = (start, end)
    return make_task("shop.py", name, SOURCE, span, "expression", "mutant", ["t.py::t"], **more)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(HOLES), answer=st.sampled_from(["x", "a + b", "", "ß(1)\n"]))
def test_an_aligned_task_keeps_what_it_asks(
    mini: LoadedModel, case: tuple[str, Hole], answer: str
) -> None:
    name, hole = case
    task = task_at(name, hole.start, hole.end, answer=answer)
    wide = aligned(mini, task)
    if wide is None:
        return
    assert wide.answer is not None
    assert wide.start <= task.start
    assert task.end <= wide.end
    assert candidate_of(wide, wide.answer) == candidate_of(task, answer)
    assert aligned(mini, wide) == wide
    prompt = prompt_of(mini, wide)
    if prompt is None:
        return
    assert text_of(mini, prompt, prompt.original) == SOURCE[wide.start : wide.end]
    before = mini.tokenizer.decode(prompt.left)
    assert SOURCE[: wide.start].endswith(before)
    assert prompt.width == SLACK + max(
        len(prompt.original), len(mini.tokenizer.encode(wide.answer))
    ) or (prompt.original == () and not answer)


def test_completions_become_text_without_what_is_silent(mini: LoadedModel) -> None:
    start = SOURCE.index("-=")
    task = aligned(mini, task_at("Shop.total", start, start + 2, answer="+="))
    assert task is not None
    prompt = prompt_of(mini, task)
    assert prompt is not None
    assert mini.family.delete is not None
    ids = [*mini.tokenizer.encode(task.answer or ""), mini.family.delete, mini.family.delete]
    text = text_of(mini, prompt, ids)
    assert candidate_of(task, text).files == {"shop.py": SOURCE.replace("-=", "+=")}


def test_what_is_not_shown_leaves_a_gap(mini: LoadedModel) -> None:
    start = SOURCE.index("(found)")
    task = aligned(mini, task_at("Shop.total", start, start + 7, shown=False))
    assert task is not None
    prompt = prompt_of(mini, task)
    assert prompt is not None
    assert prompt.gap
    assert prompt.original == ()
    shown = prompt_of(mini, replace(task, shown=True))
    assert shown is not None
    assert not shown.gap
    assert shown.width == prompt.width == len(shown.original) + SLACK


def test_inline_prompts_stand_around_the_hole(tmp_path: Path) -> None:
    model = load_model(make_dream_checkpoint(tmp_path / "dream"), device="cpu")
    start = SOURCE.index("price * größe")
    task = task_at("Shop.total", start, start + 5)
    assert aligned(model, task) == task
    prompt = prompt_of(model, task)
    assert prompt is not None
    assert prompt.lead == " "
    assert model.tokenizer.decode(prompt.original) == " price"
    assert prompt.width == len(prompt.original)  # nothing can be deleted
    assert model.tokenizer.decode(prompt.left).endswith("found -=")
    assert text_of(model, prompt, prompt.original) == "price"
    hidden = prompt_of(model, replace(task, shown=False))
    assert hidden is not None
    assert hidden.original == ()
    assert 1 <= hidden.width <= MAX_WIDTH  # what is hidden does not say how long it is


def test_a_hole_out_of_reach_is_no_prompt(mini: LoadedModel) -> None:
    assert prompt_of(mini, task_at("Shop.total", 0, 6)) is None
    assert aligned(mini, task_at("missing", 0, 6)) is None


def test_keys_tell_tasks_apart() -> None:
    one = task_at("other", 3, 9)
    assert one.key == task_at("other", 3, 9, answer="x").key
    assert one.key != task_at("other", 3, 8).key
    assert one.key != task_at("other", 3, 9, shown=False).key


def test_line_ends_are_those_of_the_file() -> None:
    task = make_task("a.py", "f", "def f():\r\n    pass\r\n", (14, 18), "body", "repair", ["t"])
    assert candidate_of(task, "x = 1\n    return x").files["a.py"] == (
        "def f():\r\n    x = 1\r\n    return x\r\n"
    )
