"""What people write where they meant something else: words, operators, literals, both ways round.

`WORDS` closes a table like that of diffufix/train/bugs/confusions.py under reversal: an edit undoes
a slip, so what was confused with a word is what may stand there instead.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

BINARY = ("+", "-", "*", "/", "//", "%", "**")
BITWISE = ("&", "|", "^", "<<", ">>")
COMPARE = ("<", "<=", ">", ">=", "==", "!=")
AUGMENTED = ("+=", "-=", "*=", "/=", "//=", "%=", "**=", "|=", "&=", "=")

_ALIKE = (
    ("and", "or"), ("True", "False", "None"), ("None", "0", '""', "[]", "{}", "()"),
    ("break", "continue", "pass", "return"), ("return", "yield"), ("if", "while"), ("elif", "if"),
    ("min", "max", "sum", "len"), ("any", "all"), ("is", "==", "!=", "in", "is not"),
    ("append", "extend", "add", "update", "insert", "appendleft"),
    ("pop", "get", "remove", "discard", "popleft", "setdefault"),
    ("lower", "upper", "casefold", "title", "capitalize"),
    ("islower", "isupper"),
    ("isalpha", "isdigit", "isalnum", "isdecimal", "isspace", "isidentifier"),
    ("startswith", "endswith"), ("keys", "values", "items"),
    ("strip", "lstrip", "rstrip"), ("split", "rsplit", "splitlines"), ("partition", "rpartition"),
    ("find", "rfind", "index", "rindex"), ("removeprefix", "removesuffix"), ("ljust", "rjust"),
    ("match", "search", "fullmatch", "findall", "finditer"),
    ("floor", "ceil", "round", "trunc"), ("ord", "chr"), ("encode", "decode"),
    ("sorted", "list", "reversed", "set", "tuple", "frozenset"), ("dict", "list", "OrderedDict"),
    ("int", "float", "str", "bool", "bytes", "repr"), ("isinstance", "issubclass"),
    ("first", "last"), ("start", "end", "stop"), ("row", "col"), ("left", "right"),
    ("next", "prev", "iter"), ("read", "readline", "readlines"), ("dump", "dumps"),
    ("load", "loads"), ("union", "intersection", "difference", "symmetric_difference"),
    ("Exception", "BaseException"), ("getattr", "hasattr"), ("copy", "deepcopy"),
    ("ValueError", "TypeError", "KeyError", "IndexError", "AttributeError", "RuntimeError"),
    ("range", "enumerate", "len"), ("zip", "zip_longest"), ("time", "monotonic"),
)  # fmt: skip


def _closed() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for group in _ALIKE:
        for word in group:
            if word.isidentifier():
                found.setdefault(word, {}).update(dict.fromkeys(w for w in group if w != word))
    return {word: tuple(others) for word, others in found.items()}


#: What may stand where a word stands.
WORDS = _closed()
WRAPPERS = (
    *("list", "str", "int", "len", "set", "sorted", "abs", "tuple", "sum", "max", "min", "float"),
    *("reversed", "bool", "dict", "repr", "iter", "next", "any", "all", "type", "bytes", "round"),
)
METHODS = (
    *(".strip()", ".lower()", ".upper()", ".copy()", ".keys()", ".split()", ".items()"),
    *(".values()", ".rstrip()", ".lstrip()", ".encode()", ".decode()", ".splitlines()", ".pop()"),
)
FALLBACKS = ("0", "[]", "{}", '""', "()", "None", "1")
EXCEPTIONS = (
    *("Exception", "ValueError", "TypeError", "KeyError", "IndexError", "AttributeError"),
    *("OSError", "ImportError", "RuntimeError", "BaseException", "UnicodeError", "StopIteration"),
    *("OverflowError", "NotImplementedError", "ZeroDivisionError", "LookupError", "SyntaxError"),
)


def other_numbers(text: str) -> list[str]:
    """What may have been meant instead of a number literal."""
    value = literal(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    if isinstance(value, float):
        near: list[object] = [value + 1, value - 1, value * 2, value / 2, value * 10, value / 10]
        return [repr(n) for n in [*near, 0.0, 1.0, -value] if n != value]
    whole = [value + 1, value - 1, 0, 1, 2, -1, value * 2, value // 2, value + 2, value - 2]
    whole += [value * 10, 3, 10, -value]
    return list(dict.fromkeys(str(n) for n in whole if n != value))


def other_strings(text: str, strings: Sequence[str]) -> list[str]:
    """What may have been meant instead of a string literal: others of the function, another case,
    blanks, one character less, a format's own letters. Literals with escapes are left alone."""
    value = literal(text)
    if not isinstance(value, str) or len(value) > 60 or "\n" in value or "\\" in text:
        return []
    quote = text[-1]
    lead = text[: len(text) - len(text.lstrip("rRbBuUfF"))]
    if "f" in lead.lower() or (text.endswith(quote * 3) and len(text) > 2):
        return []
    made = dict.fromkeys(_strings(value))
    made |= dict.fromkeys(s for s in strings if s != value and "\n" not in s)
    return [
        f"{lead}{quote}{each}{quote}"
        for each in list(made)[:40]
        if each != value and quote not in each and "\\" not in each
    ]


_MIRRORED = (
    *(("<", ">"), (">", "<"), ("(", "["), (")", "]"), ("[", "("), ("]", ")"), ("(", ")")),
    *((")", "("), ("[", "]"), ("]", "["), ("{", "["), ("}", "]"), ("+", "-"), ("-", "+")),
    *(("r", "w"), ("w", "r"), ("r", "rb"), ("w", "wb"), ("w", "a"), ("'", '"'), (",", ";")),
)


def _strings(value: str) -> Iterator[str]:
    yield from ("", " ") if len(value) < 2 else ("",)
    yield from (value.strip(), value.upper(), value.lower(), value + " ", " " + value)
    if value:
        yield from (value[1:], value[:-1])
    if 0 < len(value) < 4:
        yield value * 2
        yield from (value.replace(old, new) for old, new in _MIRRORED if old in value)
    for old, new in (
        ("%s", "%r"),
        ("%d", "%s"),
        ("{}", "{!r}"),
        ("-", "_"),
        ("_", "-"),
        ("/", "."),
    ):
        if old in value:
            yield value.replace(old, new)
    yield from (value + end for end in (":", "\\n", ".", "/", ",", "s") if len(value) < 30)


def literal(text: str) -> object:
    """What a literal means; None where it means nothing on its own."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError):
        return None
