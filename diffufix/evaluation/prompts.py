"""What a model is asked for a problem, and the program that its completion amounts to.

Base models go on with the publisher's prompt. Instruct models are told the task and begin their
answer in an opened code block: the DiffuCoder paper's words for HumanEval and MBPP, the publishers'
for BigCodeBench's and EvalPlus' instruction (evalplus 0.3.1, bigcodebench 0.2.5: `codegen`,
`generate`).
"""

from __future__ import annotations

from diffufix.completion.extract import between, fenced, needed, until
from diffufix.completion.types import Ask
from diffufix.evaluation.types import CodingProblem

BASE, INSTRUCT = "base", "instruct"
TASK = (
    "Please provide a self-contained Python script that solves the following problem in a "
    "markdown code block:"
)
BEGUN = "Here is the code to solve this problem:\n```python\n"


def ask_of(problem: CodingProblem, style: str) -> Ask:
    """`style` is "base" or "instruct"."""
    if style == BASE or problem.right:
        left = problem.left if problem.right or problem.whole else problem.left.strip() + "\n"
        return Ask(problem.shown + left, problem.right, stops=problem.stops)
    if problem.shown:
        told = problem.instruction
    elif problem.instruction:
        told = f"{TASK}\n{problem.instruction.strip()}\n"
    else:
        told = f"{TASK}\n```\n{problem.left.strip()}\n```\n"
    return Ask(turns=(("user", told),), begun=BEGUN)


def program_of(problem: CodingProblem, text: str, style: str) -> str:
    """The program to be judged, from a completion; post-processing is that of docs/evaluate.md."""
    if problem.right:
        return problem.left + text + problem.right
    if style == BASE:
        text = until(text, problem.stops)
        if problem.whole:
            return problem.prelude + between(text)
        return problem.prelude + problem.left.strip() + "\n" + text.rstrip() + "\n"
    return problem.prelude + needed(fenced(text), problem.entry_point)


def solution_of(problem: CodingProblem) -> str:
    """The publisher's own program."""
    if problem.whole:
        return problem.prelude + problem.solution
    return problem.prelude + problem.left + problem.solution + problem.right


def broken_of(problem: CodingProblem) -> str:
    """A program that has every name and does nothing: every check has to refuse it."""
    import ast

    tree = ast.parse(solution_of(problem))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Raise(ast.Call(ast.Name("NotImplementedError", ast.Load()), [], []))]
    return ast.unparse(ast.fix_missing_locations(tree))
