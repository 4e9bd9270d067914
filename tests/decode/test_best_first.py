"""Best-first search and holes beside their context, on models small enough to enumerate."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from diffufix.decode import infill
from diffufix.decode.aside import AsideContext, Asked, HoleSpan
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.context import open_context
from diffufix.decode.layout import context_ids, segment
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.types import Canvas, Fill
from tests.support.tiny import tiny

PAD, MASK, BOS, EOS, EXPAND, DELETE, WAS, NOW, GAP, VOCABULARY = 0, 1, 2, 3, 4, 5, 6, 7, 8, 12
WORDS = (9, 10, 11)
FREE = Family(
    "tiny", False, "aside", "none", MASK, PAD, BOS, EOS, EXPAND, DELETE, WAS, NOW, GAP,
)  # fmt: skip
#: The same without `expand` and `delete`: they are words like any other, and never banned.
FIXED = Family("fixed", False, "aside", "none", MASK, PAD, BOS, EOS, was=WAS, now=NOW, gap=GAP)
LEFT, RIGHT = (9, 10, 11, 9), (11, 11, 10)

MODEL = tiny(VOCABULARY)


def explicit(family: Family, ids: Sequence[int], place: HoleSpan, hole: Sequence[int]) -> Tensor:
    """Log-probabilities at the masks of one hole: one forward of context and hole together,
    under the mask of attention that the layout describes."""
    context = context_ids(family, ids)
    own, positions, first = segment(family, place.original, place.start, place.end, hole)
    C, T = len(context), len(context) + len(own)
    seen = torch.zeros(T, T, dtype=torch.bool)
    seen[:, :C] = True
    seen[C:, C : C + first] = True
    seen[C + first :, C + first :] = True
    hidden, _ = MODEL.hidden(
        torch.tensor([context + own]), torch.tensor([[*range(C), *positions]]), seen[None, None]
    )
    logits = MODEL.lm_head(hidden)[0]
    logits[:, sorted(family.specials)] = -torch.inf
    return logits[[C + i for i, token in enumerate(own) if token == MASK]].log_softmax(-1)


def question(
    family: Family, original: Sequence[int] = (10,), cost: float = 0.0, left: Sequence[int] = LEFT
) -> tuple[Question, list[int]]:
    ids = [*left, *original, *RIGHT]
    place = HoleSpan(len(left) + 1, len(left) + 1 + len(original), tuple(original))
    return Question(AsideContext(MODEL, ids, family), place, cost), ids


def search(questions: Sequence[Question], **options: object) -> list[tuple[int, Fill]]:
    settings = {"batch": 1, "children": VOCABULARY, "sure": 1.0, "least": 1e-30, **options}
    return list(BestFirst(questions, **settings))  # type: ignore[arg-type]


def chain(family: Family, ids: Sequence[int], place: HoleSpan, hole: tuple[int, ...]):
    """Every fill's probability when the most confident mask is committed first, one by one."""
    if MASK not in hole:
        return {hole: 0.0}
    logps = explicit(family, ids, place, hole)
    places = [i for i, token in enumerate(hole) if token == MASK]
    most = int(logps.max(-1).values.argmax())
    found = {}
    for token in range(VOCABULARY):
        logp = float(logps[most, token])
        if logp > -math.inf:
            at = places[most]
            child = (*hole[:at], token, *hole[at + 1 :])
            for fill, rest in chain(family, ids, place, child).items():
                found[fill] = logp + rest
    return found


# -- the context and its holes ---------------------------------------------------------------------


def test_many_holes_of_one_context_are_what_each_is_alone() -> None:
    ids = [*LEFT, 10, 9, *RIGHT]
    context = AsideContext(MODEL, ids, FREE)
    places = [
        HoleSpan(5, 6, (10,)),
        HoleSpan(5, 7, (10, 9)),
        HoleSpan(2, 2, ()),
        HoleSpan(1, 5, LEFT),
    ]
    holes = [(MASK, 9, MASK), (MASK,) * 5, (MASK,), (9, MASK)]
    together = context.logits(places, holes)
    together[:, sorted(FREE.specials)] = -torch.inf
    apart = [explicit(FREE, ids, p, h) for p, h in zip(places, holes, strict=True)]
    torch.testing.assert_close(together.log_softmax(-1), torch.cat(apart), rtol=1e-4, atol=1e-5)


def test_the_context_does_not_see_the_hole() -> None:
    context = AsideContext(MODEL, [*LEFT, *RIGHT], FREE)
    place = HoleSpan(3, 3, ())
    alone = context.logits([place], [(MASK,)])
    context.logits([place] * 3, [(9, MASK), (10, MASK), (MASK,)])
    torch.testing.assert_close(context.logits([place], [(MASK,)]), alone)


