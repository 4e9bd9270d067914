"""`Observer`: versions of a project's files under their tests, in one sandbox.

Touches that sandbox alone: puts the recorder's files there, runs one process for a batch of
versions, reads what it wrote. The tree in the sandbox is not changed: each version is a forked
process whose imports find the version's texts. What is read back was written beside code under
test: it is evidence, never a verdict.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from diffufix.errors import DiffufixError, TooLate
from diffufix.sandbox import Sandbox
from diffufix.source.functions import functions as functions_of
from diffufix.source.syntax import parse
from diffufix.testing.environment import enclosed_environment, moved_args
from diffufix.trust.types import Call, Play, Recording

ORIGINAL, AGAIN = "original", "again"
MADE_UP = 150  # inputs beside the recorded ones
PLAY_SECONDS = 1.5  # for all inputs of one version, and for making them
TEST_SECONDS = 5.0  # a phase of a test
FUNCTIONS = 60  # observed at most, of a whole file
_LIMIT = 20.0  # seconds of processor time that a version has at least
_WAIT = 3.0  # times that by the clock: the machine may be busy


@dataclass(frozen=True)
class Watched:
    """A function to observe, or with `<module>` all that are defined in a file."""

    path: str
    qualname: str
    first_line: int


@dataclass(frozen=True)
class Scene:
    """What is run: pytest's arguments, the tests (in order), the functions, the original texts."""

    python: str
    args: tuple[str, ...]
    root: Any  # Path
    tests: tuple[str, ...]
    watched: tuple[Watched, ...]
    texts: Mapping[str, str]
    seconds: float = 0.0  # that the tests take, start of pytest included
    expectations: tuple[str, ...] = ()
    seed: int = 0
    made_up: int = MADE_UP
    play_seconds: float = PLAY_SECONDS
    env: Mapping[str, str] = field(default_factory=dict)  # added to the sandbox's own
    folder: str = ""  # where in the tree pytest is started


class Observer:
    """Records the original once and candidates as they come. Used by one thread."""

    def __init__(self, factory: Callable[[], Sandbox], scene: Scene) -> None:
        self._factory, self.scene = factory, scene
        self._sandbox: Sandbox | None = None
        self._inputs: list[Any] | None = None
        self._known: dict[str, Recording] = {}
        self.problem = ""

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            sandbox.close()

    @property
    def began(self) -> bool:
        """Whether the original is recorded."""
        return ORIGINAL in self._known

    @property
    def original(self) -> Recording:
        """The files as they are; calls that come out differently in a second run are left out."""
        self.observe([])
        return self._known.get(ORIGINAL, Recording(problem=self.problem or "not recorded"))

    @property
    def recorded(self) -> tuple[bool, ...]:
        """By input: was it recorded in a test, or made up?"""
        return tuple(bool(own) for _, _, own in self._inputs or ())

    @property
    def names(self) -> tuple[str, ...]:
        """By input: the function that it is for."""
        return tuple(str(name) for name, _, _ in self._inputs or ())

    def observe(self, candidates: Sequence[Mapping[str, str]]) -> list[Recording]:
        """The recordings of these files, in their order; never raises: `problem` says why not."""
        names = [_name(files) for files in candidates]
        new = {n: files for n, files in zip(names, candidates, strict=True) if n not in self._known}
        first = ORIGINAL not in self._known
        if (new or first) and not self.problem:
            try:
                self._run(new, first)
            except DiffufixError as error:
                self.problem = error.message
                self.close()
            except (OSError, ValueError, KeyError, TypeError, TooLate) as error:
                self.problem = f"{type(error).__name__}: {error}"
        missing = Recording(problem=self.problem or "not recorded")
        return [self._known.get(name, missing) for name in names]

    def _run(self, new: Mapping[str, Mapping[str, str]], first: bool) -> None:
        sandbox, scene = self._sandbox, self.scene
        if sandbox is None:
            sandbox = self._sandbox = self._factory()
            sandbox.start()
        place = f"{sandbox.private}/trust"
        out = f"{sandbox.temporary}/diffufix-trust"
        files = {f"{place}/{name}": data for name, data in _inside().items()}
        versions: list[tuple[str, dict[str, str]]] = []
        if first:
            versions = [(ORIGINAL, {}), (AGAIN, {})]
        versions += [(name, dict(files)) for name, files in new.items()]
        limit = _LIMIT + 3 * scene.seconds + 2 * scene.play_seconds
        told = {
            "root": str(scene.root),
            "tree": sandbox.tree,
            "out": out,
            "ids": list(scene.tests),
            "args": moved_args(scene.args, scene.root, _path(sandbox.tree)),
            "test_seconds": TEST_SECONDS,
            "limit": limit,
            "wait": _WAIT * limit,
            "inputs": self._inputs,
            "made_up": scene.made_up,
            "play_seconds": scene.play_seconds,
            "seed": scene.seed,
            "expectations": list(scene.expectations),
            "modules": sorted({each.path for each in scene.watched}),
            "versions": [self._version(name, files) for name, files in versions],
        }
        files[f"{place}/settings.json"] = json.dumps(told).encode()
        sandbox.write_files(files)
        script = f'mkdir -p "$1" && exec "$2" -B "{place}/_diffufix_versions.py" "$3"'
        ran = sandbox.exec(
            ["/bin/sh", "-c", script, "sh", out, scene.python, f"{place}/settings.json"],
            env=enclosed_environment(
                scene.root, sandbox.tree, extra=scene.env, folder=scene.folder
            ),
            cwd=f"{sandbox.tree}/{scene.folder}".rstrip("/"),
            timeout=(_WAIT * limit + 2.0) * max(1, len(versions)),
        )
        if first:
            self._original(sandbox, out, ran.stderr.decode(errors="replace"))
        for name, edited in new.items():
            self._known[name] = self._read(sandbox, out, name, edited)

    def _version(self, name: str, files: Mapping[str, str]) -> dict[str, Any]:
        role = "record" if name == ORIGINAL else "play"
        found = places({**self.scene.texts, **files}, self.scene.watched)
        return {"name": name, "files": dict(files), "role": role, "functions": found}

    def _original(self, sandbox: Sandbox, out: str, said: str) -> None:
        first = self._read(sandbox, out, ORIGINAL, {})
        again = self._read(sandbox, out, AGAIN, {})
        if first.problem:
            self.problem = f"{first.problem} {said[-300:]}".strip()
            return
        self._inputs = _load(sandbox, f"{out}/inputs.json") or []
        steady = {(*call.key, call.outcome) for call in again.calls}
        calls = tuple(c for c in first.calls if (*c.key, c.outcome) in steady)
        plays = tuple(
            play if play and other and play.digest == other.digest else None
            for play, other in zip(first.plays, again.plays, strict=False)
        )
        self._known[ORIGINAL] = Recording(first.outcomes, calls, plays, first.expected)

    def _read(self, sandbox: Sandbox, out: str, name: str, edited: Mapping[str, str]) -> Recording:
        tests = _load(sandbox, f"{out}/{name}.tests.json")
        if not isinstance(tests, dict):
            problem = _load(sandbox, f"{out}/{name}.problem.json")
            return Recording(problem=str(problem or "the run of the tests did not end"))
        if not set(edited) <= set(tests["served"]):
            return Recording(problem="the edited file is not imported by the tests' process")
        plays = _load(sandbox, f"{out}/{name}.plays.json") or {}
        return Recording(
            dict(tests["outcomes"]),
            tuple(_call(each) for each in tests["calls"]),
            tuple(p and Play(*p) for p in plays.get("plays", ())),
            tuple(map(str, plays.get("expected", ()))),
        )


