"""MBPP+ inputs as they were before they became JSON, and its tasks that equality does not judge.

JSON has lists only; for these tasks some of them are tuples, sets or complex numbers. The numbers
of the tasks and the rules are those of EvalPlus (evalplus 0.3.1: `data/mbpp.py`,
`eval/_special_oracle.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

#: By entry point: how results are compared (inside/_diffufix_programs.py, `agrees`).
RULES = {
    "are_equivalent": "any",
    "sum_div": "or zero",
    "surface_Area": "pyramid",
    "digit_distance_nums": "digits",
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "not none"),
    **dict.fromkeys(
        ("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly",
         "larg_nnum", "intersection_array", "find_dissimilar", "Diff"), "set",
    ),
}  # fmt: skip

Given = list[Any]


def _each(given: Given) -> Given:
    """Every argument is a tuple."""
    return [tuple(a) for a in given]


def _rows(given: Given) -> Given:
    """Every argument is a list of tuples."""
    return [[tuple(row) for row in a] for a in given]


def _first_rows(given: Given) -> Given:
    return [[tuple(row) for row in given[0]], given[1]]


def _second(given: Given) -> Given:
    return [given[0], tuple(given[1])]


def _first(given: Given) -> Given:
    return [tuple(given[0]), *given[1:]]


def _sets(given: Given) -> Given:
    return [[set(each) if isinstance(each, list) and each else {} for each in given[0]]]


def _polar(given: Given) -> Given:
    return [float(given[0]), complex(given[1])]


def _tuple_of_rows(given: Given) -> Given:
    return [tuple(tuple(row) for row in a) for a in given]


def _mixed(given: Given) -> Given:
    return [tuple(tuple(e) if isinstance(e, list) else e for e in given[0])]


def _values(given: Given) -> Given:
    return [{key: tuple(value) for key, value in given[0].items()}, *given[1:]]


def _complex(given: Given) -> Given:
    return [complex(given[0])]


def _deep(given: Any) -> Any:
    return tuple(_deep(each) for each in given) if isinstance(given, list) else given


_FORMS: tuple[tuple[Callable[[Given], Any], tuple[int, ...]], ...] = (
    (_each, (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616,
             630, 726, 740, 744, 809)),
    (_rows, (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)),
    (_first_rows, (75, 413, 444, 753)),
    (_second, (106, 750)),
    (_first, (250, 307, 405, 446, 617, 720, 763, 808)),
    (_sets, (115,)),
    (_polar, (124,)),
    (_tuple_of_rows, (259, 401, 445)),
    (_mixed, (278,)),
    (_values, (722,)),
    (_complex, (252,)),
    (_deep, (580, 615, 791)),
)  # fmt: skip
_OF_TASK = {task: form for form, tasks in _FORMS for task in tasks}


def restored(task_id: str, inputs: Sequence[Given]) -> list[Any]:
    """The inputs of a task with the types that its program is called with."""
    form = _OF_TASK.get(int(task_id.split("/")[-1]))
    return [form(given) for given in inputs] if form else list(inputs)