@pytest.mark.parametrize("original", [(), (10, 9)])
def test_context_of_a_canvas(original: tuple[int, ...]) -> None:
    """The original is shown where it is known, and a gap where it is not."""
    canvas = Canvas(LEFT, RIGHT, original)
    shown = original or (GAP,)
    context = open_context(MODEL, [canvas], family=FREE)
    place = HoleSpan(5, 5 + len(shown), original)
    logits = context.logits([(0, (MASK, 9)), (0, (9, MASK, MASK))])
    assert logits.shape == (3, VOCABULARY)
    logits[:, sorted(FREE.specials)] = -torch.inf
    whole = [*LEFT, *shown, *RIGHT]
    expected = [explicit(FREE, whole, place, hole) for hole in [(MASK, 9), (9, MASK, MASK)]]
    torch.testing.assert_close(logits.log_softmax(-1), torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_infill_beside_the_context() -> None:
    canvas = Canvas(LEFT, RIGHT, (10, 9))

    def make() -> list[Fill]:
        generator = torch.Generator().manual_seed(3)
        return infill(
            MODEL, canvas, 6, temperature=1.0, max_tokens=8, family=FREE, generator=generator
        )

    fills = make()
    assert len(fills) == 6
    assert {token for fill in fills for token in fill.ids} <= set(WORDS)
    assert all(math.isclose(f.logp, sum(c.logp for c in f.trace), abs_tol=1e-4) for f in fills)
    assert fills == make()


def test_families_without_the_layout_are_refused() -> None:
    inline = Family("other", False, "inline", "none", MASK, PAD, eos=EOS)
    with pytest.raises(UsageError, match="beside"):
        AsideContext(MODEL, LEFT, inline)


# -- the search ------------------------------------------------------------------------------------


def test_fills_come_out_in_the_order_of_their_exact_likelihood() -> None:
    asked, ids = question(FIXED)
    found = search([asked], slack=1)
    exact = chain(FIXED, ids, asked.place, (MASK, MASK))
    logps = [fill.logp for _, fill in found]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(logps))
    assert {fill.ids for _, fill in found} == set(exact)
    for _, fill in found:
        assert fill.logp == pytest.approx(exact[fill.ids], abs=1e-3)
        assert fill.logp == pytest.approx(sum(fill.logps), abs=1e-5)
        assert sorted(fill.order) == [0, 1]
    mass = sum(math.exp(logp) for logp in logps)
    assert mass == pytest.approx(1.0, abs=1e-4)


def test_with_deletions_every_fill_has_the_likelihood_of_its_own_steps() -> None:
    asked, ids = question(FREE)
    found = search([asked], slack=1, max_tokens=2)  # full from the start: nothing expands
    assert {len(fill.ids) for _, fill in found} == {0, 1, 2}
    assert len({fill.ids for _, fill in found}) == len(found)
    for _, fill in found:
        hole: tuple[int, ...] = (MASK, MASK)
        total = 0.0
        for commit in fill.trace:
            masks = [i for i, token in enumerate(hole) if token == MASK]
            logps = explicit(FREE, ids, asked.place, hole)
            if len(hole) >= 2:  # full: nothing may expand
                logps[:, EXPAND] = -torch.inf
                logps = logps.log_softmax(-1)
            logp = float(logps[masks.index(commit.position), commit.token])
            assert commit.logp == pytest.approx(logp, abs=1e-3)
            total += logp
            if commit.token == DELETE:
                end = commit.position
                while end < len(hole) and hole[end] == MASK:
                    end += 1
                hole = (*hole[: commit.position], *hole[end:])
            else:
                hole = (*hole[: commit.position], commit.token, *hole[commit.position + 1 :])
        assert hole == fill.ids
        assert fill.logp == pytest.approx(total, abs=1e-3)
    costs = [fill.logp for _, fill in found]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(costs))
    assert sum(map(math.exp, costs)) <= 1.0 + 1e-4


@pytest.mark.parametrize("family", [FIXED, FREE])
def test_looking_ahead_finds_the_same_fills_with_the_same_likelihood(family: Family) -> None:
    asked, _ = question(family)
    plain = {f.ids: f.logp for _, f in search([asked], slack=1, max_tokens=2)}
    informed = BestFirst(
        [asked], batch=1, children=VOCABULARY, sure=1.0, least=1e-30, slack=1, max_tokens=2,
        ahead=1.0,
    )  # fmt: skip
    first = next(informed)[1]
    looked = informed.denoised
    found = {first.ids: first.logp, **{f.ids: f.logp for _, f in informed}}
    assert found.keys() == plain.keys()
    if family is FIXED:  # a deletion may be reached by several ways
        assert found == pytest.approx(plain, abs=1e-5)
    blind = BestFirst(
        [asked], batch=1, children=VOCABULARY, sure=1.0, least=1e-30, slack=1, max_tokens=2
    )
    next(blind)
    assert looked <= blind.denoised


