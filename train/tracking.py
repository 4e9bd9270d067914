"""What a run tells: rows in log.jsonl, TensorBoard where it is installed, a line or a bar.

The log is one curve: rows beyond the step that a run goes on from are cut off first. Rows for which
the disk has no room wait for it; training goes on. Writes in the run's folder; progress goes to
stderr.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from diffufix.errors import TrainingError
from diffufix.train.checkpoints import write_whole

if TYPE_CHECKING:
    from rich.progress import Progress

LOG, BOARD = "log.jsonl", "tensorboard"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Tracker:
    """Collects the losses of steps and writes a row for every `every` of them.

    `state()` goes into a checkpoint; a tracker that starts from it goes on with the same rows.
    Making one raises TrainingError where the folder cannot be written.
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
        _cut(folder / LOG, first)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._log = _Records(folder / LOG)
            self._board = _Board.of(folder / BOARD, first) if tensorboard else None
        except OSError as error:
            raise TrainingError(
                f"{folder} cannot be written: {error.strerror}.",
                "Make room, then run the same command again.",
            ) from error
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
        for records in (self._log, self._board):
            if records is not None:
                records.close()
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
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self.step, loss=f"{self.losses[-1]:.3f}")
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
        self._log.add((json.dumps(row) + "\n").encode())
        if self._board is not None:
            self._board.scalars(row, self.step)
        if self._bar is None:
            left = here / max(1, self.step - self._first) * (self._last - self.step)
            shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
            self._say(json.dumps({**shown, "left": clock(left)}))


class _Records:
    """Whole records at the end of a file; those that do not fit wait until they do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._waiting = b""

    def add(self, record: bytes) -> None:
        said = bool(self._waiting)
        self._waiting += record
        why = self._write()
        if why and not said:
            say(f"warning: {self.path} cannot be written: {why}. Training goes on; make room.")

    def close(self) -> None:
        if self._waiting and (why := self._write()):
            say(f"warning: the last rows are missing in {self.path}: {why}.")
        os.close(self._file)

    def _write(self) -> str:
        """What waits, or none of it; returns why."""
        end, left = os.fstat(self._file).st_size, self._waiting
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, end)
            return error.strerror or str(error)
        self._waiting = b""
        return ""


class _Board(_Records):
    """A TensorBoard file. Its own writer has a thread, which dies of a full disk."""

    @classmethod
    def of(cls, folder: Path, first: int) -> _Board | None:
        """What earlier files of the folder say of steps beyond `first` counts no more."""
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            say("TensorBoard is not installed (pip install tensorboard): log.jsonl has everything.")
            return None
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9}.{socket.gethostname()}"
        board = cls(folder / f"{name}.{os.getpid()}.{first}")
        board._proto, board._summary, board._writer = event_pb2, summary_pb2, RecordWriter
        board._event(file_version="brain.Event:2")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        board._event(step=first + 1, session_log=started)
        return board

    _proto: Any
    _summary: Any
    _writer: Any

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """The numbers among the values."""
        numbers = [
            self._summary.Summary.Value(tag=key, simple_value=value)
            for key, value in values.items()
            if isinstance(value, int | float) and key != "step"
        ]
        self._event(step=step, summary=self._summary.Summary(value=numbers))

    def _event(self, **fields: Any) -> None:
        record = io.BytesIO()
        event = self._proto.Event(wall_time=time.time(), **fields)
        self._writer(record).write(event.SerializeToString())
        self.add(record.getvalue())


def clock(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _bar(first: int, last: int) -> Progress | None:
    """A bar with the time left, where stderr is a terminal and rich is there."""
    if not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    loss = TextColumn("loss {task.fields[loss]}")
    columns = TextColumn("step {task.completed}/{task.total}"), BarColumn(), TimeRemainingColumn()
    bar = Progress(*columns, loss, console=Console(stderr=True))
    bar.add_task("", total=last, completed=first, loss="")
    bar.start()
    return bar


def _cut(log: Path, step: int) -> None:
    """Leave the rows up to a step. Raises TrainingError."""
    if not log.is_file():
        return
    before, rows = log.read_text("utf-8", "replace"), []
    for line in before.splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                rows.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # cut short by a crash
    if (kept := "".join(rows)) != before:
        write_whole(log, lambda path: path.write_text(kept, "utf-8"))
