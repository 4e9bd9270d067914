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

import random
from collections.abc import Sequence

from diffufix.decode.layout import SLACK, context_ids, segment
from diffufix.model.family import Family
from diffufix.model.tokenizer import Tokenizer
from diffufix.propose.failure import MAX_FAILURE, MORE, encode
from diffufix.propose.holes import holes, inside_strings
from diffufix.propose.surroundings import NOTHING, FileOutline, shown
from diffufix.propose.window import MAX_WINDOW, Window, between, window
from diffufix.source.edits import Edit, Place, apply, before_edits
from diffufix.source.functions import FunctionNode, docstring_of
from diffufix.source.spans import Text
from diffufix.train.batch import IGNORE
from diffufix.train.bugs.corrupt import Corruptor
from diffufix.train.bugs.history import FixPair, broken
from diffufix.train.bugs.parsing import function, parse
from diffufix.train.pretrain.labels import corrections, edit_operations
from diffufix.train.pretrain.rows import PackedRow, noise
from diffufix.types import Hole, Kind

MAX_FILL = 40  # tokens of one hole
MAX_BODY = 56  # tokens of a body
FIRST_LENGTHS = (6, 12, 20, 32)  # masks that a search for a body begins with
TOLD = 0.75  # share of the rows about a bug with a known failure that show it
OUTLINED, NAMED = 0.9, 0.75  # share of the rows that show an outline, and names of the file
POINTS = 3  # places between tokens where nothing is missing, that are asked about in a row


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
        around: FileOutline = NOTHING,
    ) -> PackedRow | None:  # fmt: skip
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
        return PackedRow(shown, list(range(n)), [0] * n, labels, [0.5] * n, [IGNORE] * n)

    def gap(
        self, source: str, rng: random.Random, around: FileOutline = NOTHING
    ) -> PackedRow | None:
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
        self, source: str, rng: random.Random, draws: int = 5, around: FileOutline = NOTHING
    ) -> PackedRow | None:
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

    def repair(
        self, source: str, rng: random.Random, around: FileOutline = NOTHING
    ) -> PackedRow | None:
        parsed = parse(source, rng)
        if parsed is None:
            return None
        text, node = parsed
        return self._mended(text, node, _draw(text, node, rng), rng, around=around)

    def history(self, pair: FixPair, rng: random.Random) -> PackedRow | None:
        made = broken(pair.before, pair.after, rng)
        if made is None:
            return None
        text, node, edits = made
        most = MORE if self.rich else MAX_FAILURE
        told = encode(self.tokenizer, pair.failure, most) if rng.random() < TOLD else ()
        return self._mended(text, node, edits, rng, told, around=_around(pair))

    def breaking(self, pair: FixPair, rng: random.Random) -> PackedRow | None:
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
        failure: Sequence[int] = (), around: FileOutline = NOTHING,
        correct: bool = True,
    ) -> PackedRow | None:  # fmt: skip
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
        edit_operations(row, text, view, places, self.tokenizer)
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
        self, row: PackedRow, text: str, view: Window, places: Sequence[Place], rng: random.Random
    ) -> None:
        corrections(row, text, view, places, self.tokenizer, self.family, rng)

    def _beside(
        self, function: str, around: FileOutline, rng: random.Random, failure: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """Ids behind the function, of a family that reads them; some rows show less."""
        if not self.rich:
            return tuple(failure)
        outline = around.outline if rng.random() < OUTLINED else ""
        names = around.names if rng.random() < NAMED else ()
        return shown(self.tokenizer, self.family, function, FileOutline(outline, names), failure)

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
        places: Sequence[Place],
    ) -> list[int] | None:
        if start < end:
            a, b = view.spans[start][0], view.spans[end - 1][1]
        else:
            a = b = view.spans[start - 1][1] if start else view.spans[0][0]
        left, right = before_edits(a, places, False), before_edits(b, places, True)
        if left is None or right is None or left > right:
            return None
        return self.tokenizer.encode(text[left:right])

    def _context(self, ids: list[int], failure: Sequence[int] = ()) -> PackedRow:
        shown = context_ids(self.family, ids, failure)
        n = len(shown)
        return PackedRow(shown, list(range(n)), [0] * n, [IGNORE] * n, [0.0] * n, [IGNORE] * n)

    def _ask(
        self, row: PackedRow, original: list[int], start: int, end: int, target: list[int],
        masks: int, weight: float, rng: random.Random,
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


def _around(pair: FixPair) -> FileOutline:
    return FileOutline(pair.outline, tuple(pair.names.split()))


def _points(text: str, view: Window, rng: random.Random) -> list[tuple[int, int]]:
    """Some places between two tokens, none within a word."""
    found = []
    for _ in range(POINTS):
        i = rng.randrange(1, len(view.spans)) if len(view.spans) > 1 else 0
        if i and between(text, view, i):
            found.append((i, i))
    return found


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
