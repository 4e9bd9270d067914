"""What of a log a model may learn from."""

from __future__ import annotations

from dataclasses import replace

from diffufix.model import load_model
from diffufix.propose.tasks import aligned, make_task, prompt_of
from diffufix.train.rl.replay import reads_alike
from diffufix.types import Group

SOURCE = "def total(prices, count):\n    return sum(prices) + count\n"


def test_only_prompts_that_this_model_would_be_given() -> None:
    model = load_model("mini", device="cpu")
    at = SOURCE.index("sum")
    span = (at, len(SOURCE) - 1)
    task = aligned(
        model, make_task("shop.py", "total", SOURCE, span, "expression", "repair", ("t",))
    )
    assert task is not None
    prompt = prompt_of(model, task)
    assert prompt is not None
    group = Group(task, prompt, (), "", "")
    assert reads_alike(model, group)
    other = tuple(token + 1 for token in prompt.left)
    assert not reads_alike(model, replace(group, prompt=replace(prompt, left=other)))
    broken = replace(task, source="def total(:\n")
    assert not reads_alike(model, replace(group, task=broken))
