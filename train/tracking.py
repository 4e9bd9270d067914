"""What a run tells: rows in log.jsonl, TensorBoard where it is installed, a line or a bar.

The log is one curve: rows beyond the step that a run goes on from are cut off first. Writes in the
run's folder; progress goes to stderr.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

LOG = "log.jsonl"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Tracker:
    """Collects the losses of steps and writes a row for every `every` of them.

    `state()` goes into a checkpoint; a tracker that starts from it goes on with the same rows.
    """

    def __init__(
        self,
        folder: Path,
        first: int,
        last: int,
        *,
        every: int = 50,
        state: dict[str, Any] | None = None,
        quiet: bool = False,
        tensorboard: bool = True,
    ) -> None:
        state = state or {}
        self.every, self.step, self._last = every, first, last
        self.losses: list[float] = list(state.get("losses", []))
        self.tokens, self.skipped = int(state.get("tokens", 0)), int(state.get("skipped", 0))
        self._before = float(state.get("seconds", 0.0))
        self._began, self._first, self._tokens = time.monotonic(), first, self.tokens
        folder.mkdir(parents=True, exist_ok=True)
        keep = _rows_up_to(folder / LOG, first)
        (folder / LOG).write_text("".join(keep), "utf-8")
        self._file = (folder / LOG).open("a", encoding="utf-8")
        self._board = _tensorboard(folder, first) if tensorboard else None
        self._bar = None if quiet else _bar(first, last)
        self._say: Callable[[str], None] = (lambda line: None) if quiet else say
        self.latest: dict[str, Any] = {}

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._bar is not None:
            self._bar.stop()

    def state(self) -> dict[str, Any]:
        return {
            "losses": list(self.losses),
            "tokens": self.tokens,
            "skipped": self.skipped,
            "seconds": self.seconds,
        }

    @property
    def seconds(self) -> float:
        """Seconds of training, those before the last resume included."""
        return self._before + time.monotonic() - self._began

    def add(self, loss: float, tokens: int) -> bool:
        """One step is done; returns whether a row is due."""
        self.losses.append(loss)
        self.tokens += tokens
        self.step += 1
        if self._bar is not None:
            self._bar.update(self.step, self.losses[-1])
        return self.step % self.every == 0 or self.step == self._last

    def row(self, **values: Any) -> None:
        here = time.monotonic() - self._began
        row: dict[str, Any] = {
            "step": self.step,
            "loss": sum(self.losses) / max(1, len(self.losses)),
            **values,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "per_second": round((self.tokens - self._tokens) / max(here, 1e-9)),
        }
        if self.skipped:
            row["skipped"] = self.skipped
        self.losses = []
        self.latest = row
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in row.items():
                if isinstance(value, int | float) and key != "step":
                    self._board.add_scalar(key, value, self.step)
        if self._bar is None:
            left = here / max(1, self.step - self._first) * (self._last - self.step)
            shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            self._say(json.dumps({**shown, "left": clock(left)}))


class _Bar:
    """A rich progress bar with time left."""

    def __init__(self, first: int, last: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=last, completed=first, loss="")
        self._progress.start()

    def update(self, step: int, loss: float) -> None:
        self._progress.update(self._task, completed=step, loss=f"{loss:.3f}")

    def stop(self) -> None:
        self._progress.stop()


def clock(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _bar(first: int, last: int) -> _Bar | None:
    if not sys.stderr.isatty():
        return None
    try:
        return _Bar(first, last)
    except ImportError:
        return None


def _rows_up_to(log: Path, step: int) -> list[str]:
    if not log.is_file():
        return []
    rows = []
    for line in log.read_text("utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                rows.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # cut short by a crash
    return rows


def _tensorboard(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("TensorBoard is not installed (pip install tensorboard): log.jsonl has everything.")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)
