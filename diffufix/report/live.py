"""The search as it runs, on stderr: a live picture on a terminal, plain lines elsewhere.

`display(...)` picks one; both are listeners of `diffufix.events` and context managers.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from diffufix import events
from diffufix.events import Event
from diffufix.report.terminal import counted
from diffufix.trusted import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_EVERY = 5.0  # seconds between two progress lines without a terminal
REFRESH_PER_SECOND = 10
SUSPECTS_SHOWN = 5
CONTEXT_LINES = 2  # around the hole, in the picture


class Display(AbstractContextManager["Display"], Protocol):
    """A listener that is closed when the search ends."""

    def __call__(self, event: Event) -> None: ...


def display(err: TextIO, budget: float, verbose: bool = False) -> Display:
    """The live picture where `err` is a terminal that can move its cursor, else plain lines."""
    if err.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        return LiveDisplay(err, budget)
    return PlainDisplay(err, verbose)


def milestone(event: Event) -> list[str]:
    """The lines worth keeping after the search, the same in both displays."""
    match event:
        case events.Stage(text):
            return [f"{text} ..."]
        case events.TestsRan(run):
            late = sum(case.timed_out for case in run.red)
            head = f"{counted(len(run.cases), 'test')} in {run.seconds:.1f} s, "
            head += f"{len(run.red) - late} failing"
            head += f", {late} not ended in time" if late else ""
            red = [f"  {case.id}  {case.message}".rstrip() for case in run.red[:10]]
            more = [f"  ... and {len(run.red) - 10} more"] if len(run.red) > 10 else []
            return [head, *red, *more]
        case events.Localized(suspects, title):
            if title:
                listed = [
                    f"  {s.path}:{max(s.lines, default=s.first_line)} {s.evidence}"
                    for s in suspects
                ]
                return [f"{counted(len(suspects), 'function')} {title}:", *listed]
            shown = [
                f"  {s.score:.2f}  {s.path}:{s.first_line} {s.qualname}"
                + (f"  ({s.evidence})" if s.evidence else "")
                for s in suspects[:SUSPECTS_SHOWN]
            ]
            return [f"{counted(len(suspects), 'suspect')}, most suspicious first:", *shown]
        case events.ModelLoaded(name, parameters, seconds, note):
            line = f"model {name}, {parameters / 1e6:,.1f} M parameters, {seconds:.1f} s to load"
            return [line, note] if note else [line]
        case events.Found(summary):
            return [f"found: {summary}"]
        case events.Confirming(summary):
            return [f"confirming over the whole suite: {summary}"]
        case events.Warned(text):
            return [f"warning: {text}"]
        case _:
            return []


def counters(progress: events.Progress) -> str:
    """The numbers of the search in one line."""
    best = f", best: {progress.best}" if progress.best else ""
    return (
        f"{progress.tried:,} candidates tried ({progress.per_second:,.0f}/s), "
        f"{progress.generated:,} sampled{best}"
    )


class PlainDisplay:
    """One line per milestone and, at most every few seconds, one with the counters."""

    def __init__(self, err: TextIO, verbose: bool = False) -> None:
        self.err = err
        self.verbose = verbose
        self._spoke_at = 0.0

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        lines = milestone(event)
        if isinstance(event, events.Progress) and event.elapsed - self._spoke_at >= PLAIN_EVERY:
            self._spoke_at = event.elapsed
            lines = [f"{event.elapsed:.0f} s: {counters(event)}"]
        if self.verbose and isinstance(event, events.HoleStarted):
            lines = [hole_line(event)]
        for line in lines:
            self.err.write(visible(line) + "\n")
        if lines:
            self.err.flush()


def hole_line(event: events.HoleStarted) -> str:
    text = " ".join(event.text.split())
    return f"{event.suspect.path}:{event.line} {event.suspect.qualname}  {event.kind}  {text}"


class LiveDisplay:
    """Milestones scroll by; below them a picture of the hole that is being denoised."""

    def __init__(self, err: TextIO, budget: float, width: int | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=err, highlight=False, width=width)
        self.budget = budget
        self._started = time.monotonic()
        self._hole: events.HoleStarted | None = None
        self._step: events.CanvasStep | None = None
        self._progress: events.Progress | None = None
        self._live: Any = Live(
            console=self.console,
            get_renderable=self.picture,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._live.__exit__(*exc)

    def __call__(self, event: Event) -> None:
        match event:
            case events.HoleStarted():
                self._hole, self._step = event, None
            case events.CanvasStep():
                self._step = event
            case events.Progress():
                self._progress = event
            case events.Found() | events.Confirming():
                self._hole = self._step = None
        for line in milestone(event):
            style = _LINE_STYLES.get(type(event), "")
            self.console.print(
                visible(line), markup=False, style=style, no_wrap=True, overflow="ellipsis"
            )

    def picture(self, elapsed: float | None = None) -> RenderableType:
        """What is shown below the milestones; `elapsed` in seconds, for tests."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed = time.monotonic() - self._started if elapsed is None else elapsed
        rows: list[RenderableType] = []
        if self._hole is not None:
            rows.append(
                Text(visible(hole_line(self._hole)), "bold", no_wrap=True, overflow="ellipsis")
            )
        if self._step is not None:
            rows.append(canvas_text(self._step))
        if self._progress is not None:
            rows.append(Text(visible(counters(self._progress))))
        clock = Table.grid(padding=(0, 1))
        clock.add_row(
            ProgressBar(total=self.budget, completed=min(elapsed, self.budget), width=40),
            Text(f"{max(0.0, self.budget - elapsed):.0f} s left of {self.budget:.0f} s"),
        )
        rows.append(clock)
        return Group(*rows)


_LINE_STYLES: dict[type, str] = {
    events.Stage: "dim",
    events.Found: "bold green",
    events.Confirming: "green",
    events.Warned: "yellow",
}


def canvas_text(step: events.CanvasStep) -> Any:
    """The hole between its neighbouring lines; what the model wrote stands out from the rest."""
    from rich.text import Text

    left = "".join(step.left.splitlines(keepends=True)[-CONTEXT_LINES:])
    right = "".join(step.right.splitlines(keepends=True)[:CONTEXT_LINES])
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(visible(left), "dim")
    for piece in step.canvas.replace(events.MASK, f"\0{events.MASK}\0").split("\0"):
        text.append(visible(piece), "bold magenta" if piece == events.MASK else "bold green")
    text.append(visible(right.rstrip("\n")), "dim")
    return text
