"""What people confuse: operators, words and literals, and what they write in their place."""

from __future__ import annotations

import ast
import random

BINARY = ["+", "-", "*", "/", "//", "%", "**"]
BITWISE = ["&", "|", "^", "<<", ">>"]
COMPARE = ["<", "<=", ">", ">=", "==", "!="]
AUGMENTED = ["+=", "-=", "*=", "/=", "//=", "%=", "="]
FLIPS = {
    "and": ["or"], "or": ["and"], "True": ["False"], "False": ["True"], "None": ["0", "False"],
    "break": ["continue", "pass"], "continue": ["break", "pass"],
    "min": ["max"], "max": ["min", "sum"], "any": ["all"], "all": ["any"],
    "sum": ["len", "max"], "len": ["sum", "max"],
    "append": ["extend", "add"], "extend": ["append"], "add": ["append", "remove"], "pop": ["get"],
    "lower": ["upper"], "upper": ["lower"], "islower": ["isupper"], "isupper": ["islower"],
    "isalpha": ["isdigit", "isalnum"], "isdigit": ["isalpha"],
    "startswith": ["endswith"], "endswith": ["startswith"],
    "keys": ["values", "items"], "values": ["keys", "items"], "items": ["keys", "values"],
    "strip": ["lstrip", "rstrip"], "lstrip": ["rstrip", "strip"], "rstrip": ["lstrip", "strip"],
    "split": ["rsplit", "join"], "find": ["rfind", "index"],
    "floor": ["ceil"], "ceil": ["floor"], "ord": ["chr"], "chr": ["ord"],
    "sorted": ["list", "reversed", "set"], "set": ["list", "sorted"], "list": ["set", "tuple"],
    "int": ["float", "str"], "float": ["int"],
    "first": ["last"], "start": ["end"], "end": ["start"], "row": ["col"], "col": ["row"],
    "left": ["right"], "right": ["left"],
    "is": ["=="], "return": ["yield"], "yield": ["return"],
}  # fmt: skip
WRAPPERS = [
    "list", "str", "int", "len", "set", "sorted", "abs", "tuple", "sum", "max", "min", "float",
    "reversed",
]  # fmt: skip
METHODS = [
    ".strip()", ".lower()", ".upper()", ".copy()", ".keys()", ".split()", ".items()", ".sort()",
]  # fmt: skip

_CHARACTERS = "abcdefghij0123456789_- ,."


def other_number(text: str, rng: random.Random) -> str | None:
    """A number that one might have written instead of the literal `text`; None for complex ones."""
    value = _value(text)
    if isinstance(value, int):
        near = [value + 1, value - 1, value + 1, abs(value - 1)]
        return str(rng.choice([*near, 0, 1, 2, value * 2, value + 2, -1]))
    if isinstance(value, float):
        return repr(rng.choice([value + 1, value * 2, value / 2, 0.0, 1.0, value * 10]))
    return None


def other_string(text: str, strings: list[str], rng: random.Random) -> str | None:
    """A string that one might have written instead of the literal `text`, or another of the
    function's `strings`; None for long ones, bytes, and what would need escapes."""
    value = _value(text)
    if not isinstance(value, str) or len(value) > 60 or "\n" in value:
        return None
    choices = [value + " ", value.strip(), value.upper(), value.lower()]
    choices += [value * 2 if len(value) < 4 else value[1:]]
    choices += [" " if value == "" else "", value[:-1]]
    choices += [s for s in strings if len(s) < 30 and "\n" not in s][:8]
    if value:
        at = rng.randrange(len(value))
        choices.append(value[:at] + rng.choice(_CHARACTERS) + value[at + 1 :])
    quote = '"' if text.endswith('"') else "'"
    made = rng.choice(choices)
    return None if quote in made or "\\" in made else f"{quote}{made}{quote}"


def _value(text: str) -> object:
    """What a literal means; None where it means nothing on its own."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
