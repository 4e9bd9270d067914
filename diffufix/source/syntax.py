"""`parse`: ast.parse for a program with threads.

CPython 3.11 counts the depth of the tree that it builds in a place that all threads share: two
that parse at once can fail with a SystemError, "recursion depth mismatch", and the warnings'
filters are shared as well. Here one waits for the other. Pure.
"""

from __future__ import annotations

import ast
import contextlib
import io
import threading
import tokenize
import warnings

from diffufix.source.newer import lowered

#: What `parse` raises for a text that cannot be read, however odd.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, SystemError, OverflowError)
_ONE_AT_A_TIME = threading.Lock()


def parse(source: str | bytes) -> ast.Module:
    """The tree, without the warnings of the source. What only a newer Python can read is lowered
    (newer.py): its nodes stand where they do in the source. Raises what ast.parse raises."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except SyntaxError:
            text = source if isinstance(source, str) else _decoded(source)
            plain = lowered(text)
            if plain == text:
                raise
            with contextlib.suppress(SyntaxError):
                return ast.parse(plain)
            raise


def _decoded(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding)
