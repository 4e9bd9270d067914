# mypy: ignore-errors
"""Are results of edited code of honest types? Only looks, and compares.

A result may compare, count, hash and calculate in its own way where its type did so before the
edit. A type that is made or changed by edited code may not: it could equal whatever a test expects.
"""

import contextlib
import os
import types


def _words(text):
    return frozenset(text.split())


#: What decides how a test's comparison or calculation comes out.
DECIDING = _words(
    "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __hash__ __bool__ __len__ __contains__ __class__ "
    "__getattribute__ __getattr__ __instancecheck__ __subclasscheck__ __int__ __float__ __index__ "
    "__complex__ __round__ __abs__ __neg__ __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ "
    "__truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ "
    "__and__ __rand__ __or__ __ror__ __xor__ __rxor__"
)
FEW, DEEP, MANY = 8, 4, 60  # of what a value holds that is looked at
_PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None)))
_FLAGS, _HEAP = type.__dict__["__flags__"].__get__, 1 << 9
_HOLDERS = (list, tuple, set, frozenset, dict)


class HonestValues:
    """`ours(code)`: is it code of an edited file? `words`: what the original texts name, with
    `Class.__eq__` for the methods of their classes and `*.__eq__` for those that are set."""

    def __init__(self, ours, words=()):
        self.ours, self.words = ours, frozenset(words)
        self.honest = set(_PLAIN)

    def odd(self, value):
        """Why a value, or one of the first inside it, is none that honest code returns; or ""."""
        if type(value) in _PLAIN:
            return ""
        pending = [(value, 0, True)]
        for value, depth, probe in pending:  # which grows
            kind = type(value)
            if kind in _PLAIN:
                continue
            if kind not in self.honest:
                if reason := self._odd_type(kind):
                    return reason
                self.honest.add(kind)
            if probe and equals_everything(value):
                return "what it returns equals everything"
            if depth < DEEP and len(pending) < MANY:
                probe = probe and kind in _HOLDERS  # no attribute is asked to compare
                pending += [(inner, depth + 1, probe) for inner in _inside(value, kind)]
        return ""

    def _odd_type(self, kind):
        for one in type.mro(kind):
            for name, method in list(vars(one).items()) if _made(one) else ():
                if name in DECIDING and method is not None and self._brought_in(one, name, method):
                    return f"what it returns is of a type with {name} of its own"
        return ""

    def _brought_in(self, one, name, method):
        if f"{one.__qualname__}.{name}" in self.words or f"*.{name}" in self.words:
            return False
        inner = getattr(method, "__func__", method)
        if type(inner) is not types.FunctionType:  # a builtin, or any object, in its place
            return self._made_by_edit(one)
        return self.ours(inner.__code__)

    def _made_by_edit(self, one):
        """Whether the class has a method of edited code; one without any says little."""
        return (
            any(
                type(value) is types.FunctionType and self.ours(value.__code__)
                for value in vars(one).values()
            )
            or "<locals>" in one.__qualname__
        )


def _inside(value, kind):
    if kind in _HOLDERS:
        some = value.values() if kind is dict else value
        return [one for one, _ in zip(some, range(FEW))] if len(value) < 10**6 else []  # noqa: B905
    with contextlib.suppress(AttributeError, TypeError):
        held = object.__getattribute__(value, "__dict__")
        return list(held.values())[:FEW] if type(held) is dict else []
    return []


def _made(kind):
    """Whether a class was made at run time; what it says of its module may be a lie."""
    return bool(_FLAGS(kind) & _HEAP)


class _Stranger:
    """Equal to nothing but itself."""


def equals_everything(value):
    """Whether a value says it equals what it cannot know."""
    if not _made(type(value)):
        return False
    try:
        strangers = _Stranger(), int.from_bytes(os.urandom(7), "big"), os.urandom(7).hex()
        return any((value == stranger) is True for stranger in strangers)
    except BaseException:
        return False
