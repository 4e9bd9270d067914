"""docs/glossary.md says what diffufix/types.py says; DIFFUFIX_UPDATE_GLOSSARY=1 writes it anew."""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
BEGIN = "<!-- from diffufix/types.py -->\n"


def nouns() -> list[tuple[str, str]]:
    """Every public class of types.py with the first paragraph of its docstring."""
    tree = ast.parse((ROOT / "diffufix" / "types.py").read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found = []
    for node in classes:
        text = ast.get_docstring(node)
        assert text, f"{node.name} says nothing of itself"
        found.append((node.name, " ".join(text.split("\n\n")[0].split())))
    return found


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def table() -> str:
    rows = [
        f"| `{name}` | {text.replace('|', chr(92) + '|')} |\n" for name, text in sorted(nouns())
    ]
    return BEGIN + "| type | meaning |\n|---|---|\n" + "".join(rows)


def test_the_glossary_is_that_of_the_types() -> None:
    text = GLOSSARY.read_text("utf-8")
    head = text.partition(BEGIN)[0]
    if os.environ.get("DIFFUFIX_UPDATE_GLOSSARY"):
        GLOSSARY.write_text(head + table(), "utf-8")
        return
    assert text == head + table()


def test_one_word_stands_for_one_thing() -> None:
    """No two classes of the product are called alike."""
    named = defaultdict(list)
    for folder in ("diffufix", "train"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.M):
                named[name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}
