# mypy: ignore-errors
"""Examples of docstrings as tests. diffufix lays this file over its own copies of a project.

Runs in the project's interpreter: needs nothing but pytest. `CASES` and `MODULES` are written by
diffufix where the marked line stands.
"""

import asyncio
import contextlib
import doctest
import importlib
import math
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
CASES, MODULES = [], {}  # <- written by diffufix


def load(path):
    """The module of a file: as the other tests have imported it, else by its dotted name."""
    full = os.path.realpath(os.path.join(HERE, path))
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and os.path.realpath(file) == full:
            return module
    root, name = MODULES[path]
    folder = os.path.join(HERE, root)
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


LOADED = {}
for _path in MODULES:
    with contextlib.suppress(Exception):  # the tests below say why
        LOADED[_path] = load(_path)


class Runner(doctest.DocTestRunner):
    """Remembers what went wrong with the last example of a session; earlier ones lead up to it."""

    problem = ""

    def report_failure(self, out, test, example, got):
        if example is test.examples[-1]:
            self.problem = f"expected {example.want.strip()}, got {got.strip()}"

    def report_unexpected_exception(self, out, test, example, exc_info):
        if example is test.examples[-1]:
            self.problem = f"{exc_info[0].__name__}: {exc_info[1]}"


def run_session(case, module, flags):
    examples = [
        doctest.Example(source, want, exc_msg, options=options)
        for source, want, exc_msg, options in case["steps"]
    ]
    test = doctest.DocTest(examples, dict(vars(module)), case["id"], None, 0, None)
    runner = Runner(verbose=False, optionflags=flags)
    runner.run(test, out=lambda text: None)
    if runner.problem:
        raise AssertionError(runner.problem)


def same(one, two):
    if isinstance(one, float) and isinstance(two, (int, float)) and not isinstance(two, bool):
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)
    return one == two and isinstance(one, bool) == isinstance(two, bool)


def evaluate(case, names):
    value = eval(case["call"], names)
    if case["wrap"] == "await":
        value = asyncio.run(value)
    return list(value) if case["wrap"] == "list" else value


def run_claim(case, module):
    names = dict(vars(module))
    if case["raises"]:
        with pytest.raises(eval(case["raises"], names)) as caught:
            evaluate(case, names)
        assert not isinstance(caught.value, NotImplementedError) or "Not" in case["raises"]
        return
    got, want = evaluate(case, names), eval(case["value"], {})
    if not same(got, want):
        raise AssertionError(f"expected {want!r}, got {got!r}")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_example(case, pytestconfig):
    module = LOADED.get(case["path"]) or load(case["path"])
    if not case["steps"]:
        run_claim(case, module)
        return
    flags = 0
    for name in pytestconfig.getini("doctest_optionflags") or ():
        flags |= doctest.OPTIONFLAGS_BY_NAME.get(name, 0)
    run_session(case, module, flags)


@pytest.mark.parametrize("path", sorted(MODULES))
def test_import(path):
    load(path)
