# mypy: ignore-errors
"""Whether a result is the wanted one, as EvalPlus has it. Part of _diffufix_programs.py."""

import math


def agrees(result, wanted, given, rule, tolerance):
    """EvalPlus' comparison; `rule` names the few tasks for which equality is not it."""
    if rule == "root":
        return abs(sum(c * math.pow(result, i) for i, c in enumerate(given[0]))) <= tolerance
    same = bool(result == wanted)
    if rule == "any":
        same = True
    elif rule == "or zero":
        same = same or bool(result == 0)
    elif rule == "pyramid":
        edge, height = given
        slant = math.sqrt((edge / 2) ** 2 + height**2)
        same = same or abs(result - round(edge**2 + 2 * edge * slant)) <= tolerance
    elif rule == "digits":
        one, other = map(str, given)
        width = max(len(one), len(other))
        pairs = zip(one.zfill(width), other.zfill(width))  # noqa: B905
        same = same or result == sum(abs(int(a) - int(b)) for a, b in pairs)
    elif rule == "set":
        same = set(result) == set(wanted)
    elif rule == "not none":
        same = result == wanted if isinstance(result, bool) else wanted == (result is not None)
    if same or tolerance == 0:
        return same
    if type(result) is not type(wanted):
        return False
    if isinstance(wanted, (list, tuple)) and len(result) != len(wanted):
        return False
    return close(result, wanted, tolerance)


def close(result, wanted, tolerance):
    """Elementwise within `tolerance` and a relative 1e-7, as numpy.allclose has it."""
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(result, (list, tuple))
            and len(result) == len(wanted)
            and all(close(a, b, tolerance) for a, b in zip(result, wanted))  # noqa: B905
        )
    if result == wanted:
        return True
    return abs(result - wanted) <= tolerance + 1e-7 * abs(wanted)


def floats(value):
    if isinstance(value, float):
        return True
    listed = isinstance(value, (list, tuple)) and len(value) > 0
    if listed:
        return all(isinstance(each, float) for each in value)
    return getattr(getattr(value, "dtype", None), "name", "") in ("float64", "float32")
