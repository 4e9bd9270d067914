"""Many hostile candidates in one warm arena: none is a pass, and what comes after is judged right.

Those that leave something behind are tried one by one in test_attacks.py.
"""

from __future__ import annotations

from pathlib import Path

from diffufix.types import Candidate, State
from tests.attacks.arena import TESTS, Arena
from tests.attacks.fuzz import honest
from tests.attacks.reaching import EQUALS, FAST, MIXED, ODD, RUNNER, WORLD
from tests.attacks.test_attacks import ask, record

EVERY = 40  # candidates between two looks at a right and a wrong one

#: Beside them: what an honest edit may do.
HONEST = (
    "import math\nreturn int(math.fsum(prices)) * count",
    "from functools import reduce\nreturn reduce(lambda a, b: a + b, prices, 0) * count",
    "total_ = 0\nfor price in prices:\n    total_ += price\nreturn total_ * count",
    "from collections import Counter\nreturn sum(Counter(prices).elements()) * count",
    "class Sum:\n    def __init__(self, x): self.x = x\nreturn Sum(sum(prices)).x * count",
    "return sum(prices) * count  # -*- coding: x -*- \N{GREEK SMALL LETTER ALPHA}",
    "try:\n    return sum(prices) * count\nexcept TypeError:\n    raise ValueError",
)


def test_there_are_enough() -> None:
    assert len({attack.name for attack in FAST}) == len(FAST) >= 120
    assert min(map(len, (EQUALS, RUNNER, WORLD, ODD, MIXED))) >= 9


def test_none_is_a_pass_and_what_comes_after_is_judged_right(arena: Arena) -> None:
    outside = arena.outside()
    passed = []
    with arena.screen() as screen:
        for number, attack in enumerate(FAST):
            verdict = ask(screen, arena.candidate(attack))
            record(arena, attack, verdict)
            if verdict.state in (State.PASS, State.INFRA):
                passed.append((attack.name, verdict))
            if number % EVERY == 0 or number == len(FAST) - 1:
                assert ask(screen, arena.right()).state is State.PASS, attack.name
                assert ask(screen, arena.body("return 0")).state is State.FAIL, attack.name
        for code in (*HONEST, *honest(10)):
            verdict = ask(screen, arena.body(code))
            assert verdict.state is State.PASS, (code, verdict)
    assert not passed, passed
    assert arena.outside() == outside


def test_a_linked_file_is_written_and_put_back(arena: Arena) -> None:
    price, real = arena.root / "shop" / "price.py", arena.root / "shop" / "real.py"
    text = price.read_text()
    try:
        real.write_text(text)
        price.unlink()
        price.symlink_to(Path("real.py"))
        with arena.screen() as screen:
            for _ in range(2):
                assert ask(screen, arena.right(), TESTS).state is State.PASS
                assert ask(screen, arena.body("return 0"), TESTS).state is State.FAIL
            other = Candidate({"shop/real.py": arena.right().files["shop/price.py"]})
            assert ask(screen, other, TESTS).state is State.PASS
    finally:
        price.unlink()
        real.unlink()
        price.write_text(text)
