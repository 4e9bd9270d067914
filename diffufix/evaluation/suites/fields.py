"""Lines of JSON and their fields, with errors that name the file, the line and the field."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError

_WORDS = {str: "a text", list: "a list", dict: "an object", int: "a number"}


def lines_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of a JSONL file, or of a file with one list, gzipped or not. Raises
    UsageError."""
    try:
        text = read_text(path)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    found = False
    for where, raw in _entries(path, text):
        if not isinstance(raw, dict):
            raise UsageError(f"{where} is not a JSON object.")
        found = True
        yield where, raw
    if not found:
        raise UsageError(f"{path} is empty.", "Fetch it again.")


def _entries(path: Path, text: str) -> Iterator[tuple[str, object]]:
    if text.lstrip().startswith("["):  # such as sanitized-mbpp.json
        for number, raw in enumerate(_parsed(str(path), text), 1):
            yield f"{path}: entry {number}", raw
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", _parsed(f"{path}:{number}", line)


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{where} is not JSON: {error}.", "Is the file complete? Fetch it again."
        ) from error


def read_text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")


def need(raw: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A field that must be there. Raises UsageError."""
    value = raw.get(name)
    if value is None:
        known = ", ".join(sorted(raw))
        raise UsageError(
            f"{where} has no field {name!r}; it has {known}.",
            "Is this another benchmark, or another version? docs/evaluate.md lists the fields.",
        )
    if not isinstance(value, kind):
        raise UsageError(f"{where}: {name!r} is not {_WORDS.get(kind, kind.__name__)}.")
    return value
