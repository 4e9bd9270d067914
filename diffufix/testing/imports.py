"""The Python files of a project, and the names that each imports, read by pattern. Only reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>[.\w]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n;]*)"
    r"|import[ \t]+(?P<plain>[^\n;]*))",
    re.M,
)
_PLUGINS = re.compile(r"^pytest_plugins\s*=\s*([\[(][^\])]*[\])]|[^\n]*)", re.M)
_LONG_STRING = re.compile(r'"""(?:\\.|[^\\])*?"""|' + r"'''(?:\\.|[^\\])*?'''", re.S)
_WORD = re.compile(r"[.\w]+")
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "__pypackages__", "venv", "env"})
_LARGE = 1 << 20  # bytes of a file that nobody wrote by hand


def python_sources(root: Path) -> Iterator[tuple[str, str]]:
    """(relative path, text without its long strings) of every Python file."""
    for folder, folders, names in os.walk(root):
        folders[:] = [
            f
            for f in folders
            if not f.startswith(".")
            and f not in _PASSED_OVER
            and not os.path.exists(os.path.join(folder, f, "pyvenv.cfg"))
        ]
        for name in names:
            path = Path(folder, name)
            if name.endswith(".py"):
                try:
                    data = path.read_bytes() if path.stat().st_size <= _LARGE else b""
                except OSError:
                    continue
                text = data.decode("utf-8", "replace").replace("\r\n", "\n")
                yield path.relative_to(root).as_posix(), _LONG_STRING.sub('""', text)


def imported_names(text: str) -> Iterator[str]:
    """Dotted names in import statements; of `from a import b` both `a` and `a.b`."""
    for match in _IMPORT.finditer(text):
        if base := match["base"]:
            yield base
            for name in _WORD.findall(re.sub(r"#[^\n]*", "", match["names"])):
                yield base + name if base.endswith(".") else f"{base}.{name}"
        else:
            for part in (match["plain"] or "").split("#")[0].split(","):
                if word := _WORD.match(part.strip()):
                    yield word[0]
    for match in _PLUGINS.finditer(text):
        yield from re.findall(r"[\"']([.\w]+)[\"']", match[1])
