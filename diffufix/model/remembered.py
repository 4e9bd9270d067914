"""What the user said to downloads, and which revision of a checkpoint was fetched. Text only.

    ~/.config/diffufix/models.json      hub id -> true or false: the answer to its download
    ~/.config/diffufix/revisions.json   hub id -> the commit that is used from then on

`XDG_CONFIG_HOME` is followed. Where the folder is read-only nothing is kept, silently.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

_COMMIT = re.compile(r"[0-9a-f]{40}")


def answered(name: str) -> bool | None:
    """What the user said to this download; None: not asked yet."""
    answer = _read("models.json").get(name)
    return answer if isinstance(answer, bool) else None


def keep_answer(name: str, answer: bool) -> None:
    _write("models.json", name, answer)


def pinned(name: str) -> str | None:
    """The commit of a checkpoint that is used; None: it was never fetched."""
    commit = _read("revisions.json").get(name)
    return commit if isinstance(commit, str) and is_commit(commit) else None


def pin(name: str, commit: str) -> None:
    """Use this commit from now on, whatever the repository's branches say later."""
    if pinned(name) != commit:
        _write("revisions.json", name, commit)


def is_commit(text: str) -> bool:
    return _COMMIT.fullmatch(text) is not None


def _path(file: str) -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "diffufix" / file


def _read(file: str) -> dict[str, Any]:
    try:
        values = json.loads(_path(file).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write(file: str, name: str, value: bool | str) -> None:
    path = _path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{file}.{os.getpid()}")
        fresh.write_text(json.dumps({**_read(file), name: value}, indent=1) + "\n", "utf-8")
        fresh.replace(path)
    except OSError:
        pass
