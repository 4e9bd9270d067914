"""A conversation as the text that an instruct model continues."""

from __future__ import annotations

from collections.abc import Sequence

from diffufix.completion.types import Speech
from diffufix.model.families import Chat
from diffufix.propose.prompting import guarded, spoken

SYSTEM = "You are a helpful assistant."


def conversation(turns: Sequence[Speech], begun: str, chat: Chat) -> str:
    """The turns with their marks, and the beginning of the assistant's next one.

    What was said may spell a mark; it is written apart then, so that nobody speaks for another.
    """
    if not turns or turns[0][0] != "system":
        turns = [("system", SYSTEM), *turns]
    said = [f"<|im_start|>{who}\n{guarded(text, chat)}<|im_end|>\n" for who, text in turns]
    return spoken("".join([*said, f"<|im_start|>assistant\n{begun}"]), chat)
