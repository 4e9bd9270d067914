"""From what a model wrote to a program: stop texts, code blocks, what the entry point needs.

The same steps as EvalPlus' `sanitize` (Liu et al., 2023), on Python's own syntax tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

LINES = 400  # of an answer that are looked through for a program


def until(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stop texts."""
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def between(text: str) -> str:
    """What stands between MBPP's marks [BEGIN] and [DONE], as far as they are there."""
    return text.rpartition("[BEGIN]")[2].partition("[DONE]")[0].strip() + "\n"


def fenced(text: str) -> str:
    """The code of an answer that began inside a code block: up to its end.

    An answer that closed the block at once and opened another gives the first one with text.
    """
    parts = re.split(r"^```[^\n]*$", text, flags=re.M)
    for part in parts:
        if part.strip():
            return part.strip("\n") + "\n"
    return ""


def blocks(text: str) -> list[str]:
    """The contents of all code blocks of an answer, an unclosed last one included."""
    found: list[str] = []
    inside: list[str] | None = None
    for line in [*text.split("\n"), "```"]:
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside = []
        else:
            found.append("\n".join(inside).strip("\n") + "\n")
            inside = None
    return [block for block in found if block.strip()]


def parses(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def program_lines(text: str) -> str:
    """The longest run of lines that is a program; the text itself where it is one."""
    if parses(text) is not None:
        return text
    lines = text.split("\n")[:LINES]
    best = ""
    for first in range(len(lines)):
        if len(best) >= len("\n".join(lines[first:])):
            break
        last = len(lines)
        while last > first:
            part = "\n".join(lines[first:last])
            if len(part) <= len(best):
                break
            try:
                ast.parse(part)
            except SyntaxError as error:
                # Nothing that contains the line of the error parses: go on before it.
                last = min(last - 1, max(first, first + (error.lineno or 1) - 1))
                continue
            except (ValueError, RecursionError, MemoryError):
                break
            best = part
    return best


def needed(text: str, entry_point: str) -> str:
    """Imports, and of the definitions those that the entry point reaches; all where it is not
    defined. What an answer does beside them (examples, prints) is left out."""
    code = program_lines(text)
    tree = parses(code)
    if tree is None or not code.strip():
        return text
    imports, definitions = [], dict[str, ast.stmt]()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions.setdefault(node.name, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        definitions.setdefault(name.id, node)
    if entry_point not in definitions:
        return code
    wanted, waiting = {entry_point}, [entry_point]
    while waiting:
        names = {n.id for n in ast.walk(definitions[waiting.pop()]) if isinstance(n, ast.Name)}
        new = (names & definitions.keys()) - wanted
        wanted |= new
        waiting += new
    keep = {id(definitions[name]) for name in wanted} | {id(node) for node in imports}
    parts = [_source(code, node) for node in tree.body if id(node) in keep]
    return "\n".join(parts) + "\n"


def _source(code: str, node: ast.stmt) -> str:
    """A statement's own lines, decorators included."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return "\n".join(code.split("\n")[first - 1 : node.end_lineno])
