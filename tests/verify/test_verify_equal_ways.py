"""Hundreds of bugs, as the trainer makes them, in real projects: swap, fork and cold agree.

EQUAL_WAYS_EDITS is how many per project (default 70).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from diffufix.source.functions import FunctionNode
from diffufix.train.bugs.corrupt import Corruptor
from diffufix.types import RED, Candidate, State

EDITS = int(os.environ.get("EQUAL_WAYS_EDITS", "70"))
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ("textwrap", "fnmatch", "heapq", "bisect", "colorsys", "shlex")
LIBRARY_TESTS = """
    import io
    from lib import bisect, colorsys, fnmatch, heapq, shlex, textwrap

    TEXT = "The quick brown fox jumps over the lazy dog, and then some more of it."

    def test_wrap():
        assert textwrap.wrap(TEXT, 20) == [
            "The quick brown fox", "jumps over the lazy", "dog, and then some", "more of it."]
    def test_dedent():
        assert textwrap.dedent("  a\\n    b\\n  c\\n") == "a\\n  b\\nc\\n"
    def test_shorten(): assert textwrap.shorten(TEXT, 20) == "The quick [...]"
    def test_indent(): assert textwrap.indent("a\\n\\nb\\n", "> ") == "> a\\n\\n> b\\n"
    def test_match():
        assert fnmatch.fnmatchcase("test_a.py", "test_*.py")
        assert fnmatch.filter(["a", "b1", "b[1]"], "b[[]?]") == ["b[1]"]
    def test_heap():
        heap = []
        for n in (5, 1, 4, 2, 3):
            heapq.heappush(heap, n)
        assert [heapq.heappop(heap) for _ in range(5)] == [1, 2, 3, 4, 5]
        assert heapq.nsmallest(2, [3, 1, 2]) == [1, 2] and heapq.nlargest(1, [3, 1]) == [3]
        assert list(heapq.merge([1, 4], [2, 3])) == [1, 2, 3, 4]
    def test_bisect():
        assert bisect.bisect_left([1, 2, 2, 3], 2) == 1 and bisect.bisect_right([1, 2, 2], 2) == 3
    def test_colour():
        assert colorsys.rgb_to_hsv(1, 0, 0) == (0.0, 1.0, 1)
        assert colorsys.hsv_to_rgb(0.5, 0.5, 0.4) == (0.2, 0.4, 0.4)
        assert colorsys.rgb_to_hls(0.2, 0.4, 0.4)[1] > 0.29
    def test_split():
        assert shlex.split("a 'b c' \\"d e\\" # f", comments=True) == ["a", "b c", "d e"]
    def test_quote(): assert shlex.quote("it's") == "'it'\\"'\\"'s'"
"""


def sources(name: str) -> dict[str, str]:
    if name == "library":
        files = {f"lib/{m}.py": Path(importlib.import_module(m).__file__ or "").read_text()
                 for m in LIBRARY}  # fmt: skip
        for module, text in files.items():  # the pure versions, not the C ones
            files[module] = text.replace("from _heapq import", "from _no_heapq import").replace(
                "from _bisect import", "from _no_bisect import"
            )
        return {"lib/__init__.py": "", **files, "test_lib.py": LIBRARY_TESTS}
    folder = ROOT / {"ledger": "bench/projects/ledger", "shop": "examples/shop"}[name]
    kinds = (".py", ".toml")
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds and "__pycache__" not in path.parts
    }


def functions_of(text: str) -> list[FunctionNode]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, FunctionNode)]


def bugs(files: dict[str, str], count: int) -> list[Candidate]:
    """Every third has a bug in a second place of the same file."""
    rng = random.Random(11)
    functions = [
        (path, node)
        for path, text in files.items()
        if path.endswith(".py") and "test" not in path
        for node in functions_of(text)
    ]
    found: dict[str, Candidate] = {}
    while len(found) < count:
        path, node = rng.choice(functions)
        text = files[path]
        edit = Corruptor(text, node).draw(rng)
        if edit is not None:
            text = text[: edit.start] + edit.text + text[edit.end :]
            with contextlib.suppress(SyntaxError):  # not every bug parses
                second = rng.choice(functions_of(text))
                edit = Corruptor(text, second).draw(rng) if len(found) % 3 == 0 else None
                if edit is not None:
                    text = text[: edit.start] + edit.text + text[edit.end :]
            candidate = Candidate({path: text})
            found[candidate.key] = candidate
    return list(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ledger", "shop", "library"])
def test_the_three_ways_agree_on_hundreds_of_bugs(make_project: Any, name: str) -> None:
    files = sources(name)
    project = make_project(files)
    tests = [test for test, outcome in project.baseline.items() if outcome not in RED]
    assert len(tests) >= 10 if name != "shop" else tests
    ways = ("swap", "fork", "cold")
    with project.screen(workers=2, failing=[]) as screen:

        def ask_all(asked: list[tuple[Candidate, str]]) -> dict[tuple[str, str], Any]:
            tokens, said = {}, {}
            waiting = list(asked)
            while waiting or screen.pending:
                while waiting and screen.capacity:
                    candidate, way = waiting.pop()
                    # "swap" alone would refuse what it cannot do: then the next way is right.
                    chosen = None if way == "swap" else way
                    tokens[screen.submit(candidate, tests, way=chosen)] = candidate.key, way
                for token, verdict in screen.results(None):
                    said[tokens[token]] = verdict
            return said

        candidates = bugs(files, EDITS)
        said = ask_all([(candidate, way) for candidate in candidates for way in ways])

        def differ(candidate: Candidate) -> bool:
            three = [said[candidate.key, way] for way in ways]
            return len({(v.state, tuple(sorted(v.outcomes.items()))) for v in three}) > 1

        # A deadline on a busy machine may differ once, but not twice.
        again = [candidate for candidate in candidates if differ(candidate)]
        said |= ask_all([(candidate, way) for candidate in again for way in ways])
        different = [
            (candidate.files, [said[candidate.key, way] for way in ways])
            for candidate in again
            if differ(candidate)
        ]
        assert not different, different[0]
        states = Counter(verdict.state for verdict in said.values())
        assert not states[State.INFRA]
        assert states[State.FAIL] > EDITS
        assert screen.ways["swap"] > EDITS // 2
