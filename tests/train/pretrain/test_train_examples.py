"""Rows of training: what is asked of the model, how rows are packed, and who sees what."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.model.tokenizer import Tokenizer
from diffufix.model.transformer import Transformer
from diffufix.propose.window import MAX_WINDOW, window
from diffufix.source.edits import Edit, apply
from diffufix.train.batch import IGNORE
from diffufix.train.bugs.parsing import parse
from diffufix.train.pretrain.batches import load_corpus, make_batch
from diffufix.train.pretrain.examples import ExampleMaker, _draw
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.pretrain.rows import PackedRow, collate, noise
from tests.support.mini import library_functions, tiny_model

FAMILY = mini_family()
MASK, EXPAND, DELETE = FAMILY.mask, FAMILY.expand, FAMILY.delete
assert EXPAND is not None
assert DELETE is not None
TOKENS = st.lists(st.integers(20, 25), max_size=12)


def runs(fill: Sequence[int]) -> list[tuple[int, int]]:
    """Half-open ranges of masks that follow each other."""
    text = "".join("m" if token == MASK else "." for token in fill)
    return [match.span() for match in re.finditer("m+", text)]


# -- noise -----------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(TOKENS, st.integers(1, 16), st.integers(0, 10**6))
def test_labels_read_by_the_samplers_rules_spell_the_target(
    target: list[int], masks: int, seed: int
) -> None:
    """The executable specification of a partly denoised hole: shown tokens stay, a mask becomes
    its label, `delete` takes its mask away, and an `expand` stands for two tokens or more."""
    fill, labels = noise(target, masks, FAMILY, random.Random(seed))
    assert len(fill) == len(labels)
    pattern = ""
    for token, label in zip(fill, labels, strict=True):
        assert (label == IGNORE) == (token != MASK)
        if token != MASK:
            pattern += chr(token)
        elif label == EXPAND:
            pattern += ".{2,}"
        elif label != DELETE:
            pattern += chr(label)
    assert re.fullmatch(pattern, "".join(map(chr, target)), re.S)
    for start, end in runs(fill):
        run = labels[start:end]
        kept = [label for label in run if label != DELETE]
        assert run == kept + [DELETE] * (len(run) - len(kept)), "a token behind a delete"
        assert EXPAND not in run[:-1]
    if runs(fill) == [(0, len(fill))]:
        assert len(fill) == masks


def test_noise_shows_every_stage_of_a_hole() -> None:
    stages = [noise([20, 21, 22, 23], 6, FAMILY, random.Random(i))[0] for i in range(300)]
    whole = sum(fill == [MASK] * 6 for fill in stages)
    assert 0.5 < whole / len(stages) < 0.7
    assert {sum(token != MASK for token in fill) for fill in stages} == {0, 1, 2, 3}
    assert len({len(fill) for fill in stages}) > 3


# -- rows ------------------------------------------------------------------------------------------


def asked(row: PackedRow) -> list[tuple[int, int, list[int], list[int], list[int]]]:
    """(start, end, original, fill, labels) of every hole; start and end are places in the
    context with its bos."""
    found = []
    for number in range(2, row.segments[-1] + 1, 2):
        at = [i for i, segment in enumerate(row.segments) if segment in (number - 1, number)]
        ids = [row.ids[i] for i in at]
        positions, labels = [row.positions[i] for i in at], [row.labels[i] for i in at]
        assert at == list(range(at[0], at[-1] + 1))
        assert ids[0] == FAMILY.was
        assert ids[-1] == FAMILY.eos
        now = ids.index(FAMILY.now or -1)
        start, end = positions[0] + 1, positions[-1]
        assert positions[1:now] == list(range(start, start + now - 1))
        assert positions[now] == start - 1
        assert positions[now + 1 : -1] == list(range(start, start + len(ids) - now - 2))
        assert {labels[i] for i in range(now + 1)} | {labels[-1]} == {IGNORE}
        found.append((start, end, ids[1:now], ids[now + 1 : -1], labels[now + 1 : -1]))
    return found


def spelt(fill: list[int], labels: list[int]) -> list[int] | None:
    """The target; None where `expand` hides a part of it."""
    if EXPAND in labels:
        return None
    both = zip(fill, labels, strict=True)
    return [t if t != MASK else label for t, label in both if label != DELETE]


def test_repair_rows_ask_for_what_mends_the_function(
    maker: ExampleMaker, tokenizer: Tokenizer
) -> None:
    mended = intact = 0
    for seed, source in enumerate(library_functions()):
        row = maker.repair(source, random.Random(seed))
        if row is None:
            continue
        rng = random.Random(seed)  # the same draws again
        parsed = parse(source, rng)
        assert parsed is not None
        text, edits = parsed[0], _draw(*parsed, rng)
        broken = apply(text, edits)[0]
        size = row.segments.index(1)
        context = row.ids[1 : size - 1]
        assert (row.ids[0], row.ids[size - 1]) == (FAMILY.bos, FAMILY.eos)
        assert row.positions[:size] == list(range(size))
        shown = tokenizer.decode(context)
        if shown.strip() not in broken:
            continue  # lines were cut
        partly = {apply(text, [e for e in edits if e not in gone])[0] for gone in ([], edits)}
        partly |= {apply(text, [edit])[0] for edit in edits}
        for start, end, original, fill, labels in asked(row):
            assert original == context[start - 1 : end - 1]
            target = spelt(fill, labels)
            if target is None:
                continue
            result = tokenizer.decode([*context[: start - 1], *target, *context[end - 1 :]])
            assert any(result.strip() in version for version in partly)
            mended += result != shown
            intact += result == shown
    assert mended > 100
    assert intact > 100


def test_repair_rows_label_the_wrong_tokens_that_are_visible(
    maker: ExampleMaker, tokenizer: Tokenizer
) -> None:
    wrong = right = bare = mended = 0
    for seed, source in enumerate(library_functions()):
        row = maker.repair(source, random.Random(seed))
        if row is None:
            continue
        size = row.segments.index(1)
        labels, shown = row.labels[:size], row.ids[:size]
        right += sum(label == token for label, token in zip(labels, shown, strict=True))
        changes = {i: label for i, label in enumerate(labels) if label not in (IGNORE, shown[i])}
        wrong += len(changes)
        bare += not changes  # something is missing at the very end, or was cut away
        rng = random.Random(seed)  # the same draws again
        parsed = parse(source, rng)
        assert parsed is not None
        edits = _draw(*parsed, rng)
        broken = apply(parsed[0], edits)[0]
        by_token = changes and not {EXPAND, DELETE} & set(changes.values())
        if by_token and tokenizer.decode(shown[1:-1]).strip() in broken:
            result = tokenizer.decode([changes.get(i, t) for i, t in enumerate(shown)][1:-1])
            assert result.strip() in parsed[0]
            mended += 1
    assert wrong > 100
    assert right > 10 * 100
    assert mended > 10
    assert bare < wrong / 20


def test_nothing_is_asked_where_the_window_hides_an_edit(
    maker: ExampleMaker, tokenizer: Tokenizer
) -> None:
    lines = "".join(f"    total += values[{i}] * {i}\n" for i in range(80))
    text = f"def add_up(values):\n    total = 0\n{lines}    return total\n"
    edits = []
    for line in (4, 78):
        at = text.index(f"\n    total += values[{line}]")
        edits.append(Edit(at, text.index("\n", at + 1), "", "drop-statement"))
    broken, places = apply(text, edits)
    node = parse(broken, random.Random(0))
    assert node is not None
    for number, (start, end, _, _) in enumerate(places):
        view = window(broken, node[1], tokenizer, (start, end))
        assert not any(view.locate(*place[:2]) for place in places if place[0] != start)
        row = maker._context(list(view.ids))
        maker._correct(row, text, view, places, random.Random(0))
        [at] = [i for i, label in enumerate(row.labels) if label == EXPAND]
        assert view.spans[at - 1][0] == start, number


def test_gap_rows_cut_out_what_they_ask_for(maker: ExampleMaker, tokenizer: Tokenizer) -> None:
    checked = 0
    for seed, source in enumerate(library_functions()[:60]):
        row = maker.gap(source, random.Random(seed))
        if row is None:
            continue
        context = row.ids[: row.segments.index(1)]
        holes = asked(row)
        whole = list(context)
        for start, end, original, fill, labels in reversed(holes):
            assert context[start] == FAMILY.gap
            assert (end, original) == (start + 1, [])
            target = spelt(fill, labels)
            if target is None:
                break
            whole[start:end] = target
        else:
            parsed = parse(source, random.Random(seed))
            assert parsed is not None
            short = len(tokenizer.encode(parsed[0])) < MAX_WINDOW  # of longer ones lines are cut
            if short and FAMILY.gap not in whole:  # a long docstring may have been left out
                assert set(tokenizer.decode(whole[1:-1]).split("\n")) <= set(parsed[0].split("\n"))
                checked += 1
    assert checked > 10


def test_plain_rows_hide_a_part_of_the_function(maker: ExampleMaker) -> None:
    source = library_functions()[0]
    row = maker.plain(source, random.Random(1))
    assert row is not None
    hidden = [i for i, token in enumerate(row.ids) if token == MASK]
    assert hidden == [i for i, label in enumerate(row.labels) if label != IGNORE]
    assert 0 < len(hidden) < len(row.ids)
    assert (row.ids[0], row.ids[-1]) == (FAMILY.bos, FAMILY.eos)


def test_sources_that_are_no_function_give_no_row(maker: ExampleMaker) -> None:
    for source in ("x = 1", "def f(:", "", "class A:\n    pass"):
        for kind in ("plain", "gap", "repair"):
            assert getattr(maker, kind)(source, random.Random(0)) is None


def test_the_same_step_draws_the_same_batch(maker: ExampleMaker) -> None:
    mixture = {"plain": 0.3, "gap": 0.3, "repair": 0.4}
    for step in range(3):
        one, two = (make_batch(maker, library_functions(), 4, mixture, 5, step) for _ in "ab")
        assert all(torch.equal(getattr(one, n), getattr(two, n)) for n in one.__dataclass_fields__)
    other = make_batch(maker, library_functions(), 4, mixture, 5, 3)
    assert other.ids.shape != one.ids.shape or not torch.equal(other.ids, one.ids)


# -- packing ---------------------------------------------------------------------------------------


def some_rows(maker: ExampleMaker, count: int = 5) -> list[PackedRow]:
    found = []
    for seed, source in enumerate(library_functions()[:40]):
        kind = ("plain", "gap", "repair")[seed % 3]
        row = getattr(maker, kind)(source, random.Random(seed))
        if row is not None and len(row.ids) <= maker.length:
            found.append(row)
    return found[:count]


def test_rows_are_packed_without_loss(maker: ExampleMaker) -> None:
    rows = some_rows(maker, 12)
    batch = collate(rows, 0, maker.length)
    assert batch.ids.shape[1] <= maker.length
    assert len(batch.ids) < len(rows)
    unpacked = []
    for b in range(len(batch.ids)):
        for number in range(int(batch.rows[b].max()) + 1):
            at = batch.rows[b] == number
            fields = [
                getattr(batch, name)[b, at].tolist() for name in PackedRow.__dataclass_fields__
            ]
            unpacked.append(PackedRow(*fields))
    for row in rows:
        row.weights = torch.tensor(row.weights).tolist()  # as float32 has them
    assert sorted(map(repr, unpacked)) == sorted(map(repr, rows))
    assert (batch.labels[batch.rows < 0] == IGNORE).all()
    assert (batch.weights[batch.rows < 0] == 0).all()


def test_attention_shows_a_hole_its_context_and_itself(maker: ExampleMaker) -> None:
    batch = collate(some_rows(maker), 0, maker.length)
    seen = batch.dense()
    B, T = batch.ids.shape
    assert seen.shape == (B, 1, T, T)
    generator = random.Random(0)
    for _ in range(3000):
        b, q, k = generator.randrange(B), generator.randrange(T), generator.randrange(T)
        same_row = batch.rows[b, q] == batch.rows[b, k]
        asks, answers = int(batch.segments[b, q]), int(batch.segments[b, k])
        if batch.rows[b, q] >= 0:
            was = asks % 2 == 0 and answers == asks - 1
            assert seen[b, 0, q, k] == (same_row and (answers in (0, asks) or was))
    assert seen.any(-1).all(), "a row of the softmax without anything to look at"


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    return tiny_model(len(tokenizer))


def test_training_and_inference_compute_the_same(maker: ExampleMaker, model: Transformer) -> None:
    """Packed rows under the mask of training give the logits that `AsideContext` gives."""
    rows = [row for row in some_rows(maker, 9) if row.segments[-1]]
    batch = collate(rows, 0, maker.length)
    with torch.inference_mode():
        hidden, _ = model.hidden(batch.ids, batch.positions, batch.attention())
        trained = model.lm_head(hidden)
        compared = 0
        for row in rows:
            # find the row again: it is the only one with these ids
            for b in range(len(batch.ids)):
                for number in range(int(batch.rows[b].max()) + 1):
                    at = batch.rows[b] == number
                    if batch.ids[b, at].tolist() != row.ids:
                        continue
                    context = AsideContext(model, row.ids[1 : row.segments.index(1) - 1], FAMILY)
                    holes = asked(row)
                    logits = context.logits(
                        [HoleSpan(start, end, tuple(was)) for start, end, was, _, _ in holes],
                        [fill for _, _, _, fill, _ in holes],
                    )
                    inside = batch.segments[b, at] > 0
                    masks = inside & (batch.ids[b, at] == MASK)
                    torch.testing.assert_close(trained[b, at][masks], logits, rtol=1e-4, atol=1e-4)
                    compared += len(logits)
    assert compared > 50
    assert trained.std() > 0.1, "the model predicts nothing to compare"


# -- the corpus ------------------------------------------------------------------------------------


def test_held_out_functions_are_not_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for i in range(200):
            row = {"source": f"def f{i}(): pass", "path": f"{i}.py", "package": "p"}
            file.write(json.dumps(row) + "\n")
        loop = {"source": "def g(x):\n    for a in x: pass", "path": "9", "package": "p"}
        file.write(json.dumps(loop) + "\n")
    train, quiz = load_corpus(path), load_corpus(path, held_out=True)
    assert not set(train) & set(quiz)
    assert len(set(train) | set(quiz)) == 201
    assert 1 <= len(quiz) <= 12
    assert train.count(loop["source"]) in (0, 3), "functions that loop count three times"


def test_body_rows_cut_out_whole_bodies(maker: ExampleMaker, tokenizer: Tokenizer) -> None:
    whole = checked = 0
    for seed, source in enumerate(library_functions()[:60]):
        row = maker.body(source, random.Random(seed))
        if row is None:
            continue
        checked += 1
        context = [i for i, s in zip(row.ids, row.segments, strict=True) if s == 0]
        assert FAMILY.gap is not None
        assert context.count(FAMILY.gap) == 1
        _, _, after = tokenizer.decode(context[1:-1]).partition("<|gap|>")
        whole += not after.strip()
        for number in range(2, max(row.segments) + 1, 2):
            at = [i for i, s in enumerate(row.segments) if s == number]
            assert row.positions[at[0]] == context.index(FAMILY.gap)
            pairs = [(row.ids[i], row.labels[i]) for i in at[:-1]]
            if any(label == EXPAND for _, label in pairs):
                continue  # the rest comes later
            meant = [token if label == IGNORE else label for token, label in pairs]
            body = tokenizer.decode([token for token in meant if token != DELETE])
            lines = [line.strip() for line in source.splitlines() if line.strip()]
            assert all(any(part.strip() in line for line in lines) for part in body.splitlines())
    assert checked > 20
    assert whole > 10
