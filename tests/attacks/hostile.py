"""Hostile candidates as data (lying.py, harming.py): what each tries, and the code that tries it.

`body` replaces the body of `shop.price.total`, which must return `sum(prices) * count`; `module`
is put at the top of the module; `path` and `text` are an edit of another file. What steals or
breaks out returns the right sum when it has succeeded, so that success would be green.
`{secret}`, `{outside}`, `{port}`, `{root}`, `{env}` stand for places outside the sandbox.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

RIGHT = "return sum(prices) * count"


@dataclass(frozen=True)
class Attack:
    """One hostile candidate; `threat` is its row in the table of docs/security.md."""

    name: str
    threat: str
    body: str = ""
    module: str = ""
    path: str = ""
    text: str = ""
    way: str | None = None


def body(threat: str, **codes: str) -> list[Attack]:
    return [Attack(name, threat, body=textwrap.dedent(code)) for name, code in codes.items()]


def module(threat: str, **codes: str) -> list[Attack]:
    return [Attack(name, threat, module=textwrap.dedent(code)) for name, code in codes.items()]
