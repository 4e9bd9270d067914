"""A reward function for TRL (https://huggingface.co/docs/trl): `GRPOTrainer(reward_funcs=...)`.

    from diffufix.trainers.trl import verified_tests
    trainer = GRPOTrainer(model, reward_funcs=verified_tests, train_dataset=rows, ...)

The dataset's columns are those of `GradedTask`, beside `prompt`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffufix.trainers.scoring import GradedTask, Scorer, default_scorer

Rewarding = Callable[..., list[float | None]]
_COLUMNS = ("project", "path", "source", "qualname", "tests", "failing", "args")


def reward_function(scorer: Scorer | None = None, name: str = "verified_tests") -> Rewarding:
    """A callable as TRL wants it; `name` is what its logs call the reward.

    A completion is a text or a conversation, of which the last message counts. The reward is None,
    which TRL leaves out, where the infrastructure failed.
    """

    def rewards(
        prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        tasks = [
            GradedTask.of({key: columns[key][row] for key in _COLUMNS if key in columns})
            for row in range(len(completions))
        ]
        return (scorer or default_scorer()).scores(tasks, [text_of(one) for one in completions])

    rewards.__name__ = name
    return rewards


def text_of(completion: Any) -> str:
    """The text of a completion: itself, or the last message's."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


verified_tests = reward_function()
