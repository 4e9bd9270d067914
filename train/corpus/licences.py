"""Licences of projects and of single files, and whether they are permissive.

A declared SPDX expression wins, then classifiers, then a free-text field, then licence files. What
none of these settles is no licence at all, and an unknown licence is not permissive. A file's own
header (an SPDX line, or the wording of a known licence) wins over its project. Pure but for
`of_folder`, which reads a project's metadata and licence files. Identifiers: https://spdx.org/licenses.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: Terms that allow training and redistribution and ask at most for attribution.
PERMISSIVE = frozenset(
    {"MIT", "MIT-0", "MIT-CMU", "X11", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD"}
    | {"BSD-3-Clause-Clear", "BSD-4-Clause", "0BSD", "Apache-2.0", "PSF-2.0", "Python-2.0"}
    | {"Python-2.0.1", "ISC", "Unlicense", "HPND", "Zlib", "CC0-1.0", "ZPL-2.1", "AFL-3.0"}
    | {"BSL-1.0", "NCSA", "PostgreSQL", "WTFPL", "Public-Domain", "CNRI-Python", "BlueOak-1.0.0"}
)

#: Free text to identifiers; the first that matches wins, so copyleft and longer names come first.
_NAMED = [
    (re.compile(pattern, re.I), spdx)
    for pattern, spdx in [
        (r"\bAGPL|affero", "AGPL"),
        (r"\bLGPL|lesser general public|library general public", "LGPL"),
        (r"\bGPL|general public licen[sc]e", "GPL"),
        (r"\bMPL\b|mozilla public", "MPL-2.0"),
        (r"\bEPL\b|eclipse public", "EPL"),
        (r"\bEUPL|european union public", "EUPL"),
        (r"cecill", "CECILL"),
        (r"creative commons.*(share|non-?commercial)|\bCC[- ]BY[- ](NC|SA)", "CC-BY-SA"),
        (r"proprietary|all rights reserved\W*$|commercial licen[sc]e", "Proprietary"),
        (r"apache", "Apache-2.0"),
        (r"(3|three|new|modified|revised)[- ](clause)?.*\bBSD|\bBSD[- ](3|three)", "BSD-3-Clause"),
        (r"(2|two|simplified)[- ](clause)?.*\bBSD|\bBSD[- ](2|two)", "BSD-2-Clause"),
        (r"\b0BSD\b|zero[- ]clause", "0BSD"),
        (r"\bBSD\b", "BSD"),
        (r"\bMIT[- ]CMU\b", "MIT-CMU"),
        (r"\bMIT\b|expat", "MIT"),
        (r"\bPSF|python software foundation", "PSF-2.0"),
        (r"\bISC\b|ISCL", "ISC"),
        (r"unlicense", "Unlicense"),
        (r"\bHPND\b|historical permission notice", "HPND"),
        (r"\bzlib\b", "Zlib"),
        (r"\bCC0|creative commons zero", "CC0-1.0"),
        (r"zope public|\bZPL", "ZPL-2.1"),
        (r"academic free", "AFL-3.0"),
        (r"public domain", "Public-Domain"),
    ]
]

#: Wording that only one licence has, with spaces and line ends as single spaces.
_WORDING = [
    (re.compile(pattern, re.I), spdx)
    for pattern, spdx in [
        (r"gnu affero general public license", "AGPL"),
        (r"gnu (lesser|library) general public license", "LGPL"),
        (r"gnu general public license", "GPL"),
        (r"mozilla public license", "MPL-2.0"),
        (r"eclipse public license", "EPL"),
        (r"apache license,? version 2\.0", "Apache-2.0"),
        (r"python software foundation license", "PSF-2.0"),
        (r"redistributions? of source code must retain.*(neither|nor) the names?", "BSD-3-Clause"),
        (r"redistributions? of source code must retain", "BSD-2-Clause"),
        (r"permission is hereby granted, free of charge, to any person obtaining", "MIT"),
        (r"permission to use, copy, modify,? (and/or|and) distribute this software", "ISC"),
        (r"free and unencumbered software released into the public domain", "Unlicense"),
        (r"provided .as-is., without any express or implied warranty", "Zlib"),
        (r"cc0 1\.0 universal", "CC0-1.0"),
    ]
]
_SPDX_LINE = re.compile(r"SPDX-License-Identifier:\s*([^\n*]+)")
_LICENCE_FILE = re.compile(r"^(licen[sc]e|copying|unlicense)([.\-_].*)?$", re.I)
_HEADER = 4000  # characters of a file in which it may state its licence


def is_permissive(expression: str) -> bool:
    """Whether an SPDX expression leaves a permissive choice: all of AND, any of OR.

    False for anything that is no expression of known identifiers.
    """
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    if not tokens:
        return False
    value, rest = _either(tokens)
    return value and not rest


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    value, tokens = _both(tokens)
    while tokens and tokens[0].upper() == "OR":
        right, tokens = _both(tokens[1:])
        value = value or right
    return value, tokens


def _both(tokens: list[str]) -> tuple[bool, list[str]]:
    value, tokens = _one(tokens)
    while tokens and tokens[0].upper() == "AND":
        right, tokens = _one(tokens[1:])
        value = value and right
    return value, tokens


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    if tokens and tokens[0] == "(":
        value, tokens = _either(tokens[1:])
        return (value, tokens[1:]) if tokens[:1] == [")"] else (False, ["unbalanced"])
    if not tokens or tokens[0].upper() in {"AND", "OR", "WITH", ")"}:
        return False, ["misplaced"]
    name, rest = tokens[0], tokens[1:]
    if rest and rest[0].upper() == "WITH":
        rest = rest[2:]
    known = {spdx.lower() for spdx in PERMISSIVE}
    return name.lower() in known, rest


def named(text: str) -> str:
    """The identifier that a name such as "BSD License" or "Apache 2" means; "" if none."""
    for pattern, spdx in _NAMED:
        if pattern.search(text):
            return spdx
    return ""


def worded(text: str) -> str:
    """The licences whose wording a text holds, joined by AND; "" if none."""
    flat = re.sub(r"[\s#*]+", " ", text)
    found = [spdx for pattern, spdx in _WORDING if pattern.search(flat)]
    if "BSD-3-Clause" in found:
        found.remove("BSD-2-Clause")
    if "AGPL" in found or "LGPL" in found:  # both quote the GPL
        found = [spdx for spdx in found if spdx != "GPL"]
    return " AND ".join(dict.fromkeys(found))


def declared(expression: str, classifiers: Iterable[str], text: str) -> str:
    """The licence that metadata states: expression, else classifiers (all of them), else text."""
    if expression.strip():
        return expression.strip()
    names = [c.split("::")[-1].strip() for c in classifiers if c.startswith("License ::")]
    found = dict.fromkeys(named(name) or "Unknown" for name in names if name != "OSI Approved")
    if found:
        return " AND ".join(found)
    text = text.strip()
    if not text:
        return ""
    if len(text) > 200:  # a whole licence in the field
        return worded(text)
    spdx = re.fullmatch(r"[\w.+-]+(\s+(AND|OR|WITH)\s+[\w.+-]+)*", text)
    return text if spdx and is_permissive(text) else named(text)


def of_distribution(distribution: importlib.metadata.Distribution) -> str:
    """The licence of an installed distribution; "" if it states none and ships none."""
    fields = distribution.metadata.get_all
    found = declared(
        "".join(fields("License-Expression") or []),
        fields("Classifier") or [],
        "".join(fields("License") or []),
    )
    if found:
        return found
    texts = [
        Path(str(distribution.locate_file(entry)))
        for entry in sorted(distribution.files or [], key=str)
        if _LICENCE_FILE.match(entry.name)
    ]
    return _of_files(texts)


def of_folder(folder: Path) -> str:
    """The licence of a source tree: pyproject.toml, setup.cfg, else its licence files."""
    project: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
    licence: Any = project.get("license", "")
    table = licence if isinstance(licence, dict) else {}
    text = str(table.get("text", "")) or _setup_cfg(folder)
    found = declared("" if table else str(licence), project.get("classifiers", []), text)
    if found:
        return found
    names = sorted(path for path in folder.iterdir() if _LICENCE_FILE.match(path.name))
    return _of_files(names)


def of_header(source: str) -> str:
    """The licence a file states for itself near its top; "" if it leaves that to its project."""
    head = source[:_HEADER]
    line = _SPDX_LINE.search(head)
    if line:
        return line.group(1).strip().strip("\"'")
    comments = "\n".join(x for x in head.splitlines() if x.lstrip().startswith("#"))
    opening = re.match(r'(?:\s*#[^\n]*\n|\s*\n)*\s*[rR]?("""|\'\'\')(.*?)\1', head, re.DOTALL)
    return worded(comments + "\n" + (opening.group(2) if opening else ""))


def _setup_cfg(folder: Path) -> str:
    try:
        text = (folder / "setup.cfg").read_text("utf-8")
    except (OSError, ValueError):
        return ""
    line = re.search(r"^license\s*=\s*(.+)$", text, re.M)
    return line.group(1) if line else ""


def _of_files(paths: Iterable[Path]) -> str:
    found = []
    for path in paths:
        try:
            found.append(worded(path.read_text("utf-8", errors="replace")))
        except OSError:
            continue
    return " AND ".join(dict.fromkeys(spdx for spdx in found if spdx))
