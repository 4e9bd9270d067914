"""Near-duplicates and benchmark copies: planted ones are found, different functions are not."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffufix.errors import UsageError
from diffufix.train.corpus import decontaminate
from diffufix.train.corpus.decontaminate import Benchmarks, body_of, ngrams
from diffufix.train.corpus.neardup import SHINGLE, THRESHOLD, NearDuplicates, jaccard
from diffufix.train.corpus.shingles import Hashes, Tokens, lexemes
from tests.support.mini import library_functions

TASK = '''def pairs(numbers: list[int], limit: int) -> list[tuple[int, int]]:
    """The made-up task."""
    found = []
    for index, first in enumerate(numbers):
        for second in numbers[index + 1 :]:
            if first + second <= limit and first != second:
                found.append((first, second))
    return sorted(found, key=lambda pair: pair[0] * pair[1])
'''
#: Renamed throughout, re-typed, documented otherwise, with a comment: still the same task.
PARAPHRASE = '''    async def combos(self, xs, top):
        """Quite another text."""
        # collect
        out = []
        for i, a in enumerate(xs):
            for b in xs[i + 1 :]:
                if a + b <= top and a != b:
                    out.append((a, b))
        return sorted(out, key=lambda p: p[0] * p[1])
'''


def texts(source: str) -> list[str]:
    return [text for text, _ in lexemes(source)]


def shingles(*sources: str) -> list[Hashes]:
    return Tokens(lexemes(source) for source in sources).shingles(SHINGLE)


def edited(source: str, edits: int, rng: random.Random) -> str:
    """The source with some of its words renamed, one place each."""
    places = [m.span() for m in re.finditer(r"\b[a-z_]{4,}\b", source.split("\n", 1)[1])]
    head, body = source.split("\n", 1)
    for start, end in sorted(rng.sample(places, min(edits, len(places))), reverse=True):
        body = f"{body[:start]}edited{rng.randrange(1000)}{body[end:]}"
    return f"{head}\n{body}"


def test_comments_docstrings_and_layout_are_no_tokens() -> None:
    plain = "def f(a):\n    return {'k': a}  \n"
    dressed = 'def f(a):\n    """Say # nothing."""\n\n    # more\n    return {"k":\n        a}\n'
    assert texts(plain) == ["def", "f", "(", "a", ")", ":", "return", "{", "'k'", ":", "a", "}"]
    assert texts(dressed.replace('"k"', "'k'")) == texts(plain)
    assert texts("x = '# no comment' # one") == ["x", "=", "'# no comment'"]
    assert " ".join(texts("a//=b**c!=d->e:=f")) == "a //= b ** c != d -> e := f"
    assert [free for _, free in lexemes("self.x = len(y)")] == [
        False, False, False, False, False, False, True, False,
    ]  # fmt: skip


@given(st.lists(st.text("ab.(\n'#", max_size=12), max_size=5))
def test_every_text_has_ngrams_and_neighbours_do_not_matter(sources: list[str]) -> None:
    together = Tokens(map(lexemes, sources))
    for kind in ("shingles", "renamed"):
        alone = [getattr(Tokens([lexemes(s)]), kind)(3)[0].tolist() for s in sources]
        assert [grams.tolist() for grams in getattr(together, kind)(3)] == alone
    for source, grams in zip(sources, together.shingles(3), strict=True):
        assert len(grams) <= max(len(lexemes(source)) - 2, 1)


def test_renamed_ngrams_see_through_consistent_renaming_alone() -> None:
    def grams(source: str) -> list[int]:
        return Tokens([lexemes(source)]).renamed(6)[0].tolist()

    assert grams("a = b + a * c") == grams("x = y + x * z")
    assert grams("a = b + a * c") != grams("x = y + y * z")
    assert grams("a.real = b + a") != grams("a.imag = b + a")  # attributes keep their names
    assert grams("a = len(b) + a") != grams("a = sum(b) + a")  # and so do builtins


def test_planted_near_duplicates_are_found_and_nothing_else() -> None:
    rng = random.Random(3)
    originals = [s for s in library_functions() if len(lexemes(s)) >= 60][:120]
    near = NearDuplicates()
    originals = [
        source
        for source, grams in zip(originals, shingles(*originals), strict=True)
        if near.add(grams) is None
    ]
    assert len(originals) >= 80  # twins such as the two heaps of heapq have gone
    planted = [edited(source, len(lexemes(source)) // 60, rng) for source in originals]
    pairs = list(zip(shingles(*originals), shingles(*planted), strict=True))
    close = [(a, b) for a, b in pairs if jaccard(a, b) >= 0.8]
    assert len(close) > 60
    caught = sum(near.add(b) is not None for _, b in close)
    assert caught >= 0.99 * len(close)


def test_what_is_called_a_near_duplicate_is_one() -> None:
    near = NearDuplicates()
    kept: list[Hashes] = []
    for grams in shingles(*library_functions()):
        number = near.add(grams)
        if number is None:
            assert all(jaccard(grams, other) < 0.9 for other in kept)
            kept.append(grams)
        else:
            assert jaccard(grams, kept[number]) >= THRESHOLD


def test_a_paraphrase_of_a_task_is_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(
        json.dumps({"task": "Made/1", "function": TASK}) + "\n"
        + json.dumps({"task": "Made/2", "function": "def f(x):\n    return x + 1\n"}) + "\n"
    )  # fmt: skip
    hashes = tmp_path / "hashes.txt"
    decontaminate.add_tasks(path, hashes)
    assert "found" not in hashes.read_text()
    benchmarks = Benchmarks.load(hashes)
    assert benchmarks.tasks == ["Made/1"]  # the other one is too short

    def copied(source: str) -> str | None:
        return benchmarks.copied(ngrams(Tokens([lexemes(source)]))[0])

    assert copied(TASK) == copied(PARAPHRASE) == "Made/1"
    part = "def other(q):\n    log('x')\n" + body_of(PARAPHRASE) + "\n"
    assert copied(part) == "Made/1"
    assert copied("def small(x):\n    return x\n") is None
    assert not any(map(copied, library_functions()))
    decontaminate.add_tasks(path, hashes)
    assert Benchmarks.load(hashes).tasks == ["Made/1"]


def test_damaged_hashes_are_reported(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("# head\nMade/1 12ab zz\n")
    with pytest.raises(UsageError, match="line 2"):
        Benchmarks.load(tmp_path / "h.txt")


def test_the_library_is_no_benchmark() -> None:
    benchmarks = Benchmarks.load()
    found = ngrams(Tokens(map(lexemes, library_functions())))
    assert sum(benchmarks.copied(grams) is not None for grams in found) == 0
