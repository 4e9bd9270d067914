"""From a task to what a model is asked, and from its answer back to a candidate. Touches nothing.

A task holds text, a prompt ids: this file is the one way between the two for groups of
completions, as window.py and proposals.py are for the search, and it makes the same views.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from diffufix.decode.canvas import inline_canvas, room_of
from diffufix.decode.layout import SLACK
from diffufix.decode.lengths import AROUND, LADDER
from diffufix.model.family import Layout
from diffufix.propose.appended import MAX_ORIGINAL
from diffufix.propose.proposals import fit
from diffufix.propose.shown import fitted
from diffufix.propose.surroundings import beside
from diffufix.propose.window import MAX_WINDOW, Window, window
from diffufix.source.edits import splice
from diffufix.source.functions import FunctionNode, functions
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.types import Candidate, EditedFile, Prompt, Task

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

MODULE = "<module>"
MAX_WIDTH = 64  # tokens of an inline hole
INSERTED = 10  # masks of a hole that nothing stood in, where no answer says how long it gets


def make_task(
    path: str,
    qualname: str,
    source: str,
    span: tuple[int, int],
    kind: str,
    origin: str,
    tests: Sequence[str],
    *,
    shown: bool = True,
    answer: str | None = None,
    failing: Sequence[str] = (),
    said: str = "",
    test_source: str = "",
    report: str = "",
) -> Task:
    """A task with its key; the arguments are the fields of `Task`, `span` its start and end."""
    task = Task(
        "", path, qualname, source, *span, kind, origin, tuple(tests), shown, answer,
        tuple(failing), said, test_source, report,
    )  # fmt: skip
    return replace(task, key=_key(task))


def _key(task: Task) -> str:
    digest = hashlib.blake2b(digest_size=16)
    hole = f"{task.start}:{task.end}:{task.shown}"
    for text in (task.path, task.source, hole, *sorted(task.tests)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def aligned(model: LoadedModel, task: Task) -> Task | None:
    """The task with its hole (and answer) widened to whole tokens, as `model` reads the file.

    A task that is aligned comes back as it is. None where the model cannot see the hole: outside
    of its function, too long, or across what its view leaves out. Raises SyntaxError.
    """
    return _VIEWS[model.family.layout].aligned(model, task)


def prompt_of(model: LoadedModel, task: Task) -> Prompt | None:
    """What the model sees of an aligned task; None where it cannot be asked (see `aligned`).

    For families that can leave masks unused the width is the length of what is in the hole, or of
    the answer where that is longer, and SLACK more; for the others it is guessed. Raises
    SyntaxError.
    """
    return _VIEWS[model.family.layout].prompt(model, task)


def text_of(model: LoadedModel, prompt: Prompt, ids: Sequence[int]) -> str:
    """The text that a completion puts into the hole; bytes that are no UTF-8 become U+FFFD."""
    silent = {model.family.delete, *model.family.specials}
    kept = [token for token in ids if token not in silent]
    return model.tokenizer.decode(kept).removeprefix(prompt.lead)


def candidate_of(task: Task, text: str) -> Candidate:
    """The candidate with `text` in the hole, written with the line ends of the file."""
    return Candidate({task.path: edit_of(task, text).new})


def edit_of(task: Task, text: str) -> EditedFile:
    """The same as an edit, for the reward functions."""
    new = splice(task.source, task, fit(task.source, text))
    return EditedFile(task.path, task.source, new, task.tests, task.failing)


# -- appended, in place --------------------------------------------------------------------------


def _widened(model: LoadedModel, task: Task) -> Task | None:
    found = _look(model, task)
    if found is None:
        return None
    view, (first, last) = found
    start, end = task.start, task.end
    if first < last:
        start, end = view.spans[first][0], view.spans[last - 1][1]
    if (start, end) == (task.start, task.end):
        return task
    answer, source = task.answer, task.source
    if answer is not None:
        answer = source[start : task.start] + answer + source[task.end : end]
    wide = replace(task, start=start, end=end, answer=answer)
    return replace(wide, key=_key(wide))


def _appended(model: LoadedModel, task: Task) -> Prompt | None:
    found = _look(model, task)
    if found is None:
        return None
    view, (first, last) = found
    if first < last and (view.spans[first][0], view.spans[last - 1][1]) != (task.start, task.end):
        return None
    original = view.ids[first:last]
    width = _width(model, task, len(original))
    if len(original) > MAX_ORIGINAL or width > MAX_ORIGINAL + SLACK:
        return None
    gap = not task.shown and bool(original)
    node = _node(task)
    said = beside(model.tokenizer, model.family, task.source, node, task.said)
    return Prompt(
        view.ids[:first], view.ids[last:], () if gap else original, width, gap=gap,
        failure=said,
    )  # fmt: skip


def _look(model: LoadedModel, task: Task) -> tuple[Window, tuple[int, int]] | None:
    """The model's view of the task's function, and the tokens of the hole in it."""
    node = _node(task)
    if node is None:
        return None
    budget = model.family.window or MAX_WINDOW
    view = window(task.source, node, model.tokenizer, (task.start, task.end), budget)
    found = view.locate(task.start, task.end)
    return None if found is None else (view, found)


def _in_place(model: LoadedModel, task: Task) -> Prompt | None:
    node = _node(task)
    if node is None:
        return None
    source, text = task.source, Text(task.source)
    if isinstance(node, FunctionNode):
        begin, end = text.span(node)
        begin = source.rfind("\n", 0, begin) + 1
    else:
        begin, end = text.starts[max(0, text.line_of(task.start) - 30)], len(source)
    original = source[task.start : task.end]
    context = {"path": task.path, "function": task.qualname, "test_source": task.test_source}
    context |= {"left": source[begin : task.start], "right": source[task.end : end]}
    if task.shown:
        tests = task.failing or task.tests
        message = task.said.partition("\n")[0]
        context |= {"original": original, "test": tests[0] if tests else ""}
        context |= {"traceback": task.report, "message": message}
    left, right = fitted(
        model.family, "repair" if task.shown else "generate",
        lambda part: len(model.tokenizer.encode(part)), room_of(model, MAX_WIDTH), **context,
    )  # fmt: skip
    canvas = inline_canvas(model, left, right, original, max_tokens=MAX_WIDTH)
    width = _width(model, task, len(canvas.original))
    if width > MAX_WIDTH:
        return None
    shown = canvas.original if task.shown else ()
    return Prompt(canvas.left, canvas.right, shown, width, canvas.lead)


@dataclass(frozen=True)
class _TaskView:
    """How families of one layout read a task."""

    aligned: Callable[[LoadedModel, Task], Task | None]
    prompt: Callable[[LoadedModel, Task], Prompt | None]


_VIEWS: Mapping[Layout, _TaskView] = {
    "aside": _TaskView(_widened, _appended),
    "inline": _TaskView(lambda model, task: task, _in_place),
}


def _width(model: LoadedModel, task: Task, original: int) -> int:
    if model.family.delete is None:
        return _guessed(task, original)
    answer = len(model.tokenizer.encode(task.answer)) if task.answer else 0
    if not original and task.answer is None:
        return INSERTED
    return max(original, answer) + SLACK


def _guessed(task: Task, original: int) -> int:
    """A width of which every place has to be filled, as repair guesses it (decode/lengths.py):
    often that of what is there, else one near it; any where nothing is shown. Never from the
    answer, which nobody knows where a repair is made. The same for the same task."""
    lots = random.Random(task.key)
    if not task.shown or not original:
        return lots.choice([length for length in LADDER if length <= MAX_WIDTH // 2])
    near = [original + by for by in AROUND if original + by >= 1]
    return lots.choice([*near, *[original] * len(near)])


@lru_cache(maxsize=32)
def _parsed(source: str) -> ast.Module:
    return parse(source)


def _node(task: Task) -> FunctionNode | ast.Module | None:
    """The function of that name around the hole, or the module."""
    tree = _parsed(task.source)
    if task.qualname == MODULE:
        return tree
    text = Text(task.source)
    for name, node in functions(tree):
        if name == task.qualname:
            start, end = text.span(node)
            if start <= task.start and task.end <= end:
                return node
    return None
