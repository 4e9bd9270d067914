# mypy: ignore-errors
"""Inputs made from recorded ones, and calls of a function with them; runs inside the project's
interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, standard library only. Types are kept: an int becomes
another int, a list a list of such elements, an argument one that another call was given. While a
made-up input is run, an audit hook refuses to change files, start processes or connect.
"""

import contextlib
import gc
import io
import pickle
import random
import signal
import sys
import time
import types

from _diffufix_values import Values

BYTES = 20_000
PATIENCE = 0.1  # seconds of one call
ITEMS = 30  # of a generator that a call returns
WRITES = ("remove", "rename", "rmdir", "mkdir", "link", "symlink", "chmod", "chown", "truncate",
          "system", "fork", "posix_spawn", "exec", "kill", "putenv", "unsetenv")  # fmt: skip
REFUSED = frozenset(f"os.{name}" for name in WRITES) | {
    "subprocess.Popen", "socket.connect", "socket.bind", "shutil.rmtree", "shutil.move",
    "shutil.copyfile", "ctypes.dlopen", "webbrowser.open",
}  # fmt: skip


class EffectRefused(RuntimeError):
    """A made-up input reached for something outside the process."""


class Guard:
    """Refuses effects outside the process while `on`."""

    def __init__(self):
        self.on = False
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on:
            return
        if event == "open":
            mode, flags = args[1], args[2]
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if not (writes or (isinstance(flags, int) and flags & 0o3)):
                return
        elif event not in REFUSED:
            return
        raise EffectRefused(event)


# -- making inputs ---------------------------------------------------------------------------------


def made_up(kept, count, seed, seconds):
    """[(function, pickled arguments, is it as recorded)] from [(function, pickled arguments)]."""
    rng = random.Random(seed)
    found = [(name, data, True) for name, data in kept]
    until, seen = time.monotonic() + seconds, {data for _, data in kept}
    by_name = {}
    for name, data in kept:
        by_name.setdefault(name, []).append(data)
    tries = 0
    while kept and len(found) < count + len(kept) and tries < 6 * count:
        tries += 1
        if time.monotonic() > until:
            break
        name, data = rng.choice(kept)
        try:
            arguments, others = pickle.loads(data), pickle.loads(rng.choice(by_name[name]))
            changeable = list(arguments)
            for key in rng.sample(changeable, min(len(changeable), rng.choice((1, 1, 1, 2)))):
                swap = key in others and rng.random() < 0.35
                arguments[key] = others[key] if swap else changed(arguments[key], rng, 3)
            made = pickle.dumps(arguments, 4)
        except Exception:
            continue
        if len(made) <= BYTES and made not in seen:
            seen.add(made)
            found.append((name, made, False))
    return found


def changed(value, rng, depth):
    """Another value of the same type; the same one where there is no way."""
    kind = type(value)
    if kind is bool:
        return not value
    if kind is int:
        return rng.choice((value + 1, value - 1, 0, 1, -value, value * 2, value + rng.randint(2, 9),
                           rng.randint(-20, 20)))  # fmt: skip
    if kind is float:
        return rng.choice((value + 1.0, value / 2, 0.0, -value, value * 1.5, round(value),
                           value + rng.random())) * 1.0  # fmt: skip
    if kind is str or kind is bytes:
        return string(value, rng)
    if kind in (list, tuple):
        return kind(sequence(list(value), rng, depth))
    if kind in (set, frozenset):
        items = sorted(value, key=repr)
        return kind(sequence(items, rng, depth))
    if kind is dict:
        return mapping(value, rng, depth)
    attributes = getattr(value, "__dict__", None)
    if depth > 0 and type(attributes) is dict and attributes and not isinstance(value, type):
        key = rng.choice(sorted(map(str, attributes)))
        if key in attributes and type(attributes[key]) in KINDS:
            attributes[key] = changed(attributes[key], rng, depth - 1)
    return value


KINDS = (bool, int, float, str, bytes, list, tuple, set, frozenset, dict)


