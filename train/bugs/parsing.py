"""Functions as training sees them: a text that parses and the node in it. No files, no torch."""

from __future__ import annotations

import random

from diffufix.source import syntax
from diffufix.source.functions import FunctionNode, docstring_of, functions
from diffufix.source.spans import Text

_INDENTED = "if 1:\n"  # makes a method parse where it stands


def parse(source: str, rng: random.Random) -> tuple[str, FunctionNode] | None:
    """The text to work on and its function; the docstring is dropped in 60 % of the cases."""
    text = _INDENTED + source + "\n" if source[:1].isspace() else source + "\n"
    node = function(text)
    if node is None:
        return None
    docstring = docstring_of(node)
    if docstring is not None and len(node.body) > 1 and rng.random() < 0.6:
        lines = Text(text)
        start, end = lines.span(docstring)
        start = text.rfind(":", 0, start) + 1
        text = text[:start] + text[end:]
        node = function(text)
    return None if node is None else (text, node)


def function(text: str, name: str | None = None) -> FunctionNode | None:
    """The first function of a text, if it parses and (where given) has that name."""
    try:
        found = functions(syntax.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found[0][1] if found and (name is None or found[0][1].name == name) else None
