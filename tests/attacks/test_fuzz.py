"""The text rules on many candidates by chance; test_reaching.py runs some of them for real."""

from __future__ import annotations

import ast
import re
import textwrap

from diffufix.verify.static import suspicion
from tests.attacks.arena import PROJECT, WRONG
from tests.attacks.fuzz import COUNT, honest, hostile

BEFORE = textwrap.dedent(PROJECT["shop/price.py"]).lstrip("\n")
KNOWN = frozenset(re.findall(r"[^\W\d]\w*", " ".join(PROJECT.values())))
MANY = max(300, COUNT)


def told(code: str) -> str:
    """What the rules say of the candidate whose `total` has this body."""
    indented = textwrap.indent(textwrap.dedent(code).strip(), "    ").strip()
    after = BEFORE.replace(WRONG, indented)
    ast.parse(after)  # what is no Python says nothing
    return suspicion(BEFORE, after, path="shop/price.py", known=KNOWN)


def test_no_mixture_goes_unseen() -> None:
    unseen = [attack.body for attack in hostile(MANY) if not told(attack.body)]
    assert not unseen, unseen[0]


def test_no_honest_mixture_is_refused() -> None:
    refused = [(code, told(code)) for code in honest(MANY) if told(code)]
    assert not refused, refused[0]


def test_chance_can_be_repeated() -> None:
    assert hostile(5) == hostile(9)[:5]
    assert honest(5) == honest(9)[:5]
    assert hostile(5) != hostile(5, seed=1)
