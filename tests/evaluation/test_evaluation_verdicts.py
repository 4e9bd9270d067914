"""Fidelity: publishers' solutions pass, broken ones fail; forged verdicts are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffufix.errors import UsageError
from diffufix.evaluation.prompts import broken_of, program_of, solution_of
from diffufix.evaluation.suites import OpenSuite, open_suite
from diffufix.evaluation.types import Check
from diffufix.evaluation.verdicts import ProgramJudge
from tests.support import suites

FORMS = ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "infilling", "bigcodebench")


@pytest.fixture(scope="module")
def judge() -> Iterator[ProgramJudge]:
    with ProgramJudge(sandbox="local") as judge:
        yield judge


def opened(form: str, folder: Path) -> OpenSuite:
    path = getattr(suites, form)(folder / f"{form}.jsonl")
    return open_suite(str(path), None, agreed=lambda offer: False)


@pytest.mark.parametrize("form", FORMS)
def test_solutions_pass_and_broken_programs_fail(
    form: str, tmp_path: Path, judge: ProgramJudge
) -> None:
    suite = opened(form, tmp_path)
    assert suite.format.name.startswith(form.replace("_plus", "+").split("_")[0])
    assert suite.items
    for problem in suite.items:
        programs = [solution_of(problem), broken_of(problem)]
        right, broken = judge.judge(programs, problem.checks, problem.entry_point).result()
        assert {state.state for state in right.values()} == {"pass"}, right
        assert {state.state for state in broken.values()} == {"fail"}, broken


@pytest.mark.docker
def test_verdicts_of_a_container_are_the_same(tmp_path: Path, test_image: str) -> None:
    with ProgramJudge(sandbox="docker", image=test_image) as judge:
        for problem in opened("mbpp_plus", tmp_path).items:
            programs = [solution_of(problem), broken_of(problem)]
            right, broken = judge.judge(programs, problem.checks, problem.entry_point).result()
            assert {state.state for state in right.values()} == {"pass"}, right
            assert {state.state for state in broken.values()} == {"fail"}, broken


def test_an_empty_object_is_no_inputs(tmp_path: Path, judge: ProgramJudge) -> None:
    """As MBPP+ has it where a task has no inputs of a level."""
    path = suites.mbpp_plus(tmp_path / "own.jsonl")
    rows = [{**json.loads(line), "plus_input": {}} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for problem in open_suite("mbpp+", path, agreed=lambda offer: False).items:
        programs = [solution_of(problem), broken_of(problem)]
        right, broken = judge.judge(programs, problem.checks, problem.entry_point).result()
        assert {state.state for state in right.values()} == {"pass"}, right
        assert broken["base"].state == "fail"


def test_the_sanitized_mbpp_is_one_list(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in suites.mbpp(tmp_path / "m.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"prompt": row.pop("text"), "test_imports": ["import math"], "source_file": "own"}
        del row["test_setup_code"], row["challenge_test_list"]
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps(rows))
    suite = open_suite(str(path), None, agreed=lambda offer: False)
    assert (suite.format.name, len(suite.items)) == ("mbpp", len(rows) - 1)  # task 2 is an example
    assert suite.items[0].checks["base"].code.startswith("import math\nassert ")
    path.write_text(json.dumps(rows)[:-9])
    with pytest.raises(UsageError, match="is not JSON"):
        open_suite(str(path), None, agreed=lambda offer: False)


def test_wrong_bodies_fail(tmp_path: Path, judge: ProgramJudge) -> None:
    for problem, (_, prompt, _, wrong, _) in zip(
        opened("humaneval_plus", tmp_path).items, suites.FUNCTIONS, strict=True
    ):
        programs = [prompt + body for body in wrong if "while True" not in body]
        for each in judge.judge(programs, problem.checks, problem.entry_point).result():
            assert "fail" in {state.state for state in each.values()}


CHECK = {"base": Check("asserts", code="assert double(2) == 4\nassert double(0) == 0", seconds=1.0)}
FORGED = {
    "exits": "import os\nos._exit(0)\n",
    "exits at the end": "import sys\ndef double(x):\n    sys.exit(0)\n",
    "is equal to anything": "class E:\n    __eq__ = lambda self, other: True\n"
    "def double(x):\n    return E()\n",
    "broken": "def double(x:\n",
    "another name": "def twice(x):\n    return 2 * x\n",
    "hangs": "def double(x):\n    while True:\n        pass\n",
    "catches all and hangs": "def double(x):\n    while True:\n        try:\n            1 / 0\n"
    "        except Exception:\n            pass\n",
}


def test_what_forges_a_verdict_does_not_pass(judge: ProgramJudge) -> None:
    found = judge.judge(list(FORGED.values()), CHECK, "double").result()
    states = {name: each["base"].state for name, each in zip(FORGED, found, strict=True)}
    assert states == {
        "exits": "fail", "exits at the end": "fail", "is equal to anything": "suspicious",
        "broken": "fail", "another name": "fail", "hangs": "timeout",
        "catches all and hangs": "timeout",
    }  # fmt: skip


def test_a_suite_whose_asserts_were_exchanged_is_no_judge(judge: ProgramJudge) -> None:
    tests = (
        "import unittest\n\n\nclass TestCases(unittest.TestCase):\n"
        "    def test(self):\n        self.assertEqual(double(2), 4)\n"
    )
    check = {"base": Check("unittest", code=tests, seconds=5.0)}
    program = (
        "import unittest\nunittest.TestCase.assertEqual = lambda *given: None\n"
        "def double(x):\n    return 5\n"
    )
    honest = "def double(x):\n    return 2 * x\n"
    first, second = judge.judge([program, honest], check, "double").result()
    assert (first["base"].state, second["base"].state) == ("suspicious", "pass")


def test_a_reference_that_fails_is_no_verdict_on_a_program(judge: ProgramJudge) -> None:
    check = Check("cases", reference="def double(x):\n    return x / 0\n", inputs=((1,),))
    found = judge.judge(["def double(x):\n    return 2 * x\n"], {"plus": check}, "double").result()
    assert found[0]["plus"].state == "infra"
    assert "ZeroDivisionError" in found[0]["plus"].detail


def test_what_a_model_writes_becomes_the_program(tmp_path: Path) -> None:
    problem = opened("humaneval", tmp_path).items[0]
    base = program_of(problem, suites.FUNCTIONS[0][2] + "\n\nprint(spread([1]))\n", "base")
    assert base.endswith("if values else 0\n")
    assert "print" not in base
    answer = (
        "import math\n\ndef helper(v):\n    return max(v) - min(v)\n\n"
        "def spread(values):\n    return helper(values) if values else 0\n\n"
        "print(spread([1, 2]))\nassert math\n```\nThis works because of max.\n```python\nx\n```\n"
    )
    told = program_of(problem, answer, "instruct")
    assert "helper" in told
    assert "import math" in told
    assert "print" not in told
    assert "because" not in told


def test_humanevalfix_as_one_answer(tmp_path: Path, judge: ProgramJudge) -> None:
    from diffufix.evaluation.prompts import ask_of

    path = suites.humanevalfix(tmp_path / "fix.jsonl")
    problem = open_suite("humanevalfix-answers", path, agreed=lambda offer: False).items[0]
    (_, told), *_ = ask_of(problem, "instruct").turns
    assert told.endswith("Fix bugs in spread.\n")
    assert "min(values) - max(values)" in told
    assert "def check(candidate)" in told
    base = ask_of(problem, "base").left
    assert base.startswith(told)
    assert base.endswith(problem.left.strip() + "\n")
    programs = [program_of(problem, suites.FUNCTIONS[0][2], "base"), broken_of(problem)]
    found = judge.judge(programs, problem.checks, problem.entry_point).result()
    assert [each["base"].state for each in found] == ["pass", "fail"]


def test_files_that_are_not_as_published_are_refused(tmp_path: Path) -> None:
    def refused(name: str, text: str, path: str = "bad.jsonl") -> str:
        (tmp_path / path).write_text(text)
        with pytest.raises(UsageError) as raised:
            open_suite(name, tmp_path / path, agreed=lambda offer: False, any_version=True)
        return raised.value.message

    row = json.loads(suites.humaneval(tmp_path / "he.jsonl").read_text().splitlines()[0])
    assert "has no field 'test'" in refused(
        "humaneval", json.dumps({k: v for k, v in row.items() if k != "test"})
    )
    assert "does not define 'elsewhere'" in refused(
        "humaneval", json.dumps(row | {"entry_point": "elsewhere"})
    )
    assert "is not JSON" in refused("humaneval", '{"task_id": "Own/0", ')
    assert "is empty" in refused("humaneval", "\n")
    assert "is not a text" in refused("humaneval", json.dumps(row | {"prompt": 3}))
    assert "have the id of another" in refused("humaneval", "\n".join([json.dumps(row)] * 2))
    with pytest.raises(UsageError, match="not the known version of HumanEval"):
        open_suite("humaneval", tmp_path / "he.jsonl", agreed=lambda offer: False)
    with pytest.raises(UsageError, match="no suite 'humanevil'"):
        open_suite("humanevil", None, agreed=lambda offer: False)
