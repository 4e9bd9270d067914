"""The models that a project has trained, and which of them is in use.

    .diffufix/models/NAME/          a LoRA adapter in peft's layout, or a checkpoint in hub layout,
                                    with card.json (cards.py) and README.md
    .diffufix/models/adopted.json   base's fingerprint -> names in the order of their adoption

Touches that folder only. A model appears whole or not at all, and the pointer is replaced in one
step: a kill or a full disk leaves what was there before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from diffufix.errors import CheckpointError, StoreError, UsageError
from diffufix.registry.cards import CARD, Card, read_card, readme
from diffufix.store.folder import private_folder, private_path
from diffufix.trusted import read_regular

POINTER = "adopted.json"
_LOCK, _FRESH = ".lock", ".new-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("none", POINTER)


class Registry:
    """The models of one project; reading makes no folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = private_path(root) / "models"

    # -- reading -----------------------------------------------------------------------------------

    def names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(
            path.name for path in self.folder.iterdir() if path.is_dir() and valid(path.name)
        )

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and valid(name) and (self.folder / name).is_dir()

    def path(self, name: str) -> Path:
        """A model's folder. Raises UsageError where there is none of that name."""
        if name not in self:
            known = ", ".join(self.names()) or "none"
            raise UsageError(f"There is no trained model {name!r} here.", f"Known: {known}.")
        return self.folder / name

    def card(self, name: str) -> Card:
        """Raises UsageError (no such model) and CheckpointError (a damaged one)."""
        return read_card(self.path(name))

    def cards(self) -> list[Card]:
        """All that can be read, the oldest first."""
        found = []
        for name in self.names():
            with contextlib.suppress(CheckpointError):
                found.append(self.card(name))
        return sorted(found, key=lambda card: (card.made_at, card.name))

    def adopted(self, base: str) -> str | None:
        """The name in use on the checkpoint with this fingerprint. Raises StoreError."""
        return self.in_use().get(base)

    def in_use(self) -> dict[str, str]:
        """Base's fingerprint -> name, of all bases."""
        return {base: stack[-1] for base, stack in self._stacks().items() if stack}

    def free_name(self, stem: str) -> str:
        """`stem-1`, or the first number that is not taken."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:56] or "model"
        number = 1
        while (self.folder / f"{stem}-{number}").exists():
            number += 1
        return f"{stem}-{number}"

    # -- writing -----------------------------------------------------------------------------------

    def add(self, card: Card, write: Callable[[Path], object]) -> Path:
        """A new model under `card.name`; `write` puts its files into the empty folder it is given.

        Raises UsageError (a name that is taken or cannot be one) and StoreError (no room, no
        right to write).
        """
        self.check_free(card.name)
        with self._locked():
            fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self.folder))
            try:
                write(fresh)
                _write(fresh / CARD, json.dumps(card.document(), indent=2) + "\n")
                _write(fresh / "README.md", readme(card))
                _sync(fresh)
                fresh.chmod(0o755)
                fresh.rename(self.folder / card.name)
            except BaseException as error:
                shutil.rmtree(fresh, ignore_errors=True)
                if isinstance(error, OSError):
                    raise _unwritable(self.folder, error) from error
                raise
        return self.folder / card.name

    def check_free(self, name: str) -> None:
        """Raises UsageError for a name that is taken or cannot be one."""
        if not valid(name):
            raise UsageError(
                f"A trained model cannot be called {name!r}.",
                "Letters, digits, `.`, `_` and `-`, at most 64; and not `none`.",
            )
        if (self.folder / name).exists():
            raise UsageError(
                f"There is a trained model {name!r} already.",
                f"Give another name, or `diffufix models remove {name}` first.",
            )

    def update(self, card: Card) -> None:
        """Replace what is written about a model. Raises what `path` raises, and StoreError."""
        folder = self.path(card.name)
        with self._locked():
            _replace(folder / CARD, json.dumps(card.document(), indent=2) + "\n")
            _replace(folder / "README.md", readme(card))

    def adopt(self, name: str) -> str | None:
        """Use this one on its base from now on; returns the name that was in use before."""
        base = self.card(name).base
        with self._locked():
            stacks = self._stacks()
            stack = stacks.setdefault(base, [])
            before = stack[-1] if stack else None
            if before != name:
                stack.append(name)
                self._point(stacks)
        return before

    def rollback(self, base: str) -> str | None:
        """Back to what was in use before on this base; None: the base as it is.

        Raises UsageError where nothing is adopted.
        """
        with self._locked():
            stacks = self._stacks()
            stack = stacks.get(base)
            if not stack:
                raise UsageError(
                    "No trained model is in use: there is nothing to go back from.",
                    "`diffufix models list` shows what there is.",
                )
            stack.pop()
            self._point(stacks)
            return stack[-1] if stack else None

    def remove(self, name: str) -> None:
        """Delete a model. Raises UsageError for one that is in use."""
        folder = self.path(name)
        if name in self.in_use().values():
            raise UsageError(
                f"{name} is in use.", "`diffufix models rollback` first, or adopt another one."
            )
        with self._locked():
            stacks = self._stacks()
            self._point({base: [n for n in s if n != name] for base, s in stacks.items()})
            gone = self.folder / f"{_FRESH}{name}"
            try:
                folder.rename(gone)  # first out of sight, so that no half of it is ever seen
                shutil.rmtree(gone)
            except OSError as error:
                raise _unwritable(folder, error) from error

    # -- the pointer -------------------------------------------------------------------------------

    def _stacks(self) -> dict[str, list[str]]:
        """The names adopted on each base, without those that follow themselves."""
        path = self.folder / POINTER
        try:
            document = json.loads(read_regular(path))
            stacks = {str(base): [str(n) for n in s] for base, s in document["adopted"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"{path} cannot be read: {error}",
                "Remove the file: the models stay, and none is in use.",
            ) from error
        return {base: _settled(stack) for base, stack in stacks.items()}

    def _point(self, stacks: dict[str, list[str]]) -> None:
        document: dict[str, Any] = {
            "schema_version": 1,
            "adopted": {base: _settled(stack) for base, stack in stacks.items() if stack},
        }
        _replace(self.folder / POINTER, json.dumps(document, indent=2) + "\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, of all processes; what killed ones left half-made goes."""
        try:
            private_folder(self.root)
            self.folder.mkdir(exist_ok=True)
            lock = _plain(self.folder / _LOCK)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{_FRESH}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield


def _plain(path: Path) -> IO[str]:
    """For writing; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o644), "w")


def valid(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _RESERVED


def _settled(stack: list[str]) -> list[str]:
    return [name for number, name in enumerate(stack) if number == 0 or stack[number - 1] != name]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Write beside `path`, then move it there. Raises StoreError."""
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise _unwritable(path, error) from error


def _sync(folder: Path) -> None:
    """The folder's files are on the disk when this returns."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror or error}.",
        "What was there before is intact. Make room, or check the rights.",
    )
