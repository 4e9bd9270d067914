"""Conditions that an edit made constant over all recorded calls. Reads recordings and text."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence

from diffufix.source.syntax import parse
from diffufix.trust.style import Fault
from diffufix.trust.types import Recording

VISITS = 4  # evaluations before anything is said


def settled(original: str, new: str, before: Recording, after: Recording) -> tuple[Fault, ...]:
    """Faults of new conditions that went the same way whenever they were evaluated, where the
    condition on that line had gone both ways."""
    try:
        old, made = parse(original), parse(new)
    except (SyntaxError, ValueError):
        return ()
    known = {ast.dump(node.test) for node in _conditions(old)}
    went_before = {node.lineno: _ways(node, before) for node in _conditions(old)}
    found = []
    for node in _conditions(made):
        if ast.dump(node.test) in known:
            continue
        ways = _ways(node, after)
        earlier = went_before.get(node.lineno, [True, False])
        if len(ways) >= VISITS and len(set(ways)) == 1 and len(set(earlier)) == 2:
            text = " ".join(ast.unparse(node.test).split())[:60]
            word = "true" if ways[0] else "false"
            reason = f"`{text}` is {word} in all {len(ways)} evaluations that were recorded"
            found.append(Fault("settled-condition", reason))
    return tuple(found[:1])


def _conditions(tree: ast.Module) -> Iterator[ast.If | ast.While]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.If | ast.While))


def _ways(node: ast.If | ast.While, recording: Recording) -> list[bool]:
    """For each evaluation, whether the body was entered next."""
    body = range(node.body[0].lineno, (node.body[-1].end_lineno or node.body[-1].lineno) + 1)
    head = range(node.lineno, (node.test.end_lineno or node.lineno) + 1)
    if body.start in head:
        return []
    ways = []
    for call in recording.calls:
        ways += _entered(call.lines, head, body)
    return ways


def _entered(lines: Sequence[int], head: range, body: range) -> list[bool]:
    found = []
    for line, following in itertools.pairwise(lines):
        if line in head and following not in head:
            found.append(following in body)
    if lines and lines[-1] in head:
        found.append(False)
    return found
