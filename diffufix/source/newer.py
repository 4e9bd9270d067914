"""Source in the syntax of a newer Python, made readable for this one: `lowered`. Pure.

The project may run on a newer Python than diffufix. What the grammar has got since 3.11 is replaced
by something of the same length in characters and bytes, so that every node stays where it is; the
tree is to find places in, never to be run:

    def f[T: int](x): ...     type parameters become blanks
    type X = int              becomes an assignment, _  = X = int
    f"{d["key"]}"             an expression that needs 3.12 becomes one string
    t"{x}"                    becomes an f-string
    except A, B:              becomes except A| B:

`hidden` is what cannot be seen in the lowered text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

_PREFIXED = re.compile(r"#[^\n]*|(?P<prefix>\b[a-zA-Z]{1,2})?(?P<quote>\"\"\"|'''|\"|')", re.ASCII)
_PARAMETERS = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+\w+[ \t]*(\[)", re.MULTILINE)
_ALIAS = re.compile(r"^[ \t]*(type)[ \t]+\w+[ \t]*[=\[]", re.MULTILINE)
_EXCEPT = re.compile(r"^[ \t]*except\b\*?[ \t]+([^\n(:]*,[^\n(:]*):", re.MULTILINE)
_ENDS = {"[": "]", "(": ")", "{": "}"}
_FILL = {1: "_", 2: "é", 3: "一", 4: "𝐀"}  # by the bytes of a character; each may be in a name


def lowered(text: str) -> str:
    """The text as this Python's grammar has it; the same text where nothing newer is found."""
    return _lowered(text)[0]


def hidden(text: str) -> Counter[str]:
    """The parts of a text that are blanks or names in the lowered one."""
    return Counter(_lowered(text)[1])


@lru_cache(maxsize=64)
def _lowered(text: str) -> tuple[str, tuple[str, ...]]:
    out, code, parts = list(text), list(text), []
    for start, end, prefix in _strings(text):
        if "t" in prefix.lower():
            at = start + prefix.lower().index("t")
            out[at] = "f"
        if {"f", "t"} & {*prefix.lower()}:
            for first, last in _newer_expressions(text, start + len(prefix), end):
                parts.append(text[first:last])
                out[first:last] = _filled(text[first:last], text[start:end])
        for index in range(start, end):
            if code[index] != "\n":
                code[index] = " "
    plain = "".join(code)
    for found in _PARAMETERS.finditer(plain):
        first = found.start(1)
        last = _end_of(plain, first)
        parts.append(text[first:last])
        for index in range(first, last):
            if text[index] != "\n":
                out[index] = " " * len(text[index].encode("utf-8"))
            elif index > first:
                out[index - 1] = "\\"
    for found in _ALIAS.finditer(plain):
        out[found.start(1) : found.end(1)] = "_  ="
        bracket = found.end() - 1
        if plain[bracket] == "[":
            last = _end_of(plain, bracket)
            parts.append(text[bracket:last])
            out[bracket:last] = [" " if c != "\n" else c for c in text[bracket:last]]
    for found in _EXCEPT.finditer(plain):
        for index in range(found.start(1), found.end(1)):
            out[index] = "|" if plain[index] == "," else out[index]
    return "".join(out), tuple(parts)


def _filled(inside: str, literal: str) -> list[str]:
    """A string in the other quotes than those of the literal around it; a name where that would
    not have the same bytes."""
    filled = [_FILL[len(c.encode("utf-8"))] for c in inside]
    if filled[0] == filled[-1] == "_":
        filled[0] = filled[-1] = "'" if literal.endswith('"') else '"'
    return filled


def _strings(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, prefix) of every string literal and comment; a comment's prefix is empty."""
    at = 0
    while found := _PREFIXED.search(text, at):
        at = found.end()
        if found[0].startswith("#"):
            yield found.start(), at, ""
            continue
        prefix, quote = found["prefix"] or "", found["quote"]
        if {*prefix.lower()} - {*"rbuft"}:  # a name that ends before a string
            prefix = ""
        start = found.start("quote") - len(prefix)
        at = min(len(text), _string_end(text, at, quote, prefix))
        yield start, at, prefix


def _string_end(text: str, at: int, quote: str, prefix: str) -> int:
    """Behind the closing quote; `at` is behind the opening one."""
    formatted = bool({"f", "t"} & {*prefix.lower()})
    while at < len(text):
        if text.startswith(quote, at):
            return at + len(quote)
        if text[at] == "\n" and len(quote) == 1:
            return at
        if text[at] == "\\" or (formatted and text.startswith("{{", at)):
            at += 2
        elif formatted and text[at] == "{":
            at = _end_of(text, at)
        else:
            at += 1
    return at


def _end_of(text: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`, strings in between passed over."""
    waiting: list[str] = []
    while at < len(text):
        found = _PREFIXED.match(text, at)
        if found and (text[at] == "#" or found["quote"]) and waiting:
            if text[at] == "#":
                at = found.end()
                continue
            at = _string_end(text, found.end(), found["quote"], found["prefix"] or "")
            continue
        if text[at] in _ENDS:
            waiting.append(_ENDS[text[at]])
        elif waiting and text[at] == waiting[-1]:
            waiting.pop()
            if not waiting:
                return at + 1
        at += 1
    return at


def _newer_expressions(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The inside of each replacement field of an f-string that Python 3.11 cannot read."""
    opening = re.match(r"\"\"\"|'''|\"|'", text[start:end])
    if opening is None:
        return
    quote, at = opening[0], start + len(opening[0])
    while at < end - len(quote):
        if text[at] == "\\" or text.startswith("{{", at):
            at += 2
            continue
        if text[at] != "{":
            at += 1
            continue
        last = _end_of(text, at)
        inside = text[at + 1 : last - 1]
        if quote in inside or "\\" in inside or "#" in inside:
            yield at + 1, last - 1
        at = last
