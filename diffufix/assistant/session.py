"""`ChatSession`: a conversation of several turns. Touches nothing but the model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffufix.completion.arness import global_arness, local_arness
from diffufix.completion.extract import blocks
from diffufix.completion.types import Ask, Completer, SamplingPlan, Speech, Watch
from diffufix.errors import UsageError


@dataclass(frozen=True)
class Answer:
    """What the model said. `dropped` earlier turns were too much for its context."""

    text: str
    tokens: int
    forwards: int
    seconds: float
    ended: bool
    order: tuple[int, ...] | None = None
    dropped: int = 0

    @property
    def blocks(self) -> list[str]:
        """The code blocks, in their order."""
        return blocks(self.text)

    def document(self) -> dict[str, Any]:
        order = self.order or ()
        return {
            "text": self.text, "blocks": self.blocks, "tokens": self.tokens,
            "forwards": self.forwards, "seconds": round(self.seconds, 2), "ended": self.ended,
            "local_arness": local_arness(order), "global_arness": global_arness(order),
            "dropped_turns": self.dropped,
        }  # fmt: skip


class ChatSession:
    """Raises UsageError for a model that was not taught to answer: what it is, which can."""

    def __init__(self, completer: Completer, plan: SamplingPlan, system: str = "") -> None:
        if not completer.chats:
            raise UsageError(*cannot(completer))
        self.completer, self.plan = completer, plan
        self._system: tuple[Speech, ...] = (("system", system),) if system else ()
        self.turns: list[Speech] = []
        self._asked = 0

    def ask(
        self, text: str, files: Mapping[str, str] | None = None, watch: Watch | None = None
    ) -> Answer:
        """The answer to a message with files behind it. It is in `turns` once it is whole.

        Raises UsageError where the message alone is too long for the model.
        """
        said: Speech = ("user", with_files(text, files or {}))
        began = time.monotonic()
        kept, dropped = self._fitting(said)
        plan = self.plan.after(self._asked)  # another seed each time: asking again says more
        found = self.completer.complete(Ask(turns=(*self._system, *kept, said)), 1, plan, watch)[0]
        self._asked += 1
        answer = Answer(
            found.text.strip(), found.tokens, found.forwards, time.monotonic() - began,
            found.ended, found.order, dropped,
        )  # fmt: skip
        self.turns = [*kept, said, ("assistant", answer.text)]
        return answer

    def forget(self) -> None:
        self.turns = []

    def _fitting(self, said: Speech) -> tuple[list[Speech], int]:
        """The latest turns that fit with this one, and how many do not."""
        turns = list(self.turns)
        while True:
            ask = Ask(turns=(*self._system, *turns, said))
            excess = self.completer.excess(ask, self.plan)
            if excess <= 0:
                return turns, len(self.turns) - len(turns)
            if not turns:
                raise UsageError(
                    f"The message is {excess} tokens too long for {self.completer.name}.",
                    "Attach less, or leave room with a smaller --max-tokens.",
                )
            turns = turns[2:]


def with_files(text: str, files: Mapping[str, str]) -> str:
    """A message, and behind it each file under its name."""
    parts = [text.strip()]
    for name, content in files.items():
        parts.append(f"{name}:\n```{_language(name)}\n{content.rstrip()}\n```")
    return "\n\n".join(part for part in parts if part)


def _language(name: str) -> str:
    return "python" if name.endswith(".py") else ""


def cannot(completer: Completer) -> Sequence[str]:
    """Why a model cannot chat, and which can."""
    from diffufix.completion.embedded import CANNOT_CHAT, WHICH_CAN

    if completer.ordered:
        return CANNOT_CHAT, WHICH_CAN
    return f"{completer.name} goes on with a text; it was not taught to answer.", WHICH_CAN
