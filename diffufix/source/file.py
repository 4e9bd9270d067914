"""A Python file as text, read as the interpreter reads it: `SourceFile`. Writes nothing."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffufix.errors import ProjectError
from diffufix.source.functions import Definition, definitions
from diffufix.source.spans import Text
from diffufix.source.syntax import UNREADABLE, parse


@dataclass(frozen=True)
class SourceFile:
    """The text of a file, with what is needed to write it back the same."""

    text: str  # newlines as in the file, without a byte order mark
    encoding: str = "utf-8"  # "utf-8-sig" stands for UTF-8 with a byte order mark
    errors: str = "strict"  # "surrogateescape": bytes that do not fit were kept

    @classmethod
    def read(cls, path: Path) -> SourceFile:
        """Raises ProjectError if the file cannot be read or decoded."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ProjectError(f"{path} cannot be read: {error.strerror}.") from error
        return cls.decode(data, str(path))

    @classmethod
    def decode(cls, data: bytes, name: str = "<source>") -> SourceFile:
        """Decode as Python would: byte order mark, PEP 263 cookie, else UTF-8.

        Raises ProjectError for bytes that do not fit the encoding the file declares.
        """
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return cls(data.decode(encoding), encoding)
        except (SyntaxError, UnicodeDecodeError, LookupError) as error:
            raise ProjectError(
                f"{name} cannot be decoded: {error}",
                "Save it as UTF-8, or name its encoding in a `# -*- coding: ... -*-` line.",
            ) from error

    @classmethod
    def decode_any(cls, data: bytes) -> SourceFile:
        """The same for any bytes: those that do not fit become surrogates."""
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except (SyntaxError, UnicodeDecodeError):
            encoding = "utf-8"
        return cls(data.decode(encoding, "surrogateescape"), encoding, "surrogateescape")

    @property
    def mark(self) -> str:
        """The byte order mark of the file, if it has one."""
        return "\ufeff" if self.encoding == "utf-8-sig" else ""

    def encode(self, text: str) -> bytes:
        """The bytes of `text` in this file's encoding. Raises UnicodeEncodeError."""
        return text.encode(self.encoding, self.errors)

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree; None where the text does not parse."""
        try:
            return parse(self.text)
        except UNREADABLE:
            return None

    @cached_property
    def positions(self) -> Text:
        """Lines and columns of the text as offsets."""
        return Text(self.text)

    @property
    def lines(self) -> list[str]:
        """The lines with their ends, as the tokenizer and `ast` count them."""
        return self.positions.lines

    def functions(self) -> list[Definition]:
        """Outermost functions and methods in source order; none where it does not parse."""
        return list(definitions(self.tree, nested=False)) if self.tree else []

    def text_of(self, found: Definition) -> str:
        """The lines of a function from `def` (without decorators), not dedented."""
        start, end = self.positions.span(found.node)
        return self.text[self.positions.line_start(start) : end]
