"""A conversation on a terminal: the answer while it is decoded, then as Markdown."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from diffufix.report.words import counted
from diffufix.trusted import visible

if TYPE_CHECKING:
    from rich.console import Console

    from diffufix.assistant.running import Ran
    from diffufix.assistant.session import Answer

MASK = "\u2592"
TAIL = 60  # masks shown behind the last token
FRESH = 0.6  # seconds that a new character stands out


class Decoding(AbstractContextManager["Decoding"]):
    """Shows tokens in the order in which they are committed: masks stand where none is yet."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._text, self._new = "", dict[int, float]()
        self._steps, self._began = 0, time.monotonic()
        self._live: Any = Live(
            console=console, get_renderable=self.picture, refresh_per_second=12, transient=True,
            vertical_overflow="crop",
        )  # fmt: skip

    def __enter__(self) -> Decoding:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._live.__exit__(*exc)

    def __call__(self, step: int, text: str) -> None:
        now, old = time.monotonic(), self._text
        self._steps = step + 1
        # Tokens take the place of one mask each: compare between equal counts of masks.
        self._new = {at: since for at, since in fresh(old, text, now, self._new).items()
                     if now - since < FRESH}  # fmt: skip
        self._text = text

    def picture(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        shown = Text()
        end = len(self._text.rstrip(MASK))
        for at, char in enumerate(self._text[: end + TAIL]):
            if char == MASK:
                shown.append(char, "dim magenta")
            else:
                shown.append(visible(char), "bold green" if at in self._new else "")
        left = self._text.count(MASK)
        spent = time.monotonic() - self._began
        clock = f"step {self._steps}, {counted(left, 'mask')} left, {spent:.0f} s"
        return Group(shown, Text(clock, "dim"))


def fresh(old: str, new: str, now: float, known: dict[int, float]) -> dict[int, float]:
    """Places in `new` that are not in `old`, with the time; those of before move along."""
    import difflib

    found: dict[int, float] = {}
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, a, _, b, end in matcher.get_opcodes():
        for place in range(b, end):
            if kind == "equal":
                since = known.get(a + place - b)
                if since is not None:
                    found[place] = since
            elif new[place] != MASK:
                found[place] = now
    return found


def answered(console: Console, answer: Answer, number: Callable[[int], int]) -> None:
    """The answer as Markdown; `number` gives a block its number in the conversation."""
    from rich.markdown import Markdown

    if answer.text:
        console.print(Markdown(visible(answer.text)))
    else:
        console.print("(no answer)", style="dim")
    for index, block in enumerate(answer.blocks):
        lines = block.count("\n")
        console.print(
            f"block {number(index)}: {lines} line{'s' if lines != 1 else ''}; "
            f"/run {number(index)}, /save {number(index)} FILE",
            style="dim", highlight=False,
        )  # fmt: skip
    console.print(facts(answer), style="dim", highlight=False)


def facts(answer: Answer) -> str:
    from diffufix.completion.arness import local_arness

    passes = counted(answer.forwards, "pass", "passes")
    said = f"{counted(answer.tokens, 'token')}, {passes}, {answer.seconds:.1f} s"
    local = local_arness(answer.order or ())
    said += f", left to right {local:.0%}" if local is not None else ""
    said += "" if answer.ended else ", cut off by --max-tokens"
    if answer.dropped:
        said += f"; {answer.dropped} earlier turns no longer fit and were left out"
    return said


def ran_lines(ran: Ran) -> list[str]:
    """What a block printed, and how it ended."""
    lines = [*ran.stdout.rstrip().splitlines(), *ran.stderr.rstrip().splitlines()]
    how = "did not end in time" if ran.timed_out else f"exit {ran.returncode}"
    return [*lines, f"({ran.place}: {how})"]
