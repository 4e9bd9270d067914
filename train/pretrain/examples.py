"""Training examples of `mini`: functions with bugs or gaps, and holes asked about beside them.

Six kinds, all drawn from (seed, step), so that any step can be made again:
- repair: one or two bugs are put into a function, which is shown as it then is; holes of every
  kind are asked about, those that cover a bug with the repaired text as target, the others with
  what stands there. The model so learns both how to mend and where nothing is wrong: the
  likelihood of a changed fill can be compared between holes.
- history: the same, with a bug that somebody has mended (train/bugs/history.py, fixes.py).
- breaking: the same backwards: the mended function, and holes that ask how it was wrong before.
- gap: spans are cut out and asked for without their original (infilling).
- body: the whole body is cut out, or a run of its statements, and asked for at several lengths.
- plain: a masked diffusion example of the whole function, t ~ U(0.1, 0.7).

Families with an outline are shown their function's surroundings behind it (propose/surroundings.py)
and are asked about holes inside of strings and at the exact place of an edit, too. Where they edit,
every token of the function is labelled with what the mending does with it (model/editing.py).

A hole starts with its original length plus SLACK masks. Masks left over are labelled `delete`,
and where more tokens are needed than masks, the last mask of a run is labelled `expand`.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffufix.decode.layout import SLACK, context_ids, segment
from diffufix.model.editing import INSERT, KEEP, operations
from diffufix.model.family import Family
from diffufix.model.tokenizer import Tokenizer
from diffufix.propose.failure import MAX_FAILURE, MORE, encode
from diffufix.propose.holes import holes, inside_strings
from diffufix.propose.surroundings import NOTHING, Surroundings, shown
from diffufix.propose.window import MAX_WINDOW, Window, between, window
from diffufix.source.functions import FunctionNode, docstring_of
from diffufix.source.spans import Text
from diffufix.train.batch import IGNORE, Batch
from diffufix.train.bugs.corrupt import Corruptor, Edit
from diffufix.train.bugs.history import Pair, broken
from diffufix.train.bugs.parsing import function, parse
from diffufix.types import Hole, Kind

MAX_FILL = 40  # tokens of one hole
MAX_BODY = 56  # tokens of a body
FIRST_LENGTHS = (6, 12, 20, 32)  # masks that a search for a body begins with
#: A function, or one with its surroundings.
Listed = str | tuple[str, Surroundings]
TOLD = 0.75  # share of the rows about a bug with a known failure that show it
OUTLINED, NAMED = 0.9, 0.75  # share of the rows that show an outline, and names of the file
POINTS = 3  # places between tokens where nothing is missing, that are asked about in a row


@dataclass
class Row:
    """One packed sequence: a context (segment 0) and holes (two segments each, see `Batch`)."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    weights: list[float]
    edits: list[int]  # operations of model/editing.py, IGNORE where none is asked


def load_corpus(
    path: Path, held_out: bool = False, share: int = 50, quality: float = 0.0
) -> list[str]:
    """Functions of a corpus file; one path of a package in `share` is held out, by its name.

    `quality` leaves out those that the corpus grades lower; what has no grade stays.
    """
    found = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row.get("quality", 1.0) < quality:
                continue
            hashed = sum(ord(c) * (i + 1) for i, c in enumerate(row["package"] + "/" + row["path"]))
            if (hashed % share == 0) == held_out:
                found += [row["source"]] * (1 if held_out else emphasis(row["source"]))
    return found


def emphasis(source: str) -> int:
    """How often a function is drawn: those that compute something teach more than plumbing."""
    loops = source.count("for ") + source.count("while ")
    return 3 if loops and source.count("self.") <= 2 and len(source) < 2500 else 1


