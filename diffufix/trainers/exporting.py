"""Tasks made of a project's own functions, for others to learn from: broken one bug at a time, as
self-play does, kept where a test notices (`train/rl/self_play.py`).

Runs the project's tests in sandboxes; writes `out` and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.source.edits import splice
from diffufix.trainers.harbor import HarborTask, write_task
from diffufix.trainers.scoring import GradedTask
from diffufix.types import Task

_INSTRUCTION = """\
A test of this project fails: `{test}`.

```
{said}
```

The fault is in `{path}`, in the function `{qualname}`. Repair it there. Test files and
configuration are put back as they were before the tests are run.
"""
_PROMPT = """\
This test of a Python project fails: {test}

{said}

The fault is in this function of {path}:

```python
{code}
```

Write the whole function as it should be, in one code block.
"""


def export(settings: Settings, out: Path, count: int, tell: Callable[[str], None]) -> int:
    """Write up to `count` tasks; returns how many. `out` is a folder, for Harbor's format, or a
    file *.jsonl, for rows with a prompt and the columns of `GradedTask`.

    Raises UsageError for another kind of file and what SelfPlayEnv raises.
    """
    if out.suffix not in ("", ".jsonl"):
        raise UsageError(f"{out.name}: unknown kind of file.", "Name a folder, or *.jsonl.")
    made = 0
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(out.open("w", encoding="ascii")) if out.suffix else None
        for task in _tasks(settings, count, tell):
            if rows is None:
                _write(out, task, settings)
            else:
                rows.write(_row(task, settings.root))
            made += 1
    return made


def _row(task: Task, root: Path) -> str:
    row = {"prompt": _said(_PROMPT, task), **asdict(graded_of(task, root))}
    return json.dumps(row) + "\n"


def _write(out: Path, task: Task, settings: Settings) -> None:
    name = f"{settings.root.name}-{task.qualname}-{task.key[:8]}"
    answer = "" if task.answer is None else splice(task.source, task, task.answer)
    graded = graded_of(task, settings.root)
    write_task(out, HarborTask(name, _said(_INSTRUCTION, task), graded, answer), settings)


def graded_of(task: Task, root: Path) -> GradedTask:
    """A task of self-play as others are graded on it; answers are whole functions."""
    return GradedTask(
        str(root.resolve()), task.path, task.source, task.qualname, task.tests, task.failing
    )


def _tasks(settings: Settings, count: int, tell: Callable[[str], None]) -> Iterator[Task]:
    from diffufix.model.checkpoint import load_model
    from diffufix.train.rl.self_play import SelfPlayEnv, Wanted

    wanted = Wanted(tasks=0, held_out=0, share=0.0, history=False)
    with SelfPlayEnv(settings, load_model("mini", device="cpu"), wanted, tell) as practice:
        rng = random.Random(f"tasks/{settings.seed}")
        yield from practice.drawn(practice.functions, "mutant", count, rng)


def _said(text: str, task: Task) -> str:
    """What is told of a task."""
    from diffufix.source.functions import find_function
    from diffufix.source.spans import Text
    from diffufix.source.syntax import parse

    source = Text(task.source)
    node = find_function(parse(task.source), task.qualname, source.line_of(task.start))
    assert node is not None
    start, end = source.span(node)
    code = task.source[source.line_start(start) : end]
    test = task.failing[0] if task.failing else task.tests[0]
    return text.format(test=test, said=task.said, path=task.path, qualname=task.qualname, code=code)