@pytest.mark.parametrize("batch", [1, 7])
def test_several_contexts_at_once_are_each_alone(batch: int) -> None:
    asked = [
        question(FIXED, (10,), 0.0)[0],
        question(FIXED, (9, 9), 1.5)[0],
        question(FIXED, (), 0.5, left=(11, 10))[0],
    ]
    together = search(asked, slack=1, batch=batch, least=1e-4)
    for index, one in enumerate(asked):
        alone = search([one], slack=1, least=1e-4)
        mine = [fill for i, fill in together if i == index]
        assert {f.ids: f.logp for f in mine} == pytest.approx(
            {f.ids: f.logp for _, f in alone}, abs=1e-3
        )
    costs = [asked[i].cost - fill.logp for i, fill in together]
    if batch == 1:
        assert all(a <= b + 1e-6 for a, b in itertools.pairwise(costs))
    assert len({i for i, _ in together[:20]}) > 1, "one hole took everything"


def test_likelihoods_stay_honest_when_many_are_committed_at_once() -> None:
    asked, _ = question(FREE, (10, 9))
    engine = BestFirst([asked], sure=0.2, batch=4, children=6, least=1e-3, max_tokens=6)
    for _, fill in itertools.islice(engine, 30):
        assert fill.logp == pytest.approx(sum(c.logp for c in fill.trace), abs=1e-5)
        assert fill.steps == fill.trace[-1].step + 1
        assert MASK not in fill.ids
        assert {EXPAND, DELETE}.isdisjoint(fill.ids)
        for place, token in enumerate(fill.ids):
            commit = fill.trace[fill.order[place]]
            assert (commit.token, commit.logp) == (token, fill.logps[place])


def test_what_is_given_stays() -> None:
    asked, _ = question(FREE, (10,))
    given = Question(asked.context, asked.place, 0.0, (10, MASK, MASK))
    found = list(itertools.islice(BestFirst([given], children=6, max_tokens=4), 40))
    assert all(fill.ids[0] == 10 for _, fill in found)
    assert all(fill.order[0] == -1 and fill.logps[0] == 0.0 for _, fill in found)
    assert len({len(fill.ids) for _, fill in found}) > 1


def test_holes_do_not_grow_beyond_their_limit_nor_states_without_end() -> None:
    asked, _ = question(FREE, (10, 9, 9))
    engine = BestFirst([asked], children=6, max_tokens=5, batch=16, max_states=300, least=1e-2)
    found = list(itertools.islice(engine, 200))
    assert found
    assert all(len(fill.ids) <= 6 for _, fill in found)
    assert len(engine._heap) <= 300
    assert engine.looking is not None
    assert engine.denoised > 0


class Oracle:
    """A context that knows the target, and answers as the labels of training do: tokens, then
    `delete` for every mask too many, or `expand` at the last mask of too few."""

    family = FREE
    banned = tuple(sorted(FREE.specials))
    size = 40

    def __init__(self, target: Sequence[int]) -> None:
        self.target = list(target)  # all different, so that shown tokens say where they belong

    def answer(self, asked: Sequence[Asked]) -> Tensor:
        answers = [label for one in asked for label in self.labels(one.hole)]
        logits = torch.zeros(len(answers), self.size)
        logits[range(len(answers)), answers] = 20.0
        return logits

    def labels(self, hole: Sequence[int]) -> list[int]:
        found: list[int] = []
        at = 0  # in the target, behind the last token that was shown
        for place, token in enumerate(hole):
            if token != MASK:
                at = self.target.index(token) + 1
            elif place == 0 or hole[place - 1] != MASK:  # a run of masks begins
                shown = [i for i in range(place, len(hole)) if hole[i] != MASK]
                end = self.target.index(hole[shown[0]]) if shown else len(self.target)
                size = (shown[0] if shown else len(hole)) - place
                wanted = self.target[at:end]
                if len(wanted) > size:
                    wanted = [*wanted[: size - 1], EXPAND]
                found += wanted + [DELETE] * (size - len(wanted))
        return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("sure", [0.9, 1.0])
def test_labels_of_training_lead_to_the_target(seed: int, sure: float) -> None:
    rng = random.Random(seed)
    target = rng.sample(range(12, 40), rng.randint(0, 14))
    original = tuple(rng.choices(range(12, 40), k=rng.randint(0, 8)))
    oracle = Oracle(target)
    asked = Question(oracle, HoleSpan(1, 1 + len(original), original))  # type: ignore[arg-type]
    slack = max(1, 2 - len(original))
    engine = BestFirst([asked], sure=sure, children=4, slack=slack, answer=oracle.answer)
    _, fill = next(engine)
    assert list(fill.ids) == target
