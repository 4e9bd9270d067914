"""`run_tests` on real small projects, run for real."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from diffufix.errors import PrerequisiteError, ProjectError, UsageError
from diffufix.testing import copy_project, flaky, run_tests
from tests.support.runs import Make, outcomes

PYTHON = Path(sys.executable)

COLLECTORS = [
    "coverage",
    pytest.param(
        "monitoring",
        marks=pytest.mark.skipif(
            sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"
        ),
    ),
    "settrace",
]


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


CODE = """\
RATE = 3

def price(n):
    if n > 10:
        return n * RATE
    return n - 1

class Cart:
    def __init__(self):
        self.total = 0

    def add(self, n):
        def inner(k):
            return k + price(n)
        self.total += inner(n)
        return self
"""


def test_a_failure_is_told_with_its_cause(make: Make) -> None:
    root = make(
        {
            "test_chain.py": """
            def test_chain():
                try:
                    {}["key"]
                except KeyError as error:
                    raise ValueError("no such key") from error
            """
        }
    )
    (case,) = run_tests(root, ["-q"], python=PYTHON).cases
    cause, told = case.report.split("The above exception led to this one:")
    assert "E   KeyError: 'key'" in cause
    assert "E   ValueError: no such key" in told


def test_every_kind_of_outcome(make: Make) -> None:
    root = make(
        {
            "tests/test_kinds.py": """
            import unittest
            import pytest

            @pytest.fixture
            def broken():
                raise OSError("no disk")

            @pytest.fixture
            def late():
                yield
                raise ValueError("too late")

            def test_good(): pass
            def test_bad(): assert 1 == 2
            def test_setup(broken): pass
            def test_teardown(late): pass
            def test_both(late): raise KeyError("first")
            def test_skip(): pytest.skip("not here")
            @pytest.mark.xfail
            def test_xfail(): assert False
            @pytest.mark.xfail
            def test_xpass(): pass
            @pytest.mark.xfail(strict=True)
            def test_strict(): pass

            class TestPlain:
                def test_method(self): pass

            class TestUnit(unittest.TestCase):
                def test_equal(self): self.assertEqual(1, 2)
                def test_sub(self):
                    for n in range(3):
                        with self.subTest(n=n):
                            self.assertEqual(n, 0)
            """
        }
    )
    before = files_below(root)
    run = run_tests(root, ["-q"], python=PYTHON)
    assert outcomes(run) == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_setup": "error",
        "test_teardown": "error",
        "test_both": "failed",
        "test_skip": "skipped",
        "test_xfail": "xfailed",
        "test_xpass": "xpassed",
        "test_strict": "failed",
        "TestPlain::test_method": "passed",
        "TestUnit::test_equal": "failed",
        "TestUnit::test_sub": "failed",
    }
    cases = {case.id.partition("::")[2]: case for case in run.cases}
    assert cases["test_bad"].message == "AssertionError: assert 1 == 2"
    said = [*cases["test_bad"].report.splitlines()[:2], *cases["test_setup"].report.splitlines()]
    assert said[:2] == [">   def test_bad(): assert 1 == 2", "E   assert 1 == 2"]
    assert said[2:] == [
        "    @pytest.fixture", "    def broken():", '>       raise OSError("no disk")',
        "E   OSError: no disk", "", "tests/test_kinds.py:7: in broken",
    ]  # fmt: skip
    assert cases["test_setup"].message == "OSError: no disk"
    assert cases["test_teardown"].message == "ValueError: too late"
    assert cases["test_both"].message == "KeyError: 'first'"
    assert "not here" in cases["test_skip"].message
    assert [(frame.path, frame.function) for frame in cases["test_bad"].frames] == [
        ("tests/test_kinds.py", "test_bad")
    ]
    assert cases["TestUnit::test_equal"].frames[-1].function == "test_equal"
    assert run.exit_code == 1
    assert 0 < run.start_seconds < run.seconds
    assert run.coverage == {}
    assert "12 items" in run.output or "failed" in run.output
    assert files_below(root) == before, "the run left litter"


def test_parametrised_ids_with_odd_characters(make: Make) -> None:
    root = make(
        {
            "test_odd.py": """
            import pytest
            @pytest.mark.parametrize("x", ["a b", "é::[", "\\n", "-x", "", "\\ud800", "a/b", "'"])
            def test_odd(x): assert x == "a b"
            """
        }
    )
    run = run_tests(root, [], python=PYTHON)
    ids = [case.id for case in run.cases]
    assert len(ids) == 8
    assert [case.outcome for case in run.cases] == ["passed"] + ["failed"] * 7
    again = run_tests(root, [], python=PYTHON, ids=list(reversed(ids[3:])))
    assert [case.id for case in again.cases] == list(reversed(ids[3:]))


@pytest.mark.parametrize("collector", COLLECTORS)
def test_lines_of_each_test(make: Make, collector: str) -> None:
    root = make(
        {
            "src/shop/__init__.py": CODE,
            "src/shop/late.py": "def noop():\n    pass\nNAME = noop()\n",
            "tests/test_shop.py": """
            import threading
            import pytest
            from shop import Cart, price

            @pytest.fixture(scope="module")
            def big(): return price(20)

            def test_first(big): assert big == 60
            def test_second(big): assert big == 61
            def test_small(): assert price(1) == 0
            def test_method(): assert Cart().add(1).total == 1
            def test_thread():
                thread = threading.Thread(target=price, args=(1,))
                thread.start()
                thread.join()
            def test_lazy():
                import shop.late
            def test_tracer_taken_away():
                import sys
                sys.settrace(None)
            def test_after_that(): price(1)
            """,
        }
    )
    run = run_tests(root, [], python=PYTHON, coverage=True, env={"DIFFUFIX_COLLECTOR": collector})
    lines = {
        id.partition("::")[2]: sorted(files.get("src/shop/__init__.py", ()))
        for id, files in run.coverage.items()
    }
    assert lines["test_first"] == lines["test_second"] == [4, 5]
    assert lines["test_small"] == lines["test_thread"] == [4, 6]
    assert lines["test_method"] == [4, 6, 10, 13, 14, 15, 16]
    if collector != "coverage":  # it counts what an import executes
        assert run.coverage["tests/test_shop.py::test_lazy"]["src/shop/late.py"] == {2}
        assert lines["test_after_that"] == [4, 6]
    assert run.coverage["tests/test_shop.py::test_small"]["tests/test_shop.py"]


def test_the_copy_wins_over_an_editable_install(make: Make, tmp_path: Path) -> None:
    root = make(
        {
            "lib/shop.py": "def where(): return __file__\n",
            "src/inner.py": "def where(): return __file__\n",
            "test_where.py": """
            import os, subprocess, sys
            import inner, shop
            here = os.path.dirname(os.path.abspath(__file__))
            def test_path(): assert shop.where() == os.path.join(here, "lib", "shop.py")
            def test_src(): assert inner.where() == os.path.join(here, "src", "inner.py")
            def test_child():
                code = "import inner; print(inner.where())"
                out = subprocess.check_output([sys.executable, "-c", code], text=True)
                assert out.strip() == inner.where()
            def test_own_copy(): assert "scratch" in here
            """,
        }
    )
    tree = copy_project(root, tmp_path / "scratch")
    env = {"PYTHONPATH": os.pathsep.join([str(root / "lib"), str(root / "src")])}
    run = run_tests(root, [str(root / "test_where.py")], python=PYTHON, tree=tree, env=env)
    assert set(outcomes(run).values()) == {"passed"}, run.output
    assert run.root == root
    assert run.args == (str(root / "test_where.py"),)


def test_the_projects_options_do_not_get_in_the_way(make: Make) -> None:
    root = make(
        {
            "pytest.ini": "[pytest]\naddopts = -x --pdb --ff --strict-markers\n"
            "filterwarnings = error\n",
            "test_two.py": """
            def test_one(): assert 0
            def test_two(): assert 0
            def test_three(tmp_path): (tmp_path / "x").write_text("x")
            """,
        }
    )
    before = files_below(root)
    run = run_tests(root, ["--maxfail=1", "-k", "test_"], python=PYTHON, coverage=True)
    assert list(outcomes(run).values()) == ["failed", "failed", "passed"]
    assert files_below(root) == before


def test_collection_errors_tell_where(make: Make) -> None:
    root = make(
        {
            "shop/__init__.py": "",
            "shop/rates.py": "def rate(n):\n    return 1 / n\n\nBASE = rate(0)\n",
            "shop/torn.py": "def f(:\n",
            "tests/test_rates.py": "from shop import rates\ndef test_it(): pass\n",
            "tests/test_torn.py": "from shop import torn\n",
            "tests/test_gone.py": "import no_such_module\n",
            "tests/test_good.py": "def test_good(): pass\n",
        }
    )
    run = run_tests(root, [], python=PYTHON)
    assert outcomes(run) == {"test_good": "passed"}
    errors = {case.id: case for case in run.collection_errors}
    assert set(errors) == {f"tests/test_{name}.py" for name in ("rates", "torn", "gone")}
    frames = errors["tests/test_rates.py"].frames
    assert [(frame.path, frame.line, frame.function) for frame in frames] == [
        ("tests/test_rates.py", 1, "<module>"),
        ("shop/rates.py", 4, "<module>"),
        ("shop/rates.py", 2, "rate"),
    ]
    assert errors["tests/test_rates.py"].message == "ZeroDivisionError: division by zero"
    assert errors["tests/test_torn.py"].message.startswith("SyntaxError")
    assert errors["tests/test_torn.py"].frames[-1].path == "shop/torn.py"
    assert errors["tests/test_gone.py"].message.startswith("ModuleNotFoundError")


def test_a_conftest_that_does_not_import_is_a_collection_error(make: Make) -> None:
    root = make(
        {
            "shop.py": "RATE = 1 / 0\n",
            "conftest.py": "import shop\n",
            "test_shop.py": "def test_it(): pass\n",
        }
    )
    run = run_tests(root, [], python=PYTHON)
    assert run.cases == ()
    (error,) = run.collection_errors
    assert (error.id, error.message) == ("conftest.py", "ZeroDivisionError: division by zero")
    assert [(frame.path, frame.line) for frame in error.frames] == [
        ("conftest.py", 1),
        ("shop.py", 1),
    ]


def test_no_tests_is_a_run_without_cases(make: Make) -> None:
    run = run_tests(make({"shop.py": CODE}), [], python=PYTHON)
    assert (run.cases, run.exit_code, run.collection_errors) == ((), 5, ())


@pytest.mark.parametrize("args", [["--no-such-option"], ["no_such_file.py"], ["test_a.py::nope"]])
def test_arguments_that_pytest_rejects(make: Make, args: list[str]) -> None:
    root = make({"test_a.py": "def test_a(): pass\n"})
    with pytest.raises(UsageError, match=r"no.?such|nope"):
        run_tests(root, args, python=PYTHON)


@pytest.mark.parametrize(
    ("body", "how"),
    [("os._exit(0)", "exit code 0"), ("os.kill(os.getpid(), 11)", "SIGSEGV")],
)
def test_a_crash_names_the_test(make: Make, body: str, how: str) -> None:
    root = make(
        {"test_a.py": f"import os\ndef test_a(): pass\ndef test_b():\n    {body}\n"},
    )
    with pytest.raises(ProjectError, match=r"test_a.py::test_b") as caught:
        run_tests(root, [], python=PYTHON)
    assert how in caught.value.message
    assert "--deselect" in caught.value.hint


@pytest.mark.parametrize("body", ["raise KeyboardInterrupt", "pytest.exit('enough')"])
def test_a_run_cut_short_is_an_error(make: Make, body: str) -> None:
    text = f"import pytest\ndef test_a():\n    {body}\ndef test_b(): pass\n"
    with pytest.raises(ProjectError, match=r"stopped in test_a.py::test_a, 2 tests"):
        run_tests(make({"test_a.py": text}), [], python=PYTHON)


def test_an_exit_status_after_the_last_test_is_a_hooks(make: Make) -> None:
    conftest = "def pytest_sessionfinish(session):\n    session.exitstatus = 3\n"
    root = make({"conftest.py": conftest, "test_a.py": "def test_a(): pass\n"})
    assert outcomes(run_tests(root, [], python=PYTHON)) == {"test_a": "passed"}


#: Stands for plugins with these options.
PLUGINS = """
def pytest_addoption(parser, pluginmanager):
    for name in ("randomly", "rerunfailures"):
        pluginmanager.register(type(name, (), {})(), name)
    parser.addoption("--randomly-seed", default="default")
    parser.addoption("--randomly-dont-reorganize", action="store_true")
    parser.addoption("--reruns", type=int, default=None)
    parser.addoption("--numprocesses", default=None)
