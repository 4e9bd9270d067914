"""A training as it runs, on stderr: lines that stay, and under them the numbers of the last step.

On a terminal the numbers are a small picture with the time left; elsewhere, now and then, a line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from diffufix.trusted import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_EVERY = 15.0  # seconds between two lines of numbers without a terminal
HISTORY = 48  # steps in the small curve
_BARS = "▁▂▃▄▅▆▇█"

Row = Mapping[str, Any]

#: What is shown of a row: key, words, how it is written.
SHOWN = (
    ("reward", "reward", "{:.3f}"),
    ("passed", "pass", "{:.0%}"),
    ("signal", "signal", "{:.0%}"),
    ("solve_rate", "solved", "{:.0%}"),
    ("kl", "KL", "{:.2g}"),
    ("clipped", "clipped", "{:.1%}"),
    ("length", "length", "{:.1f}"),
    ("arness", "AR-ness", "{:.0%}"),
    ("loss", "loss", "{:.3g}"),
)
RATES = ("samples/s", "verdicts/s", "scored/s", "updates/s")


class TrainingDisplay(Protocol):
    """`tell` takes a line, `listen` the row of a step."""

    def __enter__(self) -> TrainingDisplay: ...
    def __exit__(self, *exc: object) -> None: ...
    def tell(self, line: str) -> None: ...
    def listen(self, row: Row) -> None: ...


def display(err: TextIO) -> TrainingDisplay:
    """The picture where `err` is a terminal that can move its cursor, else plain lines."""
    if err.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        return LiveTrainingDisplay(err)
    return PlainTrainingDisplay(err)


def facts(row: Row) -> list[str]:
    """The numbers of a step in words, those that it has."""
    return [f"{word} {form.format(row[key])}" for key, word, form in SHOWN if key in row]


def rates(row: Row) -> str:
    """How fast each stage goes."""
    found = [f"{row[key]:,.3g} {key}" for key in RATES if key in row]
    return ", ".join(found)


def clock(seconds: float) -> str:
    """ "0:42", "12:05", "1:02:09"."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def curve(values: list[float]) -> str:
    """The last values as a line of bars, from the lowest to the highest of them."""
    last = values[-HISTORY:]
    low, high = min(last), max(last)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in last)


class PlainTrainingDisplay:
    """A line for each milestone, and one with the numbers every few seconds."""

    def __init__(self, err: TextIO) -> None:
        self.err = err
        self._spoke_at = -PLAIN_EVERY

    def __enter__(self) -> PlainTrainingDisplay:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def tell(self, line: str) -> None:
        self.err.write(visible(line) + "\n")
        self.err.flush()

    def listen(self, row: Row) -> None:
        now = time.monotonic()
        if now - self._spoke_at < PLAIN_EVERY:
            return
        self._spoke_at = now
        left = f"{clock(row.get('left', 0.0))} left"
        self.tell(f"step {row['step']}, {left}: " + ", ".join(facts(row)))


class LiveTrainingDisplay:
    """Milestones scroll by; below them the numbers, a curve of the reward and the time left."""

    def __init__(self, err: TextIO, width: int | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=err, highlight=False, width=width)
        self._row: Row = {}
        self._heard = self._began = time.monotonic()
        self._rewards: list[float] = []
        self._live = Live(
            console=self.console, get_renderable=self.picture, refresh_per_second=4,
            transient=True, redirect_stdout=False, redirect_stderr=True,
        )  # fmt: skip

    def __enter__(self) -> LiveTrainingDisplay:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.__exit__(None, None, None)

    def tell(self, line: str) -> None:
        from rich.text import Text

        self.console.print(Text(visible(line)), soft_wrap=True)
        self._row = {}

    def listen(self, row: Row) -> None:
        if not self._row:
            self._began = time.monotonic()
        self._row, self._heard = dict(row), time.monotonic()
        for key in ("reward", "passed"):
            if key in row:
                self._rewards.append(float(row[key]))
                break

    def picture(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not self._row:
            return Text("")
        lines: list[RenderableType] = [Text(f"step {self._row['step']}", "bold")]
        lines.append(Text("  ".join(facts(self._row)), overflow="fold"))
        if speed := rates(self._row):
            lines.append(Text(speed, "dim", overflow="ellipsis", no_wrap=True))
        if len(self._rewards) > 1:
            lines.append(Text(f"reward {curve(self._rewards)}", "green", no_wrap=True))
        left = max(0.0, self._row.get("left", 0.0) - (time.monotonic() - self._heard))
        done = max(1e-9, float(self._row.get("seconds", 0.0)) + time.monotonic() - self._heard)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            ProgressBar(total=done + left, completed=done, width=40), Text(f"{clock(left)} left")
        )
        return Group(*lines, grid)