def places(texts: Mapping[str, str], watched: Sequence[Watched]) -> list[tuple[str, int, str]]:
    """(path, first line, qualified name) of what is watched, as it stands in these texts."""
    found: list[tuple[str, int, str]] = []
    for path in sorted({each.path for each in watched}):
        try:
            known = functions_of(parse(texts[path]))
        except (SyntaxError, ValueError, KeyError):
            continue
        wanted = [each for each in watched if each.path == path]
        if any(each.qualname == "<module>" for each in wanted):
            found += [(path, _first_line(node), name) for name, node in known[:FUNCTIONS]]
        for each in wanted:
            nodes = [node for name, node in known if name == each.qualname]
            if nodes:
                node = min(nodes, key=lambda n: abs(_first_line(n) - each.first_line))
                found.append((path, _first_line(node), each.qualname))
    return list(dict.fromkeys(found))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """As code objects have it: of the first decorator."""
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])


def _call(told: Mapping[str, Any]) -> Call:
    arguments = [(str(n), str(text)) for n, text, _ in told["arguments"]]
    given = _digest(*(digest for _, _, digest in told["arguments"]))
    changed = [f"{n}={digest}" for n, _, digest in told["changed"]]
    text, digest = told["value"]
    return Call(
        told["test"], told["function"], tuple(arguments), given, told["kind"], text,
        _digest(told["kind"], digest, *changed), tuple(told["lines"]),
    )  # fmt: skip


def _load(sandbox: Sandbox, path: str) -> Any:
    try:
        return json.loads(sandbox.read_file(path))
    except (FileNotFoundError, ValueError):
        return None


def _inside() -> dict[str, bytes]:
    """The recorder's files, and those of the reporter that it uses."""
    found: dict[str, bytes] = {}
    for package in ("diffufix.trust.inside", "diffufix.testing.inside"):
        for entry in resources.files(package).iterdir():
            if entry.name.startswith("_diffufix") and entry.name.endswith(".py"):
                found[entry.name] = entry.read_bytes()
    return found


def _name(files: Mapping[str, str]) -> str:
    return _digest(*(part for path in sorted(files) for part in (path, files[path])))


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(os.path.normpath(text))
