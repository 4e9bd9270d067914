"""Files that a message names, and code blocks that are kept. Reads and writes the user's files."""

from __future__ import annotations

import re
from pathlib import Path

from diffufix.errors import UsageError

#: `@shop/dates.py` in a message.
_NAMED = re.compile(r"(?<![\w@])@([\w./-]*\w)")
_SUFFIX = re.compile(r"\.(py|pyi|toml|cfg|ini|md|rst|txt|json|ya?ml|patch|diff)")
LARGEST = 200_000  # bytes


def named(text: str, folder: Path) -> list[str]:
    """The files that a message names with an @: what is one, and what looks like one. Decorators
    in code that was pasted do not."""
    return [
        name for name in _NAMED.findall(text)
        if "/" in name or _SUFFIX.fullmatch(Path(name).suffix) or (folder / name).is_file()
    ]  # fmt: skip


def attached(names: list[str], folder: Path) -> dict[str, str]:
    """Their texts. Raises UsageError for what is no text file."""
    found = {}
    for name in dict.fromkeys(names):
        path = folder / name
        if not path.is_file():
            near = sorted(p.name for p in folder.rglob(f"{Path(name).stem}*.py"))[:1]
            hint = f"Did you mean {near[0]}?" if near else "Name it as seen from this folder."
            raise UsageError(f"There is no file {name}.", hint)
        if path.stat().st_size > LARGEST:
            raise UsageError(
                f"{name} is too large to be attached.", "Attach the part that matters."
            )
        try:
            found[name] = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} is no text: {error.reason}.") from error
    return found


def save(text: str, path: Path, *, force: bool = False) -> None:
    """Write a block. Raises UsageError where something is there already, or that fails."""
    if path.exists() and not force:
        raise UsageError(
            f"{path} is there already.", "Give another name; `!` behind it overwrites."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
