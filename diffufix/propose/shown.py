"""What a prompt shows of a failing test and of the code around a hole, cut to what fits. Text only.

A prompt is cut in its middle parts alone: lines of the code far from the hole, of the test far
from where it failed, of the traceback far from the assertion. What is asked, the signature, the
lines next to the hole and the marks of a conversation stay. Repair, generate and self-play show
failures through this file, so that a model is trained on the prompts that it is used with.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from diffufix.model.family import Family
from diffufix.propose.prompting import guarded, render, spoken
from diffufix.source.spans import Text
from diffufix.source.syntax import parse

#: Lines of code around a hole, of the test and of the failure's report: the most of each that is
#: shown, then less and less, until the prompt fits.
LEVELS = (
    (72, 40, 30), (56, 40, 24), (44, 32, 20), (34, 24, 16), (26, 20, 12), (20, 14, 10),
    (14, 10, 8), (9, 8, 6), (6, 6, 5), (3, 4, 4), (1, 3, 3),
)  # fmt: skip
SETUP = frozenset({"setUp", "setup_method", "setUpClass", "setup_class"})
SIGNATURE = 4  # lines at the start of the code that stay
WIDE, NARROW = 400, 160  # characters of a line that is only shown, at the first level and the last
_Node = ast.FunctionDef | ast.AsyncFunctionDef


def own_test(source: str, test: str) -> str:
    """The text of one test: fixtures of its file that it asks for, what sets its class up, its own
    lines.

    `test` is its pytest id, `source` its file's text. The whole text where there is no such
    function (a doctest, a test that is made at run time); "" where there is no text.
    """
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return source
    names = test.partition("[")[0].split("::")[1:]
    found = _find(tree.body, names) or _anywhere(tree, names[-1:])
    if found is None:
        return source
    owner, node = found
    lines = [line.rstrip("\r\n") for line in Text(source).lines]
    asked = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
    home = [*tree.body, *(owner.body if owner else ())]
    parts = [
        _text(lines, each) for each in home
        if isinstance(each, _Node)
        and (each.name in SETUP or (each.name in asked and _is_fixture(each)))
    ]  # fmt: skip
    head = [lines[owner.lineno - 1]] if owner else []
    return "\n\n".join([*parts, "\n".join([*head, _text(lines, node)])])


def _find(
    body: Sequence[ast.stmt], names: Sequence[str]
) -> tuple[ast.ClassDef | None, _Node] | None:
    owner: ast.ClassDef | None = None
    for name in names:
        for each in body:
            if isinstance(each, ast.ClassDef) and each.name == name:
                owner, body = each, each.body
                break
            if isinstance(each, _Node) and each.name == name:
                return owner, each
        else:
            return None
    return None


def _anywhere(tree: ast.Module, names: Sequence[str]) -> tuple[ast.ClassDef | None, _Node] | None:
    """By its bare name: a test that its class inherits, or that stands under a condition."""
    for parent in ast.walk(tree):
        for each in ast.iter_child_nodes(parent):
            if isinstance(each, _Node) and [each.name] == list(names):
                return (parent if isinstance(parent, ast.ClassDef) else None), each
    return None


def _is_fixture(node: _Node) -> bool:
    return any("fixture" in ast.unparse(each) for each in node.decorator_list)


def _text(lines: Sequence[str], node: _Node) -> str:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return "\n".join(lines[first - 1 : node.end_lineno])


def failing_line(report: str) -> str:
    """The line of the test or of the code that a traceback of pytest ends at, bare; "" without."""
    marked = [line[1:].strip() for line in report.splitlines() if line.startswith(">")]
    return marked[-1] if marked else ""


def cut_report(report: str, message: str, limit: int) -> str:
    """At most `limit` lines of a traceback: the assertion and what it said, then what leads there.

    The message alone where there is no traceback; it is put before one that does not tell it.
    """
    lines = report.strip("\n").splitlines()
    if not lines:
        return "\n".join(message.strip("\n").splitlines()[:limit])
    first = message.strip().splitlines()[0] if message.strip() else ""
    told = [first] if first and first not in report else []
    if len(told) + len(lines) <= limit:
        return "\n".join([*told, *lines])
    room = limit - len(told) - 1
    marked = [i for i, line in enumerate(lines) if line.startswith(">")]
    at = marked[-1] if marked else max(0, len(lines) - room)
    core = lines[at:]
    if len(core) > room:
        kept = [*core[: max(1, room - 1)], "...", *(core[-1:] if room > 1 else ())]
    else:
        before = lines[max(0, at - (room - len(core))) : at]
        kept = [*(["..."] if at > len(before) else ()), *before, *core]
    return "\n".join([*told, *kept])


def cut_test(text: str, limit: int, near: str = "") -> str:
    """At most about `limit` lines of a test: its first ones, and those up to and around `near`."""
    lines = text.strip("\n").splitlines()
    if len(lines) <= limit:
        return "\n".join(lines)
    head = min(SIGNATURE, max(1, limit // 4))
    room = max(1, limit - head)
    found = [i for i, line in enumerate(lines) if near and line.strip() == near]
    end = min(len(lines), (found[-1] if found else len(lines) - 1) + 1 + room // 4)
    start = max(head, end - room)
    end = min(len(lines), max(end, start + room))
    kept = lines[:head]
    if start > head:
        kept.append(_marker(lines[start]))
    kept += lines[start:end]
    return "\n".join([*kept, _marker(lines[end - 1])] if end < len(lines) else kept)


def cut_code(left: str, right: str, limit: int) -> tuple[str, str]:
    """The code on both sides of a hole in at most about `limit` lines: the signature and the
    lines next to the hole; a comment stands for lines that are left out."""
    before, after = Text(left).lines, Text(right).lines
    if len(before) + len(after) <= limit:
        return left, right
    head = min(SIGNATURE, limit // 4)
    room = max(2, limit - head)
    near = max(room // 2, room - len(after))
    if len(before) > head + near:
        rest = before[len(before) - near :]
        before = [*before[:head], _marker(rest[0]) + "\n", *rest]
    far = max(1, room - min(near, len(before)))
    if len(after) > far:
        following = next((line for line in after[far:] if line.strip()), "")
        after = [*after[:far], _marker(following) + "\n"] if following else after[:far]
        if not after[far - 1].endswith("\n"):
            after[far - 1] += "\n"
    return "".join(before), "".join(after)


def _marker(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + "# ..."


def fitted(
    family: Family,
    task: str,
    count: Callable[[str], int],
    room: int,
    *,
    left: str,
    right: str,
    original: str = "",
    test_source: str = "",
    traceback: str = "",
    message: str = "",
    **others: str,
) -> tuple[str, str]:
    """`prompting.render` for a family, with texts cut until both sides have at most `room` tokens
    by `count`. The least that is shown is given where even that is longer.
    """
    near = failing_line(traceback)
    rendered = "", ""
    for level, (code, test, report) in enumerate(LEVELS):
        wide = WIDE + (NARROW - WIDE) * level // (len(LEVELS) - 1)
        before, after = cut_code(left, right, code)
        shown = {"left": before, "right": after}
        tested = _narrow(cut_test(test_source, test, near), wide)
        if task == "repair":
            shown |= {
                "original": cut_test(original, code) if original.count("\n") > code else original,
                "test_source": tested,
                "traceback": _narrow(cut_report(traceback, message, report), wide),
                "message": _narrow(message, wide),
            }
        else:
            shown["tests"] = tested
        told = {**shown, **others}
        if family.chat != "none":
            told = {name: guarded(text, family.chat) for name, text in told.items()}
        sides = render(family.prompts, task, **told)
        rendered = spoken(sides[0], family.chat), spoken(sides[1], family.chat)
        if count(rendered[0]) + count(rendered[1]) <= room:
            break
    return rendered


def _narrow(text: str, width: int) -> str:
    return "\n".join(
        line if len(line) <= width else line[: width - 4] + " ..." for line in text.split("\n")
    )
