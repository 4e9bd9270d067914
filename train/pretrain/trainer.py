"""The trainer under all stages: one loop over steps, on a CPU, a GPU or several.

A step is `accumulate` parts of a batch, shared out over the processes; their gradients, clipped,
move the optimisers, and after them the averaged weights. A checkpoint holds all that decides what
comes next, so a resumed run is bit for bit the unbroken one. Writes in the run's folder.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from diffufix.errors import PrerequisiteError, TrainingError, UsageError
from diffufix.model.devices import flushed
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.train import checkpoints
from diffufix.train.objective import Labelled, Objective, evaluate, move
from diffufix.train.optim import Average, optimisers, set_rate
from diffufix.train.pretrain.supply import Supply, batches
from diffufix.train.recipe import Recipe
from diffufix.train.tracking import Tracker, say

MAX_SKIPPED = 5  # steps in a row whose gradient was not finite


@dataclass(frozen=True)
class Options:
    """What decides how a run goes on, but not what it learns."""

    device: str | None = None
    workers: int = 1
    save_every: int = 250
    log_every: int = 50
    quiz_every: int = 250
    minutes: float | None = None  # then stop with a checkpoint, as after a signal
    quiet: bool = False
    tensorboard: bool = True


class Stopped(KeyboardInterrupt):
    """A signal asked for it, or the time that was planned is over; the checkpoint is written."""

    planned = False


def make_accelerator(device: str | None) -> Any:
    """Accelerate on the device: bfloat16 autocast on CUDA, float32 elsewhere."""
    from accelerate import Accelerator

    cuda = torch.cuda.is_available() if device is None else device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        raise PrerequisiteError(
            "PyTorch finds no CUDA device.", "Use --device cpu, or install a CUDA build of PyTorch."
        )
    if cuda:
        torch.set_float32_matmul_precision("high")
    return Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")


class Trainer:
    """Trains `model` in place. `out` holds the checkpoint, the log and model/ in hub layout."""

    def __init__(
        self,
        model: Transformer,
        family: Family,
        tokenizer: Path,
        recipe: Recipe,
        supply: Supply,
        out: Path,
        options: Options,
    ) -> None:
        self.family, self.tokenizer, self.out = family, tokenizer, out
        self.recipe, self.supply, self.options = recipe, supply, options
        self.accelerator = make_accelerator(options.device)
        if recipe.accumulate % self.accelerator.num_processes:
            raise UsageError(
                f"{self.accelerator.num_processes} processes cannot share out accumulate = "
                f"{recipe.accumulate} parts of a step.",
                "Make accumulate in the recipe a multiple of the number of processes.",
            )
        checkpoints.check_room(out, sum(p.numel() for p in model.parameters()))
        self.model = model.to(self.accelerator.device).train().requires_grad_(True)
        self.objective = self.accelerator.prepare(Objective(self.model))
        self.optims = optimisers(self.model, recipe)
        self.average = Average(self.model, recipe.ema) if recipe.ema else None
        self.born = 0
        self._skipped = 0  # in a row

    # -- going on ----------------------------------------------------------------------------------

    def load(self, folder: Path) -> dict[str, Any]:
        """Take over weights, optimisers and average of a run; returns its plain values."""
        state = checkpoints.read_state(folder, self.accelerator.device)
        checkpoints.load_state(state, self.model, self.optims, self.average)
        self.born = int(state.get("born", 0))
        before = state.get("recipe", {})
        changed = [
            f"{key} {before[key]} -> {value}"
            for key, value in _plain(self.recipe).items()
            if key in before and before[key] != value
        ]
        if changed and self.accelerator.is_main_process:
            say(f"The recipe has changed since: {', '.join(changed)}.")
        return state

    def save(self, tracker: Tracker) -> None:
        if self.accelerator.is_main_process:
            progress = {
                "step": tracker.step,
                "born": self.born,
                "tracker": tracker.state(),
                "recipe": _plain(self.recipe),
            }
            folder = self.out / checkpoints.MODEL
            with self._averaged():
                checkpoints.write_model(folder, self.model, self.family, self.tokenizer)
            checkpoints.save_state(self.out, self.model, self.optims, self.average, progress)
        self.accelerator.wait_for_everyone()

    # -- the loop ----------------------------------------------------------------------------------

    def fit(self, first: int, last: int, tracked: Mapping[str, Any] | None = None) -> Tracker:
        """Train the steps [first, last). Raises TrainingError where it must stop, Stopped where
        a signal or the time limit asks for it: then a checkpoint is written."""
        options, chief = self.options, self.accelerator.is_main_process
        until = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
        quiz = self.supply.quiz() if chief and options.quiz_every else {}
        parts = range(
            self.accelerator.process_index, self.recipe.accumulate, self.accelerator.num_processes
        )
        folder = self.out if chief else self.out / f"process-{self.accelerator.process_index}"
        tracker = Tracker(
            folder, first, last, every=options.log_every, state=dict(tracked or {}),
            quiet=options.quiet or not chief, tensorboard=options.tensorboard and chief,
        )  # fmt: skip
        supplied = batches(self.supply, first, last, options.workers, parts)
        with flushed(), tracker, signals() as asked, supplied as coming:
            for step in range(first, last):
                try:
                    norm = self._step(step, coming, tracker, len(parts))
                except TrainingError:
                    self.save(tracker)
                    raise
                due = tracker.step % options.log_every == 0 or tracker.step == last
                if due:
                    tracker.row(norm=norm, **self._examine(quiz, tracker.step, last))
                stop = self._agreed(bool(asked) or time.monotonic() > until)
                if stop or tracker.step % options.save_every == 0 or tracker.step == last:
                    self.save(tracker)
                if stop and tracker.step < last:
                    stopped = Stopped(
                        f"Stopped at step {tracker.step} of {last}; the checkpoint is in "
                        f"{self.out}. The same command goes on."
                    )
                    stopped.planned = not asked
                    raise stopped
        return tracker

    def _step(self, step: int, coming: Iterator[Labelled], tracker: Tracker, parts: int) -> float:
        """One step; returns the norm of its gradient before clipping."""
        set_rate(self.optims, self.recipe.rate(step, self.born))
        loss, tokens = 0.0, 0
        try:
            for part in range(parts):
                batch = move(next(coming), self.accelerator.device)
                with self._no_sync(part < parts - 1):
                    value = self.objective(batch) / parts
                    self.accelerator.backward(value)
                loss += float(value.detach())
                tokens += int((batch.rows >= 0).sum())
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            loss, tokens = self._summed(loss, tokens)
            if math.isfinite(float(norm)) and math.isfinite(loss):
                self._update()
                self._skipped = 0
            else:
                self._skip(step, tracker)
                loss = tracker.losses[-1] if tracker.losses else 0.0
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            self._clear()
            if not _short_of_memory(error):
                raise
            raise _out_of_memory(step, self.recipe) from error
        tracker.add(loss, tokens)
        return float(norm)

    def _update(self) -> None:
        for optim in self.optims:
            optim.step()
        self._clear()
        if self.average is not None:
            self.average.update()

    def _skip(self, step: int, tracker: Tracker) -> None:
        """Leave a step out whose gradient is not finite; too many in a row end the run."""
        self._clear()
        tracker.skipped += 1
        self._skipped += 1
        if self._skipped >= MAX_SKIPPED:
            raise TrainingError(
                f"Step {step}: the gradient was not finite for {MAX_SKIPPED} steps in a row.",
                "The checkpoint has the weights from before. Lower the learning rates (muon_lr, "
                "adam_lr) or clip in the recipe, then run the same command again.",
            )
        say(f"Step {step}: the gradient is not finite; the step is left out.")

    def _clear(self) -> None:
        for optim in self.optims:
            optim.zero_grad(set_to_none=True)

    def _examine(
        self, quiz: Mapping[str, Sequence[Labelled]], step: int, last: int
    ) -> dict[str, float]:
        every = self.options.quiz_every
        if not quiz or (step % every and step != last):
            return {}
        with self._averaged(), self.accelerator.autocast():
            return evaluate(self.model, quiz, self.accelerator.device)

    # -- processes ---------------------------------------------------------------------------------

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        return self.average.applied() if self.average else contextlib.nullcontext()

    def _no_sync(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        return self.accelerator.no_sync(self.objective) if wanted else contextlib.nullcontext()

    def _summed(self, loss: float, tokens: int) -> tuple[float, int]:
        """The mean loss and the sum of tokens over all processes."""
        if self.accelerator.num_processes == 1:
            return loss, tokens
        pair = torch.tensor([loss, float(tokens)], device=self.accelerator.device)
        pair = self.accelerator.reduce(pair, "sum")
        return float(pair[0]) / self.accelerator.num_processes, int(pair[1])

    def _agreed(self, stop: bool) -> bool:
        """Whether any process wants to stop."""
        if self.accelerator.num_processes == 1:
            return stop
        flag = torch.tensor([float(stop)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum")[0] > 0)


def _plain(recipe: Recipe) -> dict[str, Any]:
    values = asdict(recipe)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def _short_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "allocate memory" in str(error).lower()  # how PyTorch says it on a CPU


def _out_of_memory(step: int, recipe: Recipe) -> TrainingError:
    return TrainingError(
        f"Step {step}: out of memory with {recipe.rows // recipe.accumulate} rows of "
        f"{recipe.length} tokens at once.",
        f"The checkpoint is saved. Set accumulate = {2 * recipe.accumulate} in the recipe: half "
        "the memory, as many rows a step. Then run the same command again.",
    )


@contextlib.contextmanager
def signals(
    word: str = "Stopping after this step; once more to stop at once.",
) -> Iterator[list[int]]:
    """SIGINT and SIGTERM are noted for the end of the step; a second one interrupts at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        say(word)

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
