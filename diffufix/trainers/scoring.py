"""What a completion is worth: its code is put into the project, the project's tests run, the
verdict becomes a reward (`train/rl/rewards.py`). What the trainers' callables share.

Asks whoever verifies: a server (`DIFFUFIX_SERVE_URL`, `DIFFUFIX_SERVE_TOKEN`), or warm verifiers in
this process.
"""

from __future__ import annotations

import ast
import atexit
import json
import os
import textwrap
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from diffufix.completion.extract import blocks, parses
from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.serve.options import TOKEN_VARIABLE, default_folder
from diffufix.serve.protocol import Verifying, VerifyRequest
from diffufix.source.edits import splice
from diffufix.source.file import SourceFile
from diffufix.source.functions import definitions, find_function, first_line
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.train.rl.rewards import DEFAULT, Weighted, reward
from diffufix.types import EditedFile

URL_VARIABLE = "DIFFUFIX_SERVE_URL"
AT_ONCE = 16  # completions of a batch that are asked about at the same time
NO_CODE = 0.0  # for a completion without code to try


class VerifyingProjects(Verifying, Protocol):
    """A verifier that takes in projects."""

    def add(self, root: Path) -> str:
        """The hash of the project in `root`."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class GradedTask:
    """A place to be written anew and the tests that grade it: what a row of a dataset says.

    `project` is its folder, or the hash of one that the server has; `path` the file that is
    written, `source` its text (of the folder's file, if it is not given). With `qualname` an
    answer is that function, else the whole file. `tests` (all, if none are given) must come out as
    the suite says, `failing` ones must pass.
    """

    project: str
    path: str
    source: str
    qualname: str = ""
    tests: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    args: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any] | str) -> GradedTask:
        """Of a row, or its JSON text; other columns are left alone. Raises UsageError."""
        try:
            values = json.loads(row) if isinstance(row, str) else row
            project, path = str(values["project"]), str(values["path"])
            source = values.get("source")
            if source is None:
                source = SourceFile.read(Path(project) / path).text
            tests, failing, args = (_listed(values.get(k)) for k in ("tests", "failing", "args"))
            qualname = values.get("qualname") or ""
            return cls(project, path, str(source), qualname, tests, failing, args)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"A row is no task: {type(error).__name__} {error}.",
                "It needs project and path; source, qualname, tests, failing, args if they matter.",
            ) from error

    def answered(self, completion: str) -> str | None:
        """The file with what a completion says; None where it says nothing that parses."""
        for code in reversed([*blocks(completion)] or [completion]):
            tree = parses(textwrap.dedent(code))
            if tree is None or not tree.body:
                continue
            if not self.qualname:
                return code
            text = self._with_function(textwrap.dedent(code), tree)
            if text is not None:
                return text
        return None

    def _with_function(self, code: str, tree: ast.Module) -> str | None:
        """The source with the function that a piece of code defines; None where it has none."""
        name = self.qualname.rpartition(".")[2]
        found = list(definitions(tree, nested=False))
        fitting = [one for one in found if one.qualname == self.qualname]
        fitting = fitting or [one for one in found if one.node.name == name]
        here = find_function(parse(self.source), self.qualname, 0)
        if not fitting or here is None:
            return None
        given = fitting[-1]
        lines = Text(code).lines[given.first_line - 1 : given.last_line]
        new = textwrap.indent(textwrap.dedent("".join(lines)).rstrip("\n"), " " * here.col_offset)
        text = Text(self.source)
        # Decorators that the answer does not repeat stay.
        first = first_line(here) if given.first_line < given.node.lineno else here.lineno
        return splice(self.source, _Span(text.starts[first - 1], text.span(here)[1]), new)


def _listed(value: Any) -> tuple[str, ...]:
    """A column of texts: a list, or the array that a Parquet reader makes of one."""
    return () if value is None else tuple(map(str, value))


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


class Scorer:
    """Rewards by `verifier` and `functions`. For several threads."""

    def __init__(
        self, verifier: VerifyingProjects, functions: tuple[Weighted, ...] = DEFAULT
    ) -> None:
        self._verifier, self._functions = verifier, functions
        self._hashes: dict[str, str] = {}
        self._adding = threading.Lock()

    def score(self, task: GradedTask, completion: str) -> float:
        """The reward. Raises SandboxUnavailable where the infrastructure failed for good: that
        says nothing of the completion, and no number does."""
        new = task.answered(completion)
        if new is None:
            return NO_CODE
        request = VerifyRequest(self._hash(task.project), {task.path: new}, task.tests, task.args)
        answer = self._verifier.verify(request)
        edit = EditedFile(
            task.path, task.source, new, task.tests or answer.tests, task.failing or answer.failing
        )
        value, _ = reward(answer.verdict, edit, self._functions)
        if value is None:
            raise SandboxUnavailable("a reward function cannot say what this is worth")
        return value

    def scores(self, tasks: Sequence[GradedTask], completions: Sequence[str]) -> list[float | None]:
        """The rewards of a batch; None where the infrastructure failed."""

        def one(task: GradedTask, completion: str) -> float | None:
            try:
                return self.score(task, completion)
            except SandboxUnavailable:
                return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, tasks, completions))

    def close(self) -> None:
        """End the verifier, or the connections to it."""
        self._verifier.close()

    def _hash(self, project: str) -> str:
        """The hash of a project that is named by its folder, which is read once."""
        if not os.path.isdir(project):
            return project
        with self._adding:
            if project not in self._hashes:
                self._hashes[project] = self._verifier.add(Path(project))
            return self._hashes[project]


@lru_cache(maxsize=1)
def default_scorer() -> Scorer:
    """By the server that the environment names; else by verifiers in this process."""
    url = os.environ.get(URL_VARIABLE)
    verifier: VerifyingProjects
    if url:
        from diffufix.serve.client import VerifyClient

        verifier = VerifyClient(url, os.environ.get(TOKEN_VARIABLE, ""))
    else:
        from diffufix.serve.shelf import Shelf
        from diffufix.serve.verifiers import WarmVerifiers

        verifier = WarmVerifiers(Shelf(default_folder(), 64), {"budget": 600.0})
    atexit.register(verifier.close)
    return Scorer(verifier)
