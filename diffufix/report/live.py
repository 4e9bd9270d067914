"""The search as it runs, on stderr: a live picture on a terminal, plain lines elsewhere.

`display(...)` picks one; both are listeners of `diffufix.events` and context managers.
"""

from __future__ import annotations

import os
import textwrap
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from diffufix import events
from diffufix.events import Event
from diffufix.report.words import counted
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


def display(
    err: TextIO,
    budget: float,
    verbose: bool | None = False,
    quiet: bool | None = False,
    selected: bool = False,
) -> Display:
    """The live picture where `err` is a terminal that can move its cursor, else plain lines; with
    `quiet` warnings alone. `selected`: only some of the suite's tests are run."""
    if quiet:
        return QuietDisplay(err)
    if err.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        return LiveDisplay(err, budget, verbose=bool(verbose), selected=selected)
    return PlainDisplay(err, bool(verbose), selected)


def milestone(event: Event, verbose: bool = True, selected: bool = False) -> list[str]:
    """The lines worth keeping after the search, the same in both displays."""
    match event:
        case events.Stage(text):
            return [f"{text} ..."]
        case events.Placed(kind, python, enclosed):
            return [
                f"with {_home(python)}, {_PLACES.get(kind, kind) if enclosed else 'in no sandbox'}"
            ]
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
                "  " + (f"{s.score:.2f}  " if verbose else "")
                + f"{s.path}:{s.first_line} {s.qualname}"
                + (f"  ({s.evidence})" if s.evidence else "")
                for s in suspects[:SUSPECTS_SHOWN]
            ]  # fmt: skip
            return [f"{counted(len(suspects), 'suspect')}, most suspicious first:", *shown]
        case events.ModelLoaded(name, parameters, seconds, note):
            size = f"{parameters / 1e6:,.1f} M parameters, " if parameters else ""
            line = f"model {name}, {size}{seconds:.1f} s to load"
            return [*([line] if verbose else []), *([note] if note else [])]
        case events.Found(summary):
            return [f"found: {summary}"] if summary else []
        case events.Confirming(summary):
            return [f"{_confirming(selected)}: {summary}"]
        case events.Warned(text):
            return [f"warning: {text}"]
        case _:
            return []


def _confirming(selected: bool) -> str:
    return f"confirming over {'the selected tests' if selected else 'the whole suite'}"


def counters(progress: events.Progress, verbose: bool = True) -> str:
    """The numbers of the search in one line."""
    best = f", best: {progress.best}" if progress.best else ""
    rate = f" ({progress.per_second:,.0f}/s)" if progress.per_second >= 0.5 else ""
    sampled = f", {progress.generated:,} sampled" if verbose else ""
    return f"{counted(progress.tried, 'candidate')} tried{rate}{sampled}{best}"


_PLACES = {"docker": "in a container", "e2b": "in an E2B machine", "local": "in bubblewrap"}


def _home(path: str) -> str:
    """A path as a shell would abbreviate it."""
    home = os.path.expanduser("~")
    here = os.getcwd() + "/"
    if path.startswith(here):
        return path.removeprefix(here)
    return "~" + path.removeprefix(home) if path.startswith(home + "/") else path


class QuietDisplay:
    """Warnings, and nothing else."""

    def __init__(self, err: TextIO) -> None:
        self.err = err

    def __enter__(self) -> QuietDisplay:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        if isinstance(event, events.Warned):
            self.err.write(visible(f"warning: {event.text}") + "\n")
            self.err.flush()


class PlainDisplay:
    """One line per milestone and, at most every few seconds, one with the counters."""

    def __init__(self, err: TextIO, verbose: bool = False, selected: bool = False) -> None:
        self.err = err
        self.verbose, self.selected = verbose, selected
        self._spoke_at = 0.0

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        lines = milestone(event, self.verbose, self.selected)
        if isinstance(event, events.Progress) and event.elapsed - self._spoke_at >= PLAIN_EVERY:
            self._spoke_at = event.elapsed
            lines = [f"{event.elapsed:.0f} s: {counters(event, self.verbose)}"]
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

    def __init__(
        self,
        err: TextIO,
        budget: float,
        width: int | None = None,
        verbose: bool = False,
        selected: bool = False,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=err, highlight=False, width=width)
        self.budget, self.verbose, self.selected = budget, verbose, selected
        self._doing = "starting"
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
        from rich.text import Text

        match event:
            case events.HoleStarted():
                self._hole, self._step = event, None
            case events.CanvasStep():
                self._step = event
            case events.Progress():
                self._progress = event
            case events.Stage(text):
                self._doing = text
            case events.Confirming():
                self._doing = _confirming(self.selected)
                self._hole = self._step = None
        lines = milestone(event, self.verbose, self.selected)
        if self.verbose and isinstance(event, events.HoleStarted):
            lines = [hole_line(event)]
        style = _LINE_STYLES.get(type(event), "")
        for line in lines:
            for row in fitted(visible(line), self.console.width):
                # The style is the text's own: print's would hold for the live picture, too.
                self.console.print(Text(row, style), no_wrap=True, overflow="ellipsis")

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
            rows.append(Text(visible(counters(self._progress, self.verbose))))
        left = self.budget - elapsed
        said = f"{left:.0f} s left of {self.budget:.0f} s" if left > 0 else "time is up"
        if left <= 0 or self._progress is None or self._doing.startswith("confirming"):
            said += f"; {self._doing}"
        clock = Table.grid(padding=(0, 1))
        clock.add_row(
            ProgressBar(
                total=self.budget, completed=min(elapsed, self.budget),
                width=min(40, max(8, self.console.width // 3)),
            ),
            Text(visible(said), no_wrap=True, overflow="ellipsis"),
        )  # fmt: skip
        rows.append(clock)
        return Group(*rows)


def fitted(line: str, width: int) -> list[str]:
    """A milestone in rows of `width`: what comes after a wide gap goes below where it does not fit,
    and what is cut there is cut at its end, so that ids and names stay whole."""
    if len(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip())
    first, gap, rest = line[indent:].partition("  ")
    if not gap:
        return textwrap.wrap(
            line, width, subsequent_indent=" " * (indent + 2), break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    below = " " * (indent + 4) + rest.strip()
    return [" " * indent + first, *([below] if rest.strip() else [])]


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
