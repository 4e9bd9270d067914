"""The batch of one step: functions of a corpus, drawn and made into rows by a recipe's mixture."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

from diffufix.propose.surroundings import NOTHING, FileOutline
from diffufix.train.batch import Batch
from diffufix.train.bugs.history import FixPair
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.rows import PackedRow, collate

HELD_OUT = 50  # paths of a package, of which one is held out
#: A function, or one with its surroundings.
Listed = str | tuple[str, FileOutline]


def load_corpus(path: Path, held_out: bool = False, quality: float = 0.0) -> list[str]:
    """Functions of a corpus file; one path of a package in HELD_OUT is held out, by its name.

    `quality` leaves out those that the corpus grades lower; what has no grade stays.
    """
    found = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row.get("quality", 1.0) < quality:
                continue
            hashed = sum(ord(c) * (i + 1) for i, c in enumerate(row["package"] + "/" + row["path"]))
            if (hashed % HELD_OUT == 0) == held_out:
                found += [row["source"]] * (1 if held_out else emphasis(row["source"]))
    return found


def emphasis(source: str) -> int:
    """How often a function is drawn: those that compute something teach more than plumbing."""
    loops = source.count("for ") + source.count("while ")
    return 3 if loops and source.count("self.") <= 2 and len(source) < 2500 else 1


def spread(size: int, span: tuple[float, float], rng: random.Random) -> list[float]:
    """Low-discrepancy draws: one in each of `size` equal parts of the span, at the same place in
    its part; each one alone is uniform."""
    low, high = span
    offset = rng.random()
    return [low + (high - low) * (i + offset) / size for i in range(size)]


def make_batch(
    maker: ExampleMaker,
    corpus: Sequence[Listed],
    size: int,
    mixture: dict[str, float],
    seed: int,
    step: int,
    *,
    t: tuple[float, float] = (0.1, 0.7),
    elbo: bool = False,
    pairs: Sequence[FixPair] = (),
) -> Batch:
    """The batch of one step: `size` rows of one kind, drawn by the mixture's weights. The corpus
    has functions alone or with their surroundings.

    The masked shares of plain rows are spread evenly over the range `t`; with `elbo` their loss
    is weighted by 1/t. Rows of history come from `pairs`.
    """
    rng = random.Random(f"{seed}/{step}")
    kind = rng.choices(list(mixture), list(mixture.values()))[0]
    shares = spread(size, t, rng)
    rows: list[PackedRow] = []
    while len(rows) < size:
        if kind in ("history", "breaking"):
            row = getattr(maker, kind)(rng.choice(pairs), rng)
            if row is not None and len(row.ids) <= maker.length:
                rows.append(row)
            continue
        drawn = rng.choice(corpus)
        source, around = (drawn, NOTHING) if isinstance(drawn, str) else drawn
        if kind == "plain":
            share = shares[len(rows)]
            row = maker.plain(source, rng, share, around)
            if row is not None and elbo:
                row.weights = [w / share for w in row.weights]
        else:
            row = getattr(maker, kind)(source, rng, around=around)
        if row is not None and len(row.ids) <= maker.length:
            rows.append(row)
    assert maker.family.pad is not None
    return collate(rows, maker.family.pad, maker.length)