"""
ASKS = """
def test_seed(request):
    assert request.config.option.randomly_seed == "{seed}"
    assert request.config.option.reruns == 0
"""


@pytest.mark.parametrize(("option", "seed"), [("--randomly-seed=7", "7"), ("", "0")])
def test_plugins_stand_aside_and_what_that_takes_away_is_known(
    make: Make, option: str, seed: str
) -> None:
    root = make(
        {
            "plugs.py": PLUGINS,
            "pytest.ini": f"""
            [pytest]
            pythonpath = .
            addopts = -p plugs --reruns=2 --numprocesses=3 {option}
            """,
            "test_a.py": ASKS.format(seed=seed),
        }
    )
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the real ones may be there
    run = run_tests(root, [], python=PYTHON, env=alone)
    assert outcomes(run) == {"test_seed": "passed"}, run.output
    assert run.missed == (
        "the workers of pytest-xdist", "the second tries of pytest-rerunfailures",
    )  # fmt: skip
    plain = run_tests(root, ["-o", "addopts=-p plugs"], python=PYTHON, env=alone)
    assert plain.missed == ()


def test_doctests(make: Make) -> None:
    root = make({"shop.py": "def f():\n    '''\n    >>> f()\n    2\n    '''\n    return 1\n"})
    run = run_tests(root, ["--doctest-modules"], python=PYTHON, coverage=True)
    (case,) = run.cases
    assert (case.id, case.outcome) == ("shop.py::shop.f", "failed")
    assert 6 in run.coverage[case.id]["shop.py"]


def test_an_interpreter_that_cannot_do_it(make: Make, tmp_path: Path) -> None:
    root = make({"test_a.py": "def test_a(): pass\n"})
    with pytest.raises(PrerequisiteError, match="cannot be run"):
        run_tests(root, [], python=tmp_path / "python")
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{os.path.realpath(PYTHON)}" -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(PrerequisiteError, match="no pytest") as caught:
        run_tests(root, [], python=bare)
    assert "-m pip install pytest" in caught.value.hint


def test_flaky(make: Make, tmp_path: Path) -> None:
    root = make(
        {
            "test_a.py": """
            import os
            def test_steady(): assert 0
            def test_unsteady():
                path = os.environ["NOTES"]
                seen = os.path.exists(path)
                open(path, "w").close()
                assert seen
            """
        }
    )
    env = {"NOTES": str(tmp_path / "seen")}
    first = run_tests(root, [], python=PYTHON, env=env)
    second = run_tests(root, [], python=PYTHON, env=env)
    assert flaky(first, second) == ("test_a.py::test_unsteady",)
    assert flaky(second, second) == ()
