"""The copying head: the same in training, in the search and in rollouts; and what it computes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffufix.decode.aside import AsideContext, Asked, HoleSpan, logits
from diffufix.decode.context import open_context
from diffufix.model import load_model
from diffufix.model.pointer_generator import PointerGenerator
from diffufix.model.tokenizer import Tokenizer
from diffufix.model.transformer import Transformer
from diffufix.train.batch import IGNORE
from diffufix.train.checkpoints import write_model
from diffufix.train.objective import loss_of
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.pretrain.rows import collate
from diffufix.types import Prompt
from tests.support.mini import library_functions, tiny_model

FAMILY = mini_family()


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    plain = tiny_model(len(tokenizer))
    made = Transformer(replace(plain.config, copy_size=16))
    made.load_state_dict(plain.state_dict(), strict=False)
    assert made.copy is not None
    made.copy.restart(torch.Generator().manual_seed(3))
    torch.nn.init.constant_(made.copy.gate.bias, -1.0)  # copies much
    return made.eval().requires_grad_(False)


def test_the_mixture_against_its_definition() -> None:
    torch.manual_seed(0)
    head = PointerGenerator(8, 4)
    hidden, logits, context = torch.randn(3, 8), torch.randn(3, 10), torch.randn(5, 8)
    ids = torch.tensor([2, 7, 2, 9, 0])
    seen = torch.tensor([True, True, True, True, False])
    with torch.no_grad():
        found = head(logits.clone(), hidden, head.k_proj(context), ids, seen).softmax(-1)
        for n in range(3):
            gate = float(torch.sigmoid(head.gate(hidden[n])))
            products = head.q_proj(hidden[n]) @ head.k_proj(context).T / 2
            pointed = products[:4].softmax(-1)
            for v in range(10):
                copied = sum(float(pointed[t]) for t in range(4) if ids[t] == v)
                own = float(logits[n].softmax(-1)[v])
                assert found[n, v] == pytest.approx(gate * own + (1 - gate) * copied, rel=1e-4)
        every = head.k_proj(context).expand(3, -1, -1)
        again = head(logits, hidden, every, ids.expand(3, -1), seen.expand(3, -1)).softmax(-1)
    torch.testing.assert_close(found, again)


def test_training_search_and_rollout_agree(model: Transformer, tokenizer: Tokenizer) -> None:
    maker = ExampleMaker(tokenizer, FAMILY)
    rng = random.Random(5)
    made = [
        row
        for source in library_functions()[:40]
        for row in (maker.repair(source, rng), maker.gap(source, rng))
        if row is not None and len(row.ids) <= maker.length
    ][:12]
    batch = collate(made, 0, maker.length)
    with torch.no_grad():
        _, trained = loss_of(model, batch)
    at = batch.labels != IGNORE
    where = {tuple(place): n for n, place in enumerate(at.nonzero().tolist())}
    asked, expected, prompts, holes = [], [], [], []
    for b in range(len(batch.ids)):
        for number in range(int(batch.rows[b].max()) + 1):
            mine = (batch.rows[b] == number).nonzero()[:, 0].tolist()
            segments = [int(batch.segments[b, i]) for i in mine]
            ids = [int(batch.ids[b, i]) for i in mine]
            context = [i for i, s in zip(ids, segments, strict=True) if s == 0][1:-1]
            view = AsideContext(model, context, FAMILY)
            for segment in range(2, max(segments) + 1, 2):
                fill = [i for i, s in zip(mine, segments, strict=True) if s == segment][:-1]
                was = [i for i, s in zip(ids, segments, strict=True) if s == segment - 1][1:-1]
                start = int(batch.positions[b, fill[0]])
                hole = [int(batch.ids[b, i]) for i in fill]
                masks = [i for i in fill if int(batch.ids[b, i]) == FAMILY.mask]
                gap = context[start - 1 : start] == [FAMILY.gap]
                end = start + (1 if gap else len(was))
                asked.append(Asked(view, HoleSpan(start, end, tuple(was)), hole))
                expected += [where[b, i] for i in masks]
                left, right = tuple(context[: start - 1]), tuple(context[end - 1 :])
                prompts.append(Prompt(left, right, () if gap else tuple(was), len(hole), gap=gap))
                holes.append(tuple(hole))
    assert len({id(a.context) for a in asked}) > 5
    with torch.no_grad():
        found = logits(asked)
        torch.testing.assert_close(found, trained[expected], rtol=1e-3, atol=1e-3)
        alone = asked[0].context.logits([asked[0].place], [asked[0].hole])
        torch.testing.assert_close(alone, found[: len(alone)], rtol=1e-3, atol=1e-3)
        scene = open_context(model, prompts, family=FAMILY)
        rolled = scene.logits([(n, hole) for n, hole in enumerate(holes)])
    allowed = rolled > -1e20
    torch.testing.assert_close(rolled[allowed], found[allowed], rtol=1e-3, atol=1e-3)


def test_a_checkpoint_keeps_the_head(
    model: Transformer, tokenizer_folder: Path, tmp_path: Path
) -> None:
    write_model(tmp_path, model, FAMILY, tokenizer_folder)
    loaded = load_model(tmp_path, device="cpu")
    assert loaded.copy is not None
    assert model.copy is not None
    assert torch.equal(loaded.copy.k_proj.weight, model.copy.k_proj.weight)


def test_a_twin_may_be_copied_instead() -> None:
    torch.manual_seed(1)
    head = PointerGenerator(8, 4, twins=10)
    head.restart()
    assert head.other is not None
    torch.nn.init.normal_(head.other.weight)
    head.pair([0, 1, 3, 2, 4, 5, 6, 7, 8, 9])  # 2 and 3 are twins
    hidden, logits, context = torch.randn(3, 8), torch.randn(3, 10), torch.randn(4, 8)
    ids, seen = torch.tensor([2, 7, 3, 9]), torch.ones(4).bool()
    with torch.no_grad():
        keys = head.k_proj(context)
        found = head(logits.clone(), hidden, keys, ids, seen).softmax(-1)
        for n in range(3):
            gate = float(torch.sigmoid(head.gate(hidden[n])))
            swapped = float(torch.sigmoid(head.other(hidden[n])))
            pointed = (head.q_proj(hidden[n]) @ keys.T / 2).softmax(-1)
            copied = [0.0] * 10
            for t, (own, twin) in enumerate([(2, 3), (7, 7), (3, 2), (9, 9)]):
                copied[own] += float(pointed[t]) * (1 - swapped)
                copied[twin] += float(pointed[t]) * swapped
            for v in range(10):
                own_share = float(logits[n].softmax(-1)[v])
                wanted = gate * own_share + (1 - gate) * copied[v]
                assert found[n, v] == pytest.approx(wanted, rel=1e-4)
        every, shown = keys.expand(3, -1, -1), ids.expand(3, -1)
        again = head(logits, hidden, every, shown, seen.expand(3, -1)).softmax(-1)
    torch.testing.assert_close(found, again)


def test_twins_are_the_same_word_with_and_without_its_blank(tokenizer: Tokenizer) -> None:
    twins = tokenizer.twins(len(tokenizer))
    (bare,), (led,) = tokenizer.encode("return"), tokenizer.encode(" return")
    assert (twins[bare], twins[led]) == (led, bare)
    assert all(twins[twins[i]] == i for i in range(len(tokenizer)))
