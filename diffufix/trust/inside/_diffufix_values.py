# mypy: ignore-errors
"""Values as bounded text that says what they hold; runs inside the project's interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, standard library only. No method of the project is
called: not `__eq__`, `__repr__`, `__hash__` or a property; builtin containers are read through
their own class, other objects through their instance dictionary and slots. No address, so that
two processes say the same of the same value.
"""

import array
import collections
import datetime
import decimal
import enum
import fractions
import hashlib
import pathlib
import re
import types
import uuid

DEPTH = 5
NODES = 160  # parts of one value that are looked at
TEXT = 240  # characters of a value that are kept to be shown
ITEMS = 40  # of one container
PLAIN = (int, bool, complex, type(None), type(Ellipsis), type(NotImplemented))
NAMED = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    type,
)
TOLD = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.timezone,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    uuid.UUID,
    range,
    slice,
)
LIKE = (  # builtin bases, subclasses included, by which the contents can be read
    (dict, "{", "}"),
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "{", "}"),
    (collections.deque, "[", "]"),
)


class Values:
    """Text of values. `shown` and `digest` of one value are made in one walk."""

    def __init__(self):
        self.left = 0
        self.open = {}

    def of(self, value):
        """(text of at most TEXT characters, digest of the whole that was looked at)"""
        self.left, self.open = NODES, {}
        text = self.say(value, DEPTH)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return (text if len(text) <= TEXT else text[: TEXT - 1] + "…"), digest

    def say(self, value, depth):
        self.left -= 1
        kind = type(value)
        if kind in PLAIN:
            return repr(value) if kind is not int or abs(value) < 10**60 else hex(value)
        if kind is float:
            return repr(value)
        if kind is str or kind is bytes or kind is bytearray:
            return self.string(value)
        if self.left <= 0 or depth <= 0:
            return f"<{name_of(kind)}>"
        if id(value) in self.open:
            return f"<the same {name_of(kind)}>"
        self.open[id(value)] = value
        try:
            return self.whole(value, kind, depth - 1)
        except Exception as error:
            return f"<{name_of(kind)}: {type(error).__name__}>"
        finally:
            self.open.pop(id(value), None)

    def string(self, value):
        if len(value) <= 400:
            return repr(value)
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)
        digest = hashlib.blake2b(data, digest_size=6).hexdigest()
        return repr(value[:120])[:-1] + f"… {len(value)} long, {digest}" + repr(value)[-1]

    def whole(self, value, kind, depth):
        if issubclass(kind, enum.Enum):
            return f"{kind.__name__}.{object.__getattribute__(value, '_name_')}"
        if kind in TOLD or (issubclass(kind, TOLD) and kind.__module__ in STANDARD):
            return repr(value)
        if issubclass(kind, NAMED):
            return f"<{named(value)}>"
        if kind is re.Pattern:
            return f"re.compile({value.pattern!r}, {int(value.flags)})"
        if kind is re.Match:
            return f"<match {value.span()} {self.say(value.groups(), depth)}>"
        if kind is array.array:
            return f"array({value.typecode!r}, {self.say(value.tolist(), depth)})"
        for base, left, right in LIKE:
            if issubclass(kind, base):
                inside = self.contents(value, base, depth)
                text = left + inside + ("," if base is tuple and len(value) == 1 else "") + right
                if base in (set, frozenset) and not inside:
                    text = "set()"
                own = self.state(value, depth) if kind is not base else ""
                plain = kind is base and base in (dict, list, tuple, set)
                return text if plain else (f"{kind.__name__}({text}{', ' + own if own else ''})")
        if issubclass(kind, (str, bytes, int, float)):
            base = next(b for b in (str, bytes, int, float) if issubclass(kind, b))
            plain = base.__str__(value) if base is str else base.__repr__(value)
            own = self.state(value, depth)
            return f"{kind.__name__}({plain!r}{', ' + own if own else ''})"
        if issubclass(kind, BaseException):
            return f"{kind.__name__}({self.arguments(value, depth)})"
        own = self.state(value, depth)
        return f"{name_of(kind)}({own})" if own else f"<{name_of(kind)}>"

    def arguments(self, error, depth):
        return ", ".join(self.say(each, depth) for each in BaseException.args.__get__(error)[:8])

    def contents(self, value, base, depth):
        if base is dict:
            parts = [
                f"{self.say(key, depth)}: {self.say(item, depth)}"
                for key, item in first(dict.items(value), ITEMS)
            ]
        else:
            parts = [self.say(item, depth) for item in first(base.__iter__(value), ITEMS)]
            if base in (set, frozenset):
                parts.sort()
        more = base.__len__(value) - ITEMS
        return ", ".join(parts + ([f"… {more} more"] if more > 0 else []))

    def state(self, value, depth):
        """The attributes of an instance, as keyword arguments would give them."""
        try:
            attributes = object.__getattribute__(value, "__dict__")
        except AttributeError:
            attributes = {}
        parts = [
            f"{key}={self.say(item, depth)}"
            for key, item in first(dict.items(attributes), ITEMS)
            if type(key) is str
        ]
        for owner in type(value).__mro__:
            slots = owner.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else tuple(slots)[:ITEMS]:
                member = owner.__dict__.get(slot)
                if isinstance(member, types.MemberDescriptorType):
                    try:
                        parts.append(f"{slot}={self.say(member.__get__(value), depth)}")
                    except AttributeError:
                        continue
        return ", ".join(parts)


STANDARD = ("datetime", "decimal", "fractions", "pathlib", "pathlib._local", "uuid", "builtins")


def first(iterable, count):
    for number, item in enumerate(iterable):
        if number >= count:
            return
        yield item


def name_of(kind):
    return type.__dict__["__qualname__"].__get__(kind).rpartition("<locals>.")[2]


def named(value):
    """Of a function, class or module."""
    if isinstance(value, types.MethodType):
        value = value.__func__
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "?")
    return f"{module}.{name}" if isinstance(module, str) else str(name)
