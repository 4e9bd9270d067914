"""The tokenizer of `mini`: what it can say, and that lexical tokens can be cut out of a text."""

from __future__ import annotations

import ast
import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.model.tokenizer import Tokenizer
from diffufix.source.spans import Text, lexical_tokens
from diffufix.train.corpus.tokenizer import SPECIAL
from diffufix.train.pretrain.fresh import mini_family
from tests.support.mini import library_functions


def test_special_ids_are_those_of_the_family(tokenizer: Tokenizer) -> None:
    family = mini_family()
    for index, name in enumerate(SPECIAL):
        assert tokenizer.id(f"<|{name}|>") == index == getattr(family, name)


def test_code_cannot_spell_a_special_token(tokenizer: Tokenizer) -> None:
    text = 'x = "<|mask|><|eos|>"'
    ids = tokenizer.encode(text)
    assert min(ids) >= len(SPECIAL)
    assert tokenizer.decode(ids) == text


def test_round_trip_with_offsets(tokenizer: Tokenizer) -> None:
    for source in library_functions()[:80]:
        ids, spans = tokenizer.encode_with_offsets(source)
        assert tokenizer.decode(ids) == source
        assert spans[0][0] == 0
        assert spans[-1][1] == len(source)
        assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert len(ids) < 0.6 * len(source), "nothing was merged"


@settings(max_examples=150, deadline=None)
@given(text=st.text())
def test_round_trip_of_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from("ab1_+-*/<>=!:.@&|^%~()[]{},'\" \n\t\r#é")))
def test_round_trip_of_line_noise(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_cut_between_lexical_tokens_changes_no_id(tokenizer: Tokenizer) -> None:
    """A blank belongs to the word behind it, a line break and indentation to themselves: cut
    there, at both ends of a lexical token, both halves have the ids of the whole."""
    cuts = 0
    for source in library_functions()[:120]:
        text = "if 1:\n" + source if source[0] == " " else source
        ast.parse(text)
        whole = tokenizer.encode(text)
        tokens = lexical_tokens(Text(text))
        rng = random.Random(len(text))
        for token in rng.sample(tokens, min(12, len(tokens))):
            start = token.start
            if text[start - 1 : start] == " " and text[: start - 1].rpartition("\n")[2].strip():
                start -= 1
            for cut in {start, token.end} - {0, len(text)}:
                left, right = text[:cut], text[cut:]
                assert tokenizer.encode(left) + tokenizer.encode(right) == whole, (
                    left[-20:],
                    right[:20],
                )
                cuts += 1
    assert cuts > 1000


def test_no_token_holds_parts_of_two_lexical_tokens(tokenizer: Tokenizer) -> None:
    for source in library_functions()[:120]:
        text = "if 1:\n" + source if source[0] == " " else source
        _, spans = tokenizer.encode_with_offsets(text)
        owner = [-1] * len(text)
        for index, token in enumerate(lexical_tokens(Text(text))):
            owner[token.start : token.end] = [index] * (token.end - token.start)
        for start, end in spans:
            assert len({owner[i] for i in range(start, end)} - {-1}) <= 1, text[start:end]
