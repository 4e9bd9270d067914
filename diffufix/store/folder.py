"""`.diffufix/` of a project: made on first use, kept out of git and of backups.

Only a folder that this user made on this machine is used (`diffufix.trusted`): one that came with a
clone may hold a log with triggers, undo records for other files, links that lead elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from diffufix import trusted
from diffufix.errors import StoreError

_FILES = {
    ".gitignore": "# Made by diffufix.\n*\n",
    "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# Made by diffufix.\n",
}
GRANTED = "DIFFUFIX_TRUST"  # the setting `trust`, for commands that have no settings


def private_path(root: Path) -> Path:
    """Where a project's own diffufix data lies; may not exist. Raises StoreError where what lies
    there is not ours to use."""
    folder = root / ".diffufix"
    if os.path.lexists(folder):
        _check(folder)
    return folder


def private_folder(root: Path) -> Path:
    """The same, made if it is missing. Raises OSError where that cannot be done, and StoreError."""
    folder = private_path(root)
    if not folder.is_dir():
        folder.mkdir()
        trusted.seal(folder)
    for name, text in _FILES.items():
        if not (folder / name).exists():
            try:
                (folder / name).write_text(text, encoding="utf-8")
            except OSError:
                (folder / name).unlink(missing_ok=True)  # an empty one would be taken for whole
                raise
    return folder


def trust(root: Path) -> None:
    """Use the project's folder from now on, whoever made it. Links are not used even so."""
    folder = root / ".diffufix"
    if folder.is_dir() and not folder.is_symlink() and not trusted.sealed(folder):
        trusted.seal(folder)


def _check(folder: Path) -> None:
    if folder.is_symlink():
        raise StoreError(
            f"{folder} is a link: diffufix keeps its data in the project itself.", "Remove it."
        )
    if not folder.is_dir():
        return
    for entry in _entries(folder):
        if entry.is_symlink():
            raise StoreError(f"{entry} is a link, and was not made by diffufix.", "Remove it.")
    if trusted.sealed(folder):
        return
    if os.environ.get(GRANTED, "").lower() in ("1", "true", "yes", "on") or _bare(folder):
        trusted.seal(folder)
        return
    raise StoreError(
        f"{folder} was not made by you on this machine: a log, models or undo records of others.",
        "`diffufix clean` removes it; DIFFUFIX_TRUST=1 or --trust takes it over as it is.",
    )


def _bare(folder: Path) -> bool:
    """Nothing in it but what is made anew in every folder."""
    return not set(os.listdir(folder)) - {*_FILES, trusted.SEAL}


def _entries(folder: Path) -> list[Path]:
    """What lies in the folder, and in the folders of models and undo records."""
    found = list(folder.iterdir())
    for name in ("models", "undo", "training"):
        below = folder / name
        if below.is_dir() and not below.is_symlink():
            found += list(below.iterdir())
    return found
