"""`.diffufix/` of a project: made on first use, kept out of git and of backups."""

from __future__ import annotations

from pathlib import Path

_FILES = {
    ".gitignore": "# Made by diffufix.\n*\n",
    "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# Made by diffufix.\n",
}


def private_path(root: Path) -> Path:
    """Where a project's own diffufix data lives; may not exist."""
    return root / ".diffufix"


def private_folder(root: Path) -> Path:
    """The same, made if it is missing. Raises OSError where that cannot be done."""
    folder = private_path(root)
    folder.mkdir(exist_ok=True)
    for name, text in _FILES.items():
        if not (folder / name).exists():
            try:
                (folder / name).write_text(text, encoding="utf-8")
            except OSError:
                (folder / name).unlink(missing_ok=True)  # an empty one would be taken for whole
                raise
    return folder