class ExampleMaker:
    """Draws rows from functions. Pure: the same random state gives the same row."""

    def __init__(self, tokenizer: Tokenizer, family: Family, length: int = 512) -> None:
        self.tokenizer, self.family, self.length = tokenizer, family, length
        self.budget = family.window or MAX_WINDOW
        self.rich = family.outline is not None
        self.asked = 9 if self.rich else 7  # holes over bugs, and as many where nothing is wrong

    # -- the kinds ---------------------------------------------------------------------------------

    def plain(
        self, source: str, rng: random.Random, t: float | None = None,
        around: Surroundings = NOTHING,
    ) -> Row | None:  # fmt: skip
        parsed = parse(source, rng)
        if parsed is None:
            return None
        text, node = parsed
        own = window(text, node, self.tokenizer, budget=self.budget).ids
        ids = context_ids(self.family, own, self._beside(text, around, rng))
        ratio = rng.uniform(0.1, 0.7) if t is None else t
        labels = [
            i if 0 < p <= len(own) and rng.random() < ratio else IGNORE for p, i in enumerate(ids)
        ]
        shown = [
            self.family.mask if label != IGNORE else i for i, label in zip(ids, labels, strict=True)
        ]
        n = len(ids)
        return Row(shown, list(range(n)), [0] * n, labels, [0.5] * n, [IGNORE] * n)

    def gap(self, source: str, rng: random.Random, around: Surroundings = NOTHING) -> Row | None:
        parsed = parse(source, rng)
        if parsed is None:
            return None
        text, node = parsed
        view = window(text, node, self.tokenizer, _focus(text, node, rng), self.budget)
        spans = self._spans(text, node, view)
        rng.shuffle(spans)
        chosen: list[tuple[int, int]] = []
        room = max(6, len(view.ids) // 4)
        for start, end in spans:
            fits = start < end and end - start <= min(room, MAX_FILL)
            if fits and all(end < a or b < start for a, b in chosen):
                chosen.append((start, end))
                room -= end - start
            if len(chosen) >= 8 or room < 2:
                break
        if not chosen:
            return None
        assert self.family.gap is not None
        ids: list[int] = []
        asked: list[tuple[int, list[int]]] = []
        at = 0
        for start, end in sorted(chosen):
            ids += view.ids[at:start]
            asked.append((len(ids) + 1, list(view.ids[start:end])))
            ids.append(self.family.gap)
            at = end
        ids += view.ids[at:]
        row = self._context(ids, self._beside(self.tokenizer.decode(ids), around, rng))
        for position, target in asked:
            masks = max(1, len(target) + rng.randint(-2, 4))
            self._ask(row, [], position, position + 1, target, masks, 1.0, rng)
        return row

    def body(
        self, source: str, rng: random.Random, draws: int = 5, around: Surroundings = NOTHING
    ) -> Row | None:
        parsed = parse(source, rng)
        if parsed is None:
            return None
        text, node = parsed
        statements = node.body[1:] if docstring_of(node) else node.body
        spans = [Text(text).span(statement) for statement in statements]
        runs = [(spans[0][0], end) for _, end in reversed(spans)]
        runs += [(start, spans[-1][1]) for start, _ in spans[1:]]
        for start, end in runs[:1] + rng.sample(runs[1:], len(runs) - 1) if runs else ():
            view = window(text, node, self.tokenizer, (start, end), self.budget)
            found = view.locate(start, end)
            if found is None or not 0 < found[1] - found[0] <= MAX_BODY:
                continue
            assert self.family.gap is not None
            first, last = found
            target = list(view.ids[first:last])
            ids = [*view.ids[:first], self.family.gap, *view.ids[last:]]
            row = self._context(ids, self._beside(self.tokenizer.decode(ids), around, rng))
            for _ in range(draws):
                near = [n for n in FIRST_LENGTHS if len(target) // 2 <= n <= 2 * len(target)]
                masks = max(1, len(target) + rng.randint(-2, 4))
                if near and rng.random() < 0.6:
                    masks = rng.choice(near)
                self._ask(row, [], first + 1, first + 2, target, masks, 1.0, rng)
            return row
        return None

    def repair(self, source: str, rng: random.Random, around: Surroundings = NOTHING) -> Row | None:
        parsed = parse(source, rng)
        if parsed is None:
            return None
        text, node = parsed
        return self._mended(text, node, _draw(text, node, rng), rng, around=around)

    def history(self, pair: Pair, rng: random.Random) -> Row | None:
        made = broken(pair.before, pair.after, rng)
        if made is None:
            return None
        text, node, edits = made
        most = MORE if self.rich else MAX_FAILURE
        told = encode(self.tokenizer, pair.failure, most) if rng.random() < TOLD else ()
        return self._mended(text, node, edits, rng, told, around=_around(pair))

    def breaking(self, pair: Pair, rng: random.Random) -> Row | None:
        """A repair backwards; None for families without a mark for it."""
        mark = self.family.breaking
        made = None if mark is None else broken(pair.after, pair.before, rng)
        if made is None or mark is None:
            return None
        text, node, edits = made
        return self._mended(text, node, edits, rng, (mark,), around=_around(pair), correct=False)

    # -- parts -------------------------------------------------------------------------------------

    def _mended(
        self, text: str, node: FunctionNode, edits: Sequence[Edit], rng: random.Random,
        failure: Sequence[int] = (), around: Surroundings = NOTHING,
        correct: bool = True,
    ) -> Row | None:  # fmt: skip
        """A row about the right text, broken by the edits; None where no hole covers one.

        `failure`: what a test said of the broken text, where it is shown.
        """
        if not edits:
            return None
        faulty, places = apply(text, edits)
        reparsed = function(faulty, node.name)
        if reparsed is None:
            return None
        pick = rng.choice(places)
        view = window(faulty, reparsed, self.tokenizer, (pick[0], pick[1]), self.budget)
        changed: list[tuple[int, int, list[int]]] = []
        same: list[tuple[int, int, list[int]]] = []
        spans = self._spans(faulty, reparsed, view)
        exact: list[tuple[int, int]] = []
        if self.rich:
            located = [view.locate(start, end) for start, end, _, _ in places]
            exact = [span for span in located if span is not None]
            spans = sorted({*spans, *exact, *_points(faulty, view, rng)})
        for start, end in spans:
            target = self._target(text, view, start, end, places)
            if target is None or len(target) > MAX_FILL or end - start > MAX_FILL:
                continue
            (changed if target != list(view.ids[start:end]) else same).append((start, end, target))
        if not changed:
            return None
        # fine holes first: a bug has few of them among the many that cover it
        changed.sort(
            key=lambda item: item[1] - item[0] + rng.uniform(0, 12) - 24 * (item[:2] in exact)
        )
        rng.shuffle(same)
        begin, end = view.spans[0][0], view.spans[-1][1]
        beside = self._beside(faulty[begin:end], around, rng, failure)
        row = self._context(list(view.ids), beside)
        if correct:
            self._correct(row, text, view, places, rng)
        self._operate(row, text, view, places)
        asked = changed[: self.asked] + same[: self.asked]
        rng.shuffle(asked)
        for start, end, target in asked:
            original = list(view.ids[start:end])
            masks = (
                len(original) + SLACK
                if rng.random() < 0.8
                else max(1, len(target) + rng.randint(-2, 3))
            )
            self._ask(row, original, start + 1, end + 1, target, masks, 1.0, rng)
        return row

    def _correct(
        self, row: Row, text: str, view: Window, places: Sequence[tuple[int, int, int, int]],
        rng: random.Random, right: int = 24,
    ) -> None:  # fmt: skip
        """Labels on the visible context: what should stand there instead of wrong tokens, and
        the token itself for some right ones (corrective diffusion, arXiv 2512.15596).

        A wrong token whose edit keeps the number of tokens gets the token that should be there,
        any other one `delete`; where only something is missing, the next token gets `expand`. Of a
        token in front of which the window has left an edit out, nothing is asked.
        """
        wrong: dict[int, int] = {}
        assert self.family.delete is not None
        assert self.family.expand is not None
        for start, end, first, last in places:
            inside = [i for i, (a, b) in enumerate(view.spans) if a < end and start < b]
            if not inside:
                after = [i for i, (a, _) in enumerate(view.spans) if a >= start]
                for i in after[:1]:
                    reached = view.spans[i - 1][1] if i else 0
                    beside = reached >= start or view.spans[i][0] == start
                    wrong[i] = self.family.expand if beside else IGNORE
                continue
            a, b = view.spans[inside[0]][0], view.spans[inside[-1]][1]
            meant = self.tokenizer.encode(text[first - max(0, start - a) : last + max(0, b - end)])
            if len(meant) == len(inside):
                pairs = zip(inside, meant, strict=True)
                wrong.update({i: m for i, m in pairs if m != view.ids[i]})
            else:
                wrong.update(dict.fromkeys(inside, self.family.delete))
        fine = [i for i in range(len(view.ids)) if i not in wrong]
        for i in rng.sample(fine, min(right, len(fine))):
            row.labels[i + 1], row.weights[i + 1] = view.ids[i], 0.1
        for i, label in wrong.items():
            if label != IGNORE:
                row.labels[i + 1], row.weights[i + 1] = label, 0.5

    def _operate(
        self, row: Row, text: str, view: Window, places: Sequence[tuple[int, int, int, int]]
    ) -> None:
        """What mending does with every token of the function. Nothing is asked of a token in front
        of which the window has left an edit out."""
        n = len(view.ids)
        made = [KEEP] * (n + 1)
        for start, end, first, last in places:
            inside = [i for i, (a, b) in enumerate(view.spans) if a < end and start < b]
            if inside:
                a, b = view.spans[inside[0]][0], view.spans[inside[-1]][1]
                span = first - max(0, start - a), last + max(0, b - end)
                meant = self.tokenizer.encode(text[span[0] : span[1]])
                own = operations([view.ids[i] for i in inside], meant)
                for index, operation in zip([*inside, inside[-1] + 1], own, strict=True):
                    made[index] = operation or made[index]
            elif last > first:
                behind = next((i for i, (a, _) in enumerate(view.spans) if a >= start), n)
                near = behind == n or view.spans[behind][0] == start
                near = near or (behind > 0 and view.spans[behind - 1][1] >= start)
                made[behind] = INSERT if near else IGNORE
        row.edits = [IGNORE, *made] + [IGNORE] * (len(row.ids) - n - 2)

    def _beside(
        self, function: str, around: Surroundings, rng: random.Random, failure: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Ids behind the function, of a family that reads them; some rows show less."""
        if not self.rich:
            return tuple(failure)
        outline = around.outline if rng.random() < OUTLINED else ""
        names = around.names if rng.random() < NAMED else ()
        return shown(self.tokenizer, self.family, function, Surroundings(outline, names), failure)

    def _spans(self, text: str, node: FunctionNode, view: Window) -> list[tuple[int, int]]:
        found: dict[tuple[int, int], Hole] = {}
        more = inside_strings(text, node) if self.rich else []
        for hole in [*holes(text, node), *more]:
            located = view.locate(hole.start, hole.end)
            if located is not None and (located[1] > located[0] or hole.kind is Kind.INSERTION):
                found.setdefault(located, hole)
        return sorted(found)

    def _target(
        self,
        text: str,
        view: Window,
        start: int,
        end: int,
        places: Sequence[tuple[int, int, int, int]],
    ) -> list[int] | None:
        if start < end:
            a, b = view.spans[start][0], view.spans[end - 1][1]
        else:
            a = b = view.spans[start - 1][1] if start else view.spans[0][0]
        left, right = _to_original(a, places, False), _to_original(b, places, True)
        if left is None or right is None or left > right:
            return None
        return self.tokenizer.encode(text[left:right])

    def _context(self, ids: list[int], failure: Sequence[int] = ()) -> Row:
        shown = context_ids(self.family, ids, failure)
        n = len(shown)
        return Row(shown, list(range(n)), [0] * n, [IGNORE] * n, [0.0] * n, [IGNORE] * n)

    def _ask(
        self, row: Row, original: list[int], start: int, end: int, target: list[int], masks: int,
        weight: float, rng: random.Random,
    ) -> None:  # fmt: skip
        fill, labels = noise(target, masks, self.family, rng)
        ids, positions, first = segment(self.family, original, start, end, fill)
        if len(row.ids) + len(ids) > self.length:
            return
        asked = sum(label != IGNORE for label in labels)
        weight /= max(asked, 1) ** 0.5
        last = row.segments[-1]
        row.ids += ids
        row.positions += positions
        row.segments += [last + 1] * first + [last + 2] * (len(ids) - first)
        row.labels += [IGNORE] * first + labels + [IGNORE] * (len(ids) - first - len(labels))
        row.weights += [weight] * len(ids)
        row.edits += [IGNORE] * len(ids)


def _around(pair: Pair) -> Surroundings:
    return Surroundings(pair.outline, tuple(pair.names.split()))


def _points(text: str, view: Window, rng: random.Random) -> list[tuple[int, int]]:
    """Some places between two tokens, none within a word."""
    found = []
    for _ in range(POINTS):
        i = rng.randrange(1, len(view.spans)) if len(view.spans) > 1 else 0
        if i and between(text, view, i):
            found.append((i, i))
    return found


def noise(
    target: Sequence[int], masks: int, family: Family, rng: random.Random
) -> tuple[list[int], list[int]]:
    """A partly denoised hole and its labels. `masks` is the length if nothing is revealed yet."""
    assert family.expand is not None
    assert family.delete is not None
    if rng.random() < 0.6 or len(target) < 2:
        runs: list[list[int]] = [list(target)]
        spare = masks - len(target)
        shown = [False]
    else:
        hidden = rng.randint(1, len(target) - 1)
        where = set(rng.sample(range(len(target)), hidden))
        runs, shown = [], []
        for i, token in enumerate(target):
            revealed = i not in where
            if not runs or shown[-1] != revealed:
                runs.append([])
                shown.append(revealed)
            runs[-1].append(token)
        spare = rng.choice([0, 0, 1, 2, -1, -2])
    fill, labels = [], []
    for index, (run, revealed) in enumerate(zip(runs, shown, strict=True)):
        if revealed:
            fill += run
            labels += [IGNORE] * len(run)
            continue
        extra = spare if index == len(runs) - 1 or rng.random() < 0.3 else 0
        if extra >= 0:
            wanted = [*run, *[family.delete] * extra]
        else:
            kept = max(1, len(run) + extra)
            wanted = run if kept >= len(run) else [*run[: kept - 1], family.expand]
        fill += [family.mask] * len(wanted)
        labels += wanted
    return fill, labels


def _focus(text: str, node: FunctionNode, rng: random.Random) -> tuple[int, int]:
    return Text(text).span(rng.choice(node.body))


def _draw(text: str, node: FunctionNode, rng: random.Random) -> list[Edit]:
    corruptor = Corruptor(text, node)
    edits: list[Edit] = []
    wanted = rng.choice([1, 1, 1, 2])
    for _ in range(8):
        edit = corruptor.draw(rng)
        if edit and all(edit.end < e.start or e.end < edit.start for e in edits):
            edits.append(edit)
        if len(edits) == wanted:
            break
    return sorted(edits, key=lambda e: e.start)


def apply(text: str, edits: Sequence[Edit]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The broken text, and of every edit (start, end) in it and (start, end) in the original."""
    out, places, at = "", [], 0
    for edit in edits:
        out += text[at : edit.start]
        places.append((len(out), len(out) + len(edit.text), edit.start, edit.end))
        out += edit.text
        at = edit.end
    return out + text[at:], places


def _to_original(
    offset: int, places: Sequence[tuple[int, int, int, int]], right: bool
) -> int | None:
    """Where a boundary of a hole in the broken text lies in the original; None inside an edit."""
    shift = 0
    for start, end, _, last in places:
        if start < offset < end:
            return None
        if offset < start or (offset == start and (not right or start < end)):
            break
        shift = last - end
    return offset + shift


def collate(rows: Sequence[Row], pad: int, length: int) -> Batch:
    """Rows packed, longest first, into as few sequences of at most `length` as fit."""
    bins: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        for packed in bins:
            if sum(len(r.ids) for r in packed) + len(row.ids) <= length:
                packed.append(row)
                break
        else:
            bins.append([row])
    longest = max(sum(len(r.ids) for r in packed) for packed in bins)

    def tensor(name: str, fill: float, dtype: torch.dtype) -> Tensor:
        flat = [[value for row in packed for value in getattr(row, name)] for packed in bins]
        return torch.tensor([line + [fill] * (longest - len(line)) for line in flat], dtype=dtype)

    numbers = [[i for i, row in enumerate(packed) for _ in row.ids] for packed in bins]
    return Batch(
        tensor("ids", pad, torch.long),
        tensor("positions", 0, torch.long),
        torch.tensor([line + [-1] * (longest - len(line)) for line in numbers]),
        tensor("segments", 0, torch.long),
        tensor("labels", IGNORE, torch.long),
        tensor("weights", 0.0, torch.float32),
        tensor("edits", IGNORE, torch.long),
    )


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
    pairs: Sequence[Pair] = (),
) -> Batch:
    """The batch of one step: `size` rows of one kind, drawn by the mixture's weights. The corpus
    has functions alone or with their surroundings.

    The masked shares of plain rows are spread evenly over the range `t`; with `elbo` their loss
    is weighted by 1/t. Rows of history come from `pairs`.
    """
    rng = random.Random(f"{seed}/{step}")
    kind = rng.choices(list(mixture), list(mixture.values()))[0]
    shares = spread(size, t, rng)
    rows: list[Row] = []
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


__all__ = ["MAX_WINDOW", "Batch", "ExampleMaker", "collate", "load_corpus", "make_batch", "noise"]
