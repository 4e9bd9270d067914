"""The corpus: functions of installed, permissively licensed packages and of the standard library.

    python -m diffufix.train.corpus --out corpus.jsonl.gz [--site DIR] [--packages a,b,c]

Every line is one function: {"source", "path", "package", "licence"}. Exact duplicates (after
removing comments and blank space) go, as do tests, generated and vendored files, and every function
that shares its name with one of the public benchmarks (contaminated.txt): those are for measuring.
Deterministic: packages, files and functions come in sorted order. Writes --out and a report beside
it; touches nothing else.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import importlib.metadata
import json
import re
import sysconfig
import textwrap
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffufix.masking.spans import Text, docstring_of, functions

#: Licences whose terms allow training and redistribution with attribution.
PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|Unlicense|HPND|0BSD|Zlib|CC0)\b", re.I
)
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|EUPL|CeCILL)", re.I)
SKIPPED = re.compile(
    r"(^|/)(tests?|testing|_vendor|vendored|_vendored|externals?|site-packages|lib2to3/pgen2|idlelib|turtledemo"
    r"|test_[^/]*|[^/]*_tests?|conftest|locale|locales)(\.py|/)|_pb2\.py$"
)
BENCHMARKS = Path(__file__).with_name("contaminated.txt")


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """The licence a distribution declares, or an empty string."""
    fields = distribution.metadata.get_all
    declared = "".join(fields("License-Expression") or [])
    classifiers = [
        c.split("::")[-1].strip() for c in fields("Classifier") or [] if c.startswith("License ::")
    ]
    text = "".join(fields("License") or []).strip().splitlines()
    return declared or "; ".join(classifiers) or (text[0][:60] if text else "")


def sources(site: Path | None, names: set[str] | None) -> Iterator[tuple[str, str, Path, str]]:
    """(package, licence, file, path inside the package) of every Python source to read."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        yield "python", "PSF-2.0", file, file.relative_to(library).as_posix()
    if site is None:
        return
    for distribution in sorted(
        importlib.metadata.distributions(path=[str(site)]), key=lambda d: d.metadata["Name"].lower()
    ):
        name, licence = distribution.metadata["Name"].lower(), licence_of(distribution)
        if names is not None and name not in names:
            continue
        if not PERMISSIVE.search(licence) or COPYLEFT.search(licence):
            continue
        for entry in sorted(distribution.files or [], key=str):
            if entry.suffix == ".py" and ".." not in entry.parts:
                yield name, licence, Path(str(distribution.locate_file(entry))), entry.as_posix()


def functions_of(source: str) -> Iterator[tuple[str, str]]:
    """(name, source) of every outermost function and method worth learning from, not dedented."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    text = Text(source)
    for _, node in functions(tree):
        start, end = text.span(node)
        start = source.rfind("\n", 0, start) + 1
        body = source[start:end]
        lines = body.count("\n") + 1
        statements = len(node.body) - bool(docstring_of(node))
        if (
            2 <= lines <= 120
            and statements
            and max(map(len, body.split("\n"))) <= 160
            and body.isascii()
        ):
            yield node.name, body


def fingerprint(source: str) -> str:
    """A hash of the code without comments, docstring and layout, for exact deduplication."""
    tree = ast.parse(textwrap.dedent(source))
    node = tree.body[0]
    if docstring_of(node):
        node.body = node.body[1:]  # type: ignore[attr-defined]
    return hashlib.blake2b(ast.dump(node).encode(), digest_size=12).hexdigest()


def build(out: Path, site: Path | None, names: set[str] | None) -> dict[str, Any]:
    """Write the corpus; returns the report."""
    forbidden = {
        line.strip() for line in BENCHMARKS.read_text().splitlines() if line and line[0] != "#"
    }
    seen: set[str] = set()
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    licences: dict[str, str] = {}
    with gzip.open(out, "wt", encoding="utf-8") as file:
        for package, licence, path, relative in sources(site, names):
            if SKIPPED.search(relative):
                continue
            try:
                with tokenize.open(path) as handle:
                    source = handle.read()
                found = list(functions_of(source))
            except (SyntaxError, UnicodeDecodeError, OSError, ValueError, RecursionError):
                count["unreadable files"] += 1
                continue
            for name, function in found:
                if name in forbidden:
                    count["shares a benchmark's name"] += 1
                    continue
                try:
                    key = fingerprint(function)
                except (SyntaxError, RecursionError):
                    continue
                if key in seen:
                    count["duplicates"] += 1
                    continue
                seen.add(key)
                count["functions"] += 1
                size[package] += len(function)
                licences[package] = licence
                row = {"source": function, "path": relative, "package": package, "licence": licence}
                file.write(json.dumps(row) + "\n")
    packages = {
        name: {"licence": licences[name], "characters": n} for name, n in size.most_common()
    }
    return {"counts": dict(count), "characters": sum(size.values()), "packages": packages}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--site", type=Path, help="a site-packages folder; default: the standard library alone"
    )
    parser.add_argument(
        "--packages", help="comma-separated distribution names; default: all permissive ones"
    )
    args = parser.parse_args()
    names = set(args.packages.lower().split(",")) if args.packages else None
    report = build(args.out, args.site, names)
    args.out.with_suffix(".report.json").write_text(json.dumps(report, indent=1) + "\n")
    functions, characters = report["counts"].get("functions", 0), report["characters"]
    print(json.dumps({"functions": functions, "characters": characters}))


if __name__ == "__main__":
    main()
