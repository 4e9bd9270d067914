"""Readers of suites of functions to be written: HumanEval, MBPP, EvalPlus' forms of both,
infilling.

Formats: openai/human-eval (Chen et al., 2021), google-research/mbpp (Austin et al., 2021), EvalPlus
(Liu et al., 2023), openai/human-eval-infilling (Bavarian et al., 2022). Raises UsageError that
names file, line and field.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError
from diffufix.evaluation.suites.fields import lines_of, need
from diffufix.evaluation.suites.mbpp_inputs import RULES, restored
from diffufix.evaluation.suites.repairs import defines
from diffufix.evaluation.types import Check, CodingProblem

#: Where a base model's completion of a function ends (Chen et al., section 2; EvalPlus).
STOPS = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__", "\nprint(")
MBPP_STOPS = ('\n"""', "\nassert", "\nif __name__", "\nprint(")
SECONDS = 3.0  # of HumanEval's and MBPP's own harness
TEST_SPLIT = range(11, 511)  # of MBPP, by task id


def humaneval(path: Path) -> Iterator[CodingProblem]:
    for where, raw in lines_of(path):
        yield _function(where, raw, {"base": _checked(where, raw)})


def infilling(path: Path) -> Iterator[CodingProblem]:
    """`suffix` stands right of the hole; all of prompt, completion and suffix is the program."""
    for where, raw in lines_of(path):
        right = need(raw, "suffix", str, where)
        yield _function(where, raw, {"base": _checked(where, raw)}, right)


def humaneval_plus(path: Path) -> Iterator[CodingProblem]:
    """Lines with `base_input` and `plus_input`; those with a `test` alone have one level."""
    for where, raw in lines_of(path):
        if "base_input" not in raw and "test" in raw:
            yield _function(where, raw, {"plus": _checked(where, raw)})
            continue
        yield _function(where, raw, _levels(where, raw, "humaneval"))


def mbpp_plus(path: Path) -> Iterator[CodingProblem]:
    for where, raw in lines_of(path):
        problem = _function(where, raw, _levels(where, raw, "mbpp"), stops=MBPP_STOPS)
        yield problem


def humanevalfix_answers(path: Path) -> Iterator[CodingProblem]:
    """HumanEvalFix as its publishers pose it: one answer to the faulty function and its tests.

    Muennighoff et al., OctoPack, 2023: the function, the tests, "Fix bugs in ...".
    """
    for where, raw in lines_of(path):
        names = ("task_id", "entry_point", "declaration", "buggy_solution", "canonical_solution")
        text = {name: need(raw, name, str, where) for name in (*names, "test")}
        head, entry = text["declaration"], text["entry_point"]
        if not defines(head + text["canonical_solution"], entry):
            raise UsageError(f"{where}: the publisher's solution does not define {entry!r}.")
        told = f"{head}{text['buggy_solution']}\n{text['test']}\nFix bugs in {entry}.\n"
        yield CodingProblem(
            text["task_id"], head, {"base": Check("asserts", code=text["test"], seconds=10.0)},
            entry, text["canonical_solution"], instruction=told, stops=STOPS, shown=told + "\n",
        )  # fmt: skip


def mbpp(path: Path) -> Iterator[CodingProblem]:
    """The test split of mbpp.jsonl, or all of sanitized-mbpp.json; examples are tasks 2, 3, 4."""
    found = list(lines_of(path))
    examples = "".join(_example(raw) for _, raw in found if raw.get("task_id") in (2, 3, 4))
    for where, raw in found:
        number = need(raw, "task_id", int, where)
        if number not in TEST_SPLIT:
            continue
        tests = need(raw, "test_list", list, where)
        told = raw.get("text") or need(raw, "prompt", str, where)
        setup = raw.get("test_setup_code") or "\n".join(raw.get("test_imports", ()))
        entry = called(tests[0])
        if not entry:
            raise UsageError(f"{where}: its first test calls nothing: {tests[0]!r}.")
        yield CodingProblem(
            f"Mbpp/{number}",
            examples + _asked(told, tests) + "[BEGIN]\n",
            {"base": Check("asserts", code="\n".join([setup, *tests]), seconds=SECONDS)},
            entry,
            need(raw, "code", str, where),
            instruction=_asked(told, tests),
            stops=("[DONE]",),
            whole=True,
        )


def _asked(text: str, tests: list[str]) -> str:
    """MBPP's own form of a prompt (Austin et al., section 4)."""
    return (
        f"You are an expert Python programmer, and here is your task: {text} "
        "Your code should pass these tests:\n\n" + "\n".join(tests) + "\n"
    )


def _example(raw: Mapping[str, Any]) -> str:
    told = raw.get("text") or raw.get("prompt", "")
    code = raw["code"].replace("\r\n", "\n")
    return f"{_asked(told, raw['test_list'])}[BEGIN]\n{code}\n[DONE]\n\n"


def called(test: str) -> str:
    """The function that an assertion is about: the first that is called and is no builtin."""
    try:
        nodes = list(ast.walk(ast.parse(test)))
    except SyntaxError:
        return ""
    calls = [n.func for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    names = [func.id for func in sorted(calls, key=lambda f: (f.lineno, f.col_offset))]
    return next((name for name in names if not hasattr(builtins, name)), "")


# -- shared ----------------------------------------------------------------------------------------


def _function(
    where: str,
    raw: Mapping[str, Any],
    checks: Mapping[str, Check],
    right: str = "",
    stops: tuple[str, ...] = STOPS,
) -> CodingProblem:
    """A prompt that is the beginning of a program, and the publisher's completion of it."""
    left, solution = need(raw, "prompt", str, where), need(raw, "canonical_solution", str, where)
    entry = need(raw, "entry_point", str, where)
    if not defines(left + solution + right, entry):
        raise UsageError(
            f"{where}: the publisher's solution does not define {entry!r}.",
            "Is the file complete, and of this benchmark?",
        )
    return CodingProblem(
        need(raw, "task_id", str, where), left, checks, entry, solution, right=right,
        stops=() if right else stops,
    )  # fmt: skip


def _checked(where: str, raw: Mapping[str, Any]) -> Check:
    test, entry = need(raw, "test", str, where), need(raw, "entry_point", str, where)
    return Check("asserts", code=f"{test}\ncheck({entry})\n", seconds=SECONDS)


def _levels(where: str, raw: Mapping[str, Any], suite: str) -> dict[str, Check]:
    """EvalPlus: the publisher's solution gives what is wanted, for the old and the new inputs."""
    entry, task = need(raw, "entry_point", str, where), need(raw, "task_id", str, where)
    reference = need(raw, "prompt", str, where) + need(raw, "canonical_solution", str, where)
    rule = RULES.get(entry, "") if suite == "mbpp" else "root" if entry == "find_zero" else ""
    found = {}
    for level in ("base", "plus"):
        # The publisher's file has an empty object where a task has no inputs of a level.
        inputs = [] if raw.get(f"{level}_input") == {} else need(raw, f"{level}_input", list, where)
        given = restored(task, inputs) if suite == "mbpp" else inputs
        found[level] = Check(
            "cases", reference=reference, inputs=tuple(given), rule=rule,
            tolerance=float(raw.get("atol") or 0.0),
        )  # fmt: skip
    return found
