"""A text as its tree, for those who judge it. Touches nothing."""

from __future__ import annotations

import ast

from diffufix.source.syntax import UNREADABLE, parse

LONGEST = 2_000_000  # characters; longer texts are not read


class Unreadable(Exception):
    """The text cannot be parsed here; the message says why."""


def read(text: str) -> ast.Module:
    """Raises: Unreadable."""
    if len(text) > LONGEST:
        raise Unreadable("it is too long to be read")
    try:
        return parse(text)
    except SyntaxError as error:
        raise Unreadable(f"it cannot be read: {error.msg}") from error
    except UNREADABLE as error:
        raise Unreadable(f"it cannot be read: {type(error).__name__}") from error
