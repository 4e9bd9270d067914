"""Small suites of our own in each publisher's format; nothing of any published set is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: (name, prompt, right body, wrong bodies, asserts)
FUNCTIONS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "spread",
        'def spread(values: list[int]) -> int:\n    """How far apart the largest and the '
        'smallest are; 0 for none."""\n',
        "    return max(values) - min(values) if values else 0\n",
        (
            "    return max(values) - min(values)\n",
            "    return min(values) - max(values) if values else 0\n",
            "    while True:\n        pass\n",
        ),
        ("f([3, 9, 4]) == 6", "f([]) == 0", "f([-2]) == 0"),
    ),
    (
        "share_of_vowels",
        'def share_of_vowels(word: str) -> float:\n    """The part of the letters that are."""\n',
        '    return sum(c in "aeiou" for c in word) / len(word)\n',
        ('    return sum(c in "aeio" for c in word) / len(word)\n', "    return 0.5\n"),
        ("f('queue') == 0.8", "abs(f('banana') - 0.5) < 1e-9", "f('sky') == 0"),
    ),
    (
        "joined",
        'def joined(names: list[str], last: str = "and") -> str:\n    """As one says them."""\n',
        '    if len(names) < 2:\n        return "".join(names)\n'
        '    return ", ".join(names[:-1]) + f" {last} {names[-1]}"\n',
        ('    return ", ".join(names)\n', "    return names\n"),
        ("f(['a', 'b', 'c']) == 'a, b and c'", "f(['a']) == 'a'", "f([]) == ''"),
    ),
)
INPUTS: dict[str, tuple[list[Any], list[Any]]] = {
    "spread": ([[[3, 9, 4]], [[]]], [[[-2]], [[5, 5, -7, 12]]]),
    "share_of_vowels": ([["queue"], ["banana"]], [["sky"], ["aeiouu"], ["x"]]),
    "joined": ([[["a", "b", "c"]], [["a"]]], [[[]], [["a", "b"], "or"]]),
}


def asserts(name: str, lines: tuple[str, ...]) -> str:
    body = "".join(f"    assert {line.replace('f(', 'candidate(')}\n" for line in lines)
    return f"\n\ndef check(candidate):\n{body}"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def humaneval(path: Path) -> Path:
    return write(path, [
        {"task_id": f"Own/{number}", "prompt": prompt, "entry_point": name,
         "canonical_solution": right, "test": asserts(name, lines)}
        for number, (name, prompt, right, _, lines) in enumerate(FUNCTIONS)
    ])  # fmt: skip


def humaneval_plus(path: Path) -> Path:
    return write(path, [
        {"task_id": f"HumanEval/{number}", "prompt": prompt, "entry_point": name,
         "canonical_solution": right, "contract": "", "atol": 1e-6 if "share" in name else 0,
         "base_input": INPUTS[name][0], "plus_input": INPUTS[name][1]}
        for number, (name, prompt, right, _, _) in enumerate(FUNCTIONS)
    ])  # fmt: skip


def mbpp_plus(path: Path) -> Path:
    """Task 75 takes a list of tuples and a number; task 2 is judged as a set."""
    return write(path, [
        {"task_id": "Mbpp/75", "entry_point": "keep_even", "atol": 0, "contract": "",
         "prompt": '"""\nKeep the tuples whose sum is a multiple of n.\n'
                   'assert keep_even([(1, 3)], 2) == [(1, 3)]\n"""\n',
         "canonical_solution": "\ndef keep_even(rows, n):\n"
                               "    return [row for row in rows if sum(row) % n == 0]\n",
         "base_input": [[[[1, 3], [2, 3]], 2]], "plus_input": [[[], 3], [[[3], [1, 2]], 3]],
         "assertion": "assert keep_even([(1, 3)], 2) == [(1, 3)]"},
        {"task_id": "Mbpp/2", "entry_point": "similar_elements", "atol": 0, "contract": "",
         "prompt": '"""\nWhat both have.\nassert set(similar_elements((1,), (1,))) == {1}\n"""\n',
         "canonical_solution": "\ndef similar_elements(a, b):\n"
                               "    return tuple(x for x in a if x in b)\n",
         "base_input": [[[1, 2, 3], [3, 1]]], "plus_input": [[[], [1]], [[4, 4], [4]]],
         "assertion": "assert set(similar_elements((1,), (1,))) == {1}"},
    ])  # fmt: skip


def mbpp(path: Path) -> Path:
    rows = [
        {"task_id": number, "text": f"Write a function for {name}.", "test_setup_code": "",
         "code": prompt + right, "challenge_test_list": [],
         "test_list": [f"assert {line.replace('f(', name + '(')}" for line in lines]}
        for number, (name, prompt, right, _, lines) in zip((2, 11, 12), FUNCTIONS, strict=True)
    ]  # fmt: skip
    return write(path, rows)


def infilling(path: Path) -> Path:
    rows = []
    for number, (name, prompt, right, _, lines) in enumerate(FUNCTIONS):
        whole = right.splitlines(keepends=True)
        rows.append(
            {"task_id": f"SingleLineInfilling/Own/{number}/L0", "entry_point": name,
             "prompt": prompt + "".join(whole[:-1]) + "    return ",
             "canonical_solution": whole[-1].removeprefix("    return ").rstrip("\n"),
             "suffix": "\n", "test": asserts(name, lines)}
        )  # fmt: skip
    return write(path, rows)


def humanevalfix(path: Path) -> Path:
    return write(path, [
        {"task_id": f"Python/{number}", "entry_point": name, "declaration": prompt,
         "canonical_solution": right, "buggy_solution": wrong[1] if number != 1 else wrong[0],
         "test": asserts(name, lines) + f"\ncheck({name})", "bug_type": "own"}
        for number, (name, prompt, right, wrong, lines) in enumerate(FUNCTIONS)
    ])  # fmt: skip


BIG_TEST = """\
import os
import tempfile
import unittest


class TestCases(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.mkdtemp()
        with open(os.path.join(self.place, "a.txt"), "w") as file:
            file.write("one two\\nthree\\n")

    def test_counts(self):
        self.assertEqual(task_func(self.place), {"a.txt": 3})

    def test_missing(self):
        with self.assertRaises(FileNotFoundError):
            task_func(os.path.join(self.place, "nowhere"))
"""
BIG_RIGHT = """\
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as file:
            found[name] = len(file.read().split())
    return found
"""


def bigcodebench(path: Path) -> Path:
    head = "import os\n\ndef task_func(folder):\n"
    told = "Count the words of every file in a folder."
    return write(path, [
        {"task_id": "BigCodeBench/0", "complete_prompt": f'{head}    """{told}"""\n',
         "instruct_prompt": f"{told}\nYou should write self-contained code starting with:\n"
                            f"```\n{head}```",
         "canonical_solution": BIG_RIGHT, "code_prompt": head.rstrip("\n"), "test": BIG_TEST,
         "entry_point": "task_func", "doc_struct": "{}", "libs": "['os']"},
    ])  # fmt: skip


BIG_WRONG = (
    BIG_RIGHT.replace(".split()", ""),
    "    return {}\n",
    "    import shutil\n    return {'a.txt': 3}\n",
    BIG_RIGHT.replace("os.listdir(folder)", "os.listdir(folder) if os.path.isdir(folder) else []"),
)
