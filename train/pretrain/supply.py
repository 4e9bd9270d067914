"""Batches made ahead in other processes, the same whoever makes them. Reads corpus and tokenizer.

Part p of step s depends on (seed, s, p) alone: resuming, the number of workers and the number of
GPUs change nothing about what is learnt from.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from diffufix.errors import TrainingError, UsageError
from diffufix.model.family import Family
from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.propose.surroundings import FileOutline
from diffufix.train.bugs.history import FixPair, split
from diffufix.train.corpus.shards import Documents, rows
from diffufix.train.objective import Labelled
from diffufix.train.pretrain.batches import Listed, emphasis, load_corpus, make_batch
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.recipe import Recipe

Make = Callable[[int, int], Labelled]  # of a step and a part of it
EXAMINED = 5000
QUIZ_ROWS, QUIZ_BATCHES, QUIZ_SEED = 24, 6, 10**6


class Supply(Protocol):
    """Where batches come from; goes to the workers by pickle."""

    @property
    def recipe(self) -> Recipe: ...

    def open(self) -> Make: ...

    def quiz(self) -> Mapping[str, Sequence[Labelled]]:
        """Held-out batches by kind; none where the corpus holds nothing out."""
        ...


@dataclass(frozen=True)
class FunctionSupply:
    """Examples of `mini`: functions of a corpus file as rows of train/pretrain/examples.py."""

    recipe: Recipe
    corpus: Path
    tokenizer: Path
    family: Family
    pairs: tuple[FixPair, ...] = ()  # for the kind `history`

    def open(self) -> Make:
        pairs = split(self.pairs)[0]
        maker, recipe = self._maker(), self.recipe
        graded = {
            least: read_functions(self.corpus, least)
            for least in {stage.quality for stage in recipe.stages}
        }
        size = recipe.rows // recipe.accumulate

        def make(step: int, part: int) -> Labelled:
            stage = recipe.stage(step)
            number = step * recipe.accumulate + part
            return make_batch(
                maker, graded[stage.quality], size, stage.mixture, recipe.seed, number,
                t=recipe.t, elbo=recipe.elbo, pairs=pairs,
            )  # fmt: skip

        return make

    def quiz(self) -> Mapping[str, Sequence[Labelled]]:
        maker, sources = self._maker(), read_functions(self.corpus, held_out=True)
        if not sources:
            return {}
        pairs = split(self.pairs)[1]
        kinds = sorted(self.recipe.kinds() - (set() if pairs else {"history", "breaking"}))
        size = min(self.recipe.rows, QUIZ_ROWS)
        return {
            kind: [
                make_batch(maker, sources, size, {kind: 1.0}, QUIZ_SEED, number, pairs=pairs)
                for number in range(QUIZ_BATCHES)
            ]
            for kind in kinds
        }

    def usable(self, pairs: Iterable[FixPair], tries: int = 4) -> tuple[FixPair, ...]:
        """The pairs that make examples: those that parse, fit and have a hole over the change.
        More than EXAMINED are all believed to."""
        pairs = tuple(pairs)
        if len(pairs) > EXAMINED:
            return pairs
        maker = self._maker()
        return tuple(
            pair
            for pair in pairs
            if any(
                (row := maker.history(pair, random.Random(seed))) and len(row.ids) <= maker.length
                for seed in range(tries)
            )
        )

    def _maker(self) -> ExampleMaker:
        return ExampleMaker(load_tokenizer(self.tokenizer), self.family, self.recipe.length)


class Functions(Sequence[Listed]):
    """Functions of a corpus folder with their surroundings, read when they are asked for."""

    def __init__(self, documents: Documents, chosen: Sequence[int]) -> None:
        self._documents, self._chosen = documents, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Listed:  # type: ignore[override]
        row = self._documents.row(self._chosen[index])
        around = FileOutline(row.get("outline", ""), tuple(row.get("names", "").split()))
        return row["source"], around


def read_functions(corpus: Path, quality: float = 0.0, held_out: bool = False) -> Sequence[Listed]:
    """Functions of a corpus folder, or of one gzipped file of rows; to train on, those that teach
    more come several times. Raises UsageError where the corpus is missing or damaged."""
    with _readable(corpus):
        if not corpus.is_dir():
            return load_corpus(corpus, held_out, quality=quality)
        documents = Documents(corpus, "held-out" if held_out else "train")
        chosen = np.flatnonzero(documents.quality >= quality).tolist()
        if not held_out:
            chosen = [i for i in chosen for _ in range(emphasis(documents.source(i)))]
        return Functions(documents, chosen)


def check_corpus(corpus: Path, recipe: Recipe) -> None:
    """Raises UsageError where the corpus cannot be read or has nothing for one of the stages;
    quick, so that it can come first."""
    with _readable(corpus):
        if corpus.is_dir():
            best = float(max(Documents(corpus).quality, default=-1.0))
        else:
            first = next(rows(corpus, "train"), None)
            best = -1.0 if first is None else 1.0
    wanted = max(stage.quality for stage in recipe.stages)
    if best < wanted:
        what = f" of quality {wanted} or better" if best >= 0 else ""
        raise UsageError(
            f"The corpus {corpus} has no functions{what} to train on.",
            "Lower `quality` in the recipe." if what else "`diffufix train corpus` makes one.",
        )


@contextlib.contextmanager
def _readable(corpus: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The corpus {corpus} cannot be read: {type(error).__name__}: {error}",
            "`diffufix train corpus` makes one.",
        ) from error


def check_tokenizer(tokenizer: Tokenizer, folder: Path, family: Family, vocabulary: int) -> None:
    """Raises UsageError where the tokenizer is not one of the family, or of the model."""
    hint = "`diffufix train tokenizer` makes one for mini; or leave --tokenizer out with --from."
    if len(tokenizer) > vocabulary:
        raise UsageError(
            f"The tokenizer in {folder} has {len(tokenizer)} ids, the model {vocabulary}.", hint
        )
    if family.appended:
        for name in ("mask", "expand", "delete", "was", "now", "gap"):
            if tokenizer.id(f"<|{name}|>") != getattr(family, name):
                raise UsageError(
                    f"The tokenizer in {folder} is not one of mini: "
                    f"its <|{name}|> is {tokenizer.id(f'<|{name}|>')}.",
                    hint,
                )


_make: list[Make] = []


def _start(supply: Supply) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer decides when to stop
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _make.append(supply.open())


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _work(step: int, part: int) -> Labelled:
    return _make[0](step, part)


@contextlib.contextmanager
def batches(
    supply: Supply, first: int, last: int, workers: int, parts: Sequence[int] = (0,)
) -> Iterator[Iterator[Labelled]]:
    """The batches of the steps [first, last), of each step the given parts, in order; made ahead
    by `workers` processes (here, if there are none). Raises TrainingError if one of them dies."""
    wanted = [(step, part) for step in range(first, last) for part in parts]
    if not workers:
        make = supply.open()
        yield (make(step, part) for step, part in wanted)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start, initargs=(supply,)
    )
    try:
        yield _ahead(pool, wanted, 3 * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    pool: ProcessPoolExecutor, wanted: Sequence[tuple[int, int]], depth: int
) -> Iterator[Labelled]:
    coming: deque[Future[Labelled]] = deque()
    try:
        for step, part in wanted:
            coming.append(pool.submit(_work, step, part))
            if len(coming) > depth:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "A process that makes examples died, perhaps for want of memory.",
            "Run the same command again, with fewer --workers.",
        ) from error
