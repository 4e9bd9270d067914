"""Negative controls: does green hang on what the edit does, or would it be green anyhow?

A confirmed candidate is run again with its effect spoiled, in processes like the ones that were
green, and the targets must fail. Whoever forges records, by whatever object he found, forges them
here, too: nothing tells him that this run is one where honest tests fail.

`raising`   edited functions do all that they do, and then raise
`turning`   the targets run twice, and from the second time on edited functions raise at once: for
            tests that never hear of an exception (a command's, a thread's)
`undone`    the original text is executed at the end of the edited module: for edits of the module

A target is only held against a candidate if it passes in each control that can be made of it. What
an edit computed and the project kept (a cache, a registry) is why the original body alone is no
control within a process. Touches the sandboxes of `Trials`.
"""

from __future__ import annotations

import ast
import secrets
from collections.abc import Callable, Mapping, Sequence

from diffufix.source.functions import FunctionNode, docstring_of, functions
from diffufix.types import PASSED, XPASSED
from diffufix.verify.route import Place
from diffufix.verify.trials import Laid, Trials

Texts = Mapping[str, str]
#: What is raised; hooks of a project may let a failure pass, then another one may do.
KINDS = ("AssertionError", "RuntimeError")
_RAISE = "raise {kind}({token!r})"
_TURN = "if getattr(__import__('sys'), {token!r}, False):\n    " + _RAISE


def unheld(trials: Trials, texts: Texts, edit: Laid, targets: Sequence[str]) -> str:
    """Why green does not hang on what the edit does; empty if it does. `texts` are those of the
    edited files, `targets` fail without the edit. Raises what `Trials.control` raises."""
    token = f"_{secrets.token_hex(8)}"
    controls: list[tuple[Laid | None, str]] = []
    for kind in KINDS if trials.forgiving else KINDS[:1]:
        controls.append((raising(texts, edit, token, kind), ""))
        controls.append((turning(texts, edit, token, kind), token))
    controls.append((undone(texts, edit), ""))
    if all(laid is None for laid, _ in controls):
        return ""
    for laid, again in controls:
        if laid is None or not targets:
            continue
        trial = trials.control(targets, laid, again)
        if "forged" in trial.report:
            return f"forged: {trial.report['forged']}"
        said = trial.outcomes_of_the_last
        targets = [test for test in targets if said.get(test) in (PASSED, XPASSED)]
    return f"{targets[0]} passes whatever the edited code does" if targets else ""


def raising(texts: Texts, edit: Laid, token: str, kind: str = KINDS[0]) -> Laid | None:
    """None where no function was edited, or none that can be read here."""

    def spoil(node: FunctionNode) -> None:
        head = 1 if docstring_of(node) else 0
        said = _RAISE.format(kind=kind, token=token)
        tried = ast.parse(f"try:\n    pass\nfinally:\n    {said}").body[0]
        assert isinstance(tried, ast.Try)
        tried.body = node.body[head:] or tried.body
        node.body[head:] = [tried]

    return _spoiled(texts, edit, spoil)


def turning(texts: Texts, edit: Laid, token: str, kind: str = KINDS[0]) -> Laid | None:
    """None as for `raising`; the attribute `token` of `sys` is what turns it."""

    def spoil(node: FunctionNode) -> None:
        head = 1 if docstring_of(node) else 0
        node.body[head:head] = ast.parse(_TURN.format(kind=kind, token=token)).body

    return _spoiled(texts, edit, spoil)


def undone(texts: Texts, edit: Laid) -> Laid | None:
    """None where no module was edited outside of its functions."""
    files = dict(edit.files)
    made = False
    for path in {path for path, first, *_ in edit.places if first == 0}:
        before = edit.originals[path]
        if before.text:
            again = f"\nexec(compile({before.text!a}, __file__, 'exec'), globals())\n"
            files[path] = before.encode(texts[path] + again).decode("latin-1")
            made = True
    return Laid(files, (), edit.words, edit.originals) if made else None


def _spoiled(texts: Texts, edit: Laid, spoil: Callable[[FunctionNode], None]) -> Laid | None:
    files = dict(edit.files)
    made = False
    for path in {path for path, *_ in edit.places}:
        try:
            tree = ast.parse(texts[path])
            nodes = [node for _, node in functions(tree) if _edited(node, path, edit.places)]
            for node in nodes:
                spoil(node)
            # Without its comments, it declares no encoding.
            files[path] = ast.unparse(tree).encode("utf-8", "surrogateescape").decode("latin-1")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        made |= bool(nodes)
    return Laid(files, (), edit.words, edit.originals) if made else None


def _edited(node: FunctionNode, path: str, places: Sequence[Place]) -> bool:
    """Whether it is one of the edited places; of an edited module every function is."""
    line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return any(
        path == edited and (first == 0 or first <= line <= last)
        for edited, first, last, _ in places
    )