def string(value, rng):
    at = rng.randint(0, len(value))
    other = rng.randint(0, len(value))
    low, high = min(at, other), max(at, other)
    if type(value) is bytes:
        extra = bytes([rng.choice(value or b"a0 ")])
    else:
        extra = rng.choice((value or "a") + " aZ0_-.,/!\n")
    ways = [
        value[:at] + extra + value[at:],
        value[:low] + value[high:],
        value[:at] + value[at + 1 :],
        value[:at] + extra + value[at + 1 :],
        value + value,
        value[::-1],
        value[:0],
        value.upper(),
        value.lower(),
        value.strip(),
    ]
    return rng.choice(ways)


def sequence(items, rng, depth):
    way = rng.randrange(7)
    if way == 0 and items:
        del items[rng.randrange(len(items))]
    elif way == 1 and items:
        items.insert(rng.randint(0, len(items)), rng.choice(items))
    elif way == 2:
        items.reverse()
    elif way == 3:
        items = []
    elif way == 4:
        rng.shuffle(items)
    elif items and depth > 0:
        at = rng.randrange(len(items))
        items[at] = changed(items[at], rng, depth - 1)
    return items


def mapping(value, rng, depth):
    made = dict(value)
    if not made:
        return made
    key = rng.choice(list(made))
    if rng.random() < 0.3:
        del made[key]
    elif depth > 0:
        made[key] = changed(made[key], rng, depth - 1)
    return made


# -- running them ----------------------------------------------------------------------------------


def function_at(path, line):
    """The function object made by the `def` at this place, the youngest one."""
    import os

    found = None
    for each in gc.get_objects():
        if type(each) is types.FunctionType and each.__code__.co_firstlineno == line:
            file = each.__code__.co_filename
            if (file == path or os.path.realpath(file) == path) and "<locals>" not in (
                each.__qualname__
            ):
                found = each
    return found


class Player:
    """Calls functions with pickled arguments and says what came of it."""

    def __init__(self, guard):
        self.guard, self.values = guard, Values()

    def play(self, function, data):
        """[text of the arguments, kind, value's text, digest of value and changed arguments]"""
        try:
            arguments = pickle.loads(data)
        except Exception:
            return ["", "unreadable", "", ""]
        shown = {name: self.values.of(value) for name, value in arguments.items()}
        bare = function.__code__.co_varnames[: function.__code__.co_argcount]
        text = ", ".join(said if name in bare else f"{name}={said}"
                         for name, (said, _) in shown.items())  # fmt: skip
        kind, value = self.call(function, arguments)
        said, digest = self.values.of(value)
        after = [self.values.of(each)[1] for each in arguments.values()]
        before = [digest for _, digest in shown.values()]
        changes = ",".join(b if a != b else "" for a, b in zip(before, after))  # noqa: B905
        return [text, kind, said, f"{kind} {digest} {changes}"]

    def call(self, function, arguments):
        positional, named = laid_out(function.__code__, arguments)
        old = signal.signal(signal.SIGALRM, expired)
        sink = io.StringIO()
        try:
            with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
                self.guard.on = True
                try:
                    return finished(function(*positional, **named))
                finally:
                    self.guard.on = False
                    signal.setitimer(signal.ITIMER_REAL, 0)
        except Expired:
            return "late", None
        except EffectRefused as error:
            return "refused", error
        except RecursionError:
            return "raise", "RecursionError"
        except BaseException as error:
            return "raise", error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)


class Expired(BaseException):
    """A call ran too long."""


def expired(*_):
    raise Expired


def finished(value):
    if isinstance(value, types.CoroutineType):
        value.close()
        return "coroutine", None
    if type(value) is types.GeneratorType or type(value) in ITERATORS:
        items = []
        for item in value:
            items.append(item)
            if len(items) == ITEMS:
                break
        return "yield", items
    return "return", value


ITERATORS = (map, filter, zip, enumerate, reversed)


def laid_out(code, arguments):
    count = code.co_argcount
    names = code.co_varnames
    positional = [arguments[name] for name in names[:count] if name in arguments]
    named = {n: arguments[n] for n in names[count : count + code.co_kwonlyargcount]
             if n in arguments}  # fmt: skip
    at = count + code.co_kwonlyargcount
    if code.co_flags & 4:
        positional += arguments.get(names[at], ())
        at += 1
    if code.co_flags & 8:
        named.update(arguments.get(names[at], {}))
    return positional, named
