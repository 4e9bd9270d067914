"""The fork servers: verdicts, deadlines, leftovers, recovery."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diffufix.errors import ProjectError
from diffufix.types import Candidate, State
from diffufix.verify import ValidatorPool

PROJECT = {
    "shop/__init__.py": "",
    "shop/stock.py": '''
        """A stock of things."""
        import re

        LIMIT = 100


        def total(prices, count=1):
            return sum(prices) * count - 1


        def clean(text):
            return re.sub(r"\\s+", " ", text).strip()


        class Stock:
            def __init__(self):
                self.things = {}

            def put(self, name, count):
                self.things[name] = self.things.get(name, 0) + count
        ''',
    "conftest.py": """
        import pytest

        @pytest.fixture(scope="session")
        def session_log():
            return []

        @pytest.fixture(scope="module")
        def stock(session_log):
            from shop.stock import Stock
            session_log.append("stock")
            return Stock()
        """,
    "test_stock.py": """
        import sys
        import unittest
        import pytest
        from shop.stock import LIMIT, Stock, clean, total

        def test_total():
            assert total([1, 2]) == 3

        def test_total_twice():
            assert total([1, 2], 2) == 6

        def test_clean():
            assert clean(" a  b ") == "a b"

        def test_put(stock, session_log, tmp_path, monkeypatch, capsys):
            monkeypatch.chdir(tmp_path)
            (tmp_path / "file").write_text("x")
            stock.put("pen", 2)
            print("hello")
            assert capsys.readouterr().out == "hello\\n"
            assert stock.things["pen"] == 2
            assert session_log == ["stock"]

        def test_put_again(stock):
            stock.put("ink", 1)
            assert stock.things["ink"] == 1

        class TestCase(unittest.TestCase):
            def setUp(self):
                self.stock = Stock()

            def test_limit(self):
                self.assertEqual(LIMIT, 100)
                self.assertEqual(self.stock.things, {})

        @pytest.mark.skip(reason="later")
        def test_later():
            raise AssertionError

        @pytest.mark.xfail(strict=True)
        def test_known():
            assert total([]) == 5
        """,
}
RIGHT = "return sum(prices) * count"
WRONG = "return sum(prices) * count - 1"


@pytest.fixture(scope="module")
def project(make_project: Any) -> Any:
    return make_project(PROJECT)


@pytest.fixture(scope="module")
def screen(project: Any) -> Iterator[ValidatorPool]:
    with project.screen() as screen:
        yield screen


def body(project: Any, text: str) -> Candidate:
    return project.edit("shop/stock.py", WRONG, text)


def processes_of(sandbox: Any) -> list[int]:
    """Processes that work in the sandbox's tree, ours and strays, by their environment."""
    found = []
    needle = f"DIFFUFIX_INTERNAL_SANDBOX={Path(sandbox.private).parent.name}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if needle in Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


def test_the_baseline_is_the_same_in_the_sandbox(project: Any, screen: ValidatorPool) -> None:
    assert screen.collected == set(project.baseline)
    assert screen.check(list(project.baseline)).outcomes == project.baseline


@pytest.mark.parametrize("way", ["swap", "fork", "cold"])
def test_a_right_candidate_passes(project: Any, screen: ValidatorPool, ask: Any, way: str) -> None:
    verdict = ask(screen, body(project, RIGHT), project.tests, way=way)
    assert verdict.state is State.PASS, verdict
    assert verdict.outcomes == {**project.baseline, **dict.fromkeys(project.failing, "passed")}


@pytest.mark.parametrize("way", ["swap", "fork", "cold"])
def test_a_wrong_candidate_fails_at_its_first_red_test(
    project: Any, screen: ValidatorPool, ask: Any, way: str
) -> None:
    verdict = ask(screen, body(project, "return sum(prices)"), project.tests, way=way)
    assert verdict.state is State.FAIL
    assert verdict.outcomes == {
        "test_stock.py::test_total": "passed",
        "test_stock.py::test_total_twice": "failed",
    }
    assert "assert 3 == 6" in verdict.detail


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ("LIMIT = 100", "LIMIT = 99", State.FAIL),
        ("LIMIT = 100", "LIMIT = 1 / 0", State.ERROR),
        ("LIMIT = 100", "LIMIT = (100", State.ERROR),
        ("import re", "import no_such_module", State.ERROR),
        ("LIMIT = 100", "LIMIT = 100\nraise SystemExit(0)", State.ERROR),
        ("LIMIT = 100", "LIMIT = 100\nwhile True: pass", State.TIMEOUT),
        ("count=1", "count=2", State.FAIL),
        ("def clean(text):", "def cleaned(text):", State.ERROR),
    ],
)
def test_edits_outside_of_bodies(
    project: Any, screen: ValidatorPool, ask: Any, old: str, new: str, state: State
) -> None:
    text = body(project, RIGHT).files["shop/stock.py"].replace(old, new)
    verdict = ask(screen, Candidate({"shop/stock.py": text}), project.tests)
    assert verdict.state is state, verdict
    assert ask(screen, body(project, RIGHT), project.tests).passed


def test_a_same_size_rewrite_is_not_taken_from_stale_bytecode(
    project: Any, screen: ValidatorPool, ask: Any
) -> None:
    for _ in range(2):
        for digit, state in (("0", State.PASS), ("7", State.FAIL), ("2", State.FAIL)):
            candidate = body(project, f"return sum(prices) * count - {digit}")
            for way in ("fork", "swap"):
                assert ask(screen, candidate, project.tests, way=way).state is state


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "return sum(range(10**12))",
        "return re.match(r'(a+)+$', 'a' * 40 + 'b')",
        "import time; time.sleep(1000)",
        "import threading; x = threading.Lock(); x.acquire(); x.acquire()",
    ],
    ids=["python", "c", "re", "sleep", "deadlock"],
)
def test_a_hang_costs_little(project: Any, screen: ValidatorPool, ask: Any, code: str) -> None:
    began = time.monotonic()
    verdict = ask(screen, body(project, code), project.tests)
    assert verdict.state is State.TIMEOUT
    assert verdict.outcomes["test_stock.py::test_total"] == "failed"
    assert time.monotonic() - began < 3  # about 0.1 when the machine is idle


@pytest.mark.parametrize(
    "code",
    [
        "return total(prices, count)",
        "import sys; sys.setrecursionlimit(10**9); return total(prices, count)",
        "return [0] * 10**12",
        "x = []\n    while True: x.append(' ' * 10**7)",
        "import os; os.kill(os.getpid(), 11)",
        "raise KeyError(prices)",
        "raise SystemExit(0)",
        "print('x' * 10**6)\n    return 0",
        "open('/dev/full', 'w').write('x' * 10**6)",
    ],
    ids=["recursion", "stack", "memory", "hog", "segfault", "raise", "exit", "output", "full"],
)
def test_candidates_that_break_are_red(
    project: Any, screen: ValidatorPool, ask: Any, code: str
) -> None:
    verdict = ask(screen, body(project, code), project.tests)
    assert verdict.state in (State.FAIL, State.TIMEOUT), verdict
    assert ask(screen, body(project, RIGHT), project.tests).passed


FLOOD = """
    while True:
        print('x' * 10**6, flush=True)"""


def test_a_flood_of_output_is_bounded(project: Any, screen: ValidatorPool, ask: Any) -> None:
    verdict = ask(screen, body(project, FLOOD), project.tests)
    assert verdict.state in (State.FAIL, State.TIMEOUT)
    assert ask(screen, body(project, RIGHT), project.tests).passed


FORGERIES = {
    "os._exit": "import os; os._exit(0)",
    "pytest.exit": "import pytest; pytest.exit('done', returncode=0)",
    "skip": "import pytest; pytest.skip('no')",
    "xfail": "import pytest; pytest.xfail('no')",
    "interrupt": "raise KeyboardInterrupt",
    "close": "import os; os.closerange(3, 4096); os._exit(0)",
    "equal": """
    class Any(int):
        def __eq__(self, other): return True
        def __hash__(self): return 0
    return Any()""",
    "runtest": """
    import _pytest.python
    _pytest.python.Function.runtest = lambda self: None
    _pytest.unittest.TestCaseFunction.runtest = lambda self: None
    return sum(prices) * count""",
    "report": """
    from _pytest.reports import TestReport
    def make(item, call):
        call.excinfo = None
        return old(item, call)
    old = TestReport.from_item_and_call
    TestReport.from_item_and_call = make
    assert False""",
    "atexit": """
    import atexit, os
    atexit.register(os._exit, 0)
    return 0""",
    "fork": """
    import os
    if os.fork():
        os._exit(0)
    return sum(prices) * count""",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_never_a_pass(
    project: Any, screen: ValidatorPool, ask: Any, name: str
) -> None:
    for way in ("swap", "fork"):
        verdict = ask(screen, body(project, FORGERIES[name]), project.tests, way=way)
        assert verdict.state in (State.SUSPICIOUS, State.FAIL, State.TIMEOUT), (way, verdict)
    assert ask(screen, body(project, RIGHT), project.tests).passed


def test_tests_and_configuration_cannot_be_edited(
    project: Any, screen: ValidatorPool, ask: Any
) -> None:
    for path in ("test_stock.py", "conftest.py", "pyproject.toml", "../x.py", "/x.py", "a/x.pth"):
        verdict = ask(screen, Candidate({path: ""}), project.tests)
        assert verdict.state is State.SUSPICIOUS, path


def test_files_that_tests_change_are_put_back(
    project: Any, screen: ValidatorPool, ask: Any
) -> None:
    def right_and(code: str) -> Candidate:
        return body(project, f"{code}\n    return sum(prices) * count")

    made = right_and("import pathlib; pathlib.Path(__file__).with_name('x.txt').write_text('1')")
    verdict = ask(screen, made, project.tests)  # green, but its file writes nothing by itself
    assert verdict.state is State.SUSPICIOUS
    assert "write_text" in verdict.detail
    evil = "import pathlib; pathlib.Path(__file__).parents[1].joinpath('test_stock.py')"
    verdict = ask(screen, right_and(evil + ".write_text('def test_total(): pass')"), project.tests)
    assert verdict.state is State.SUSPICIOUS
    gone = right_and("import shutil, pathlib; shutil.rmtree(pathlib.Path(__file__).parent)")
    ask(screen, gone, project.tests)
    for way in ("swap", "fork", "cold"):
        assert ask(screen, body(project, RIGHT), project.tests, way=way).passed


def test_processes_left_behind_are_killed(project: Any, screen: ValidatorPool, ask: Any) -> None:
    before = set(processes_of(project.made[-1]))
    code = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    return sum(prices) * count"""
    ask(screen, body(project, code), project.tests)
    assert set(processes_of(project.made[-1])) <= before
    assert ask(screen, body(project, RIGHT), project.tests).passed


def test_a_server_that_dies_is_started_again(project: Any, ask: Any) -> None:
    with project.screen() as screen:
        sandbox = project.made[-1]
        for pid in processes_of(sandbox):
            with contextlib.suppress(ProcessLookupError):  # it ended with the one before
                os.kill(pid, signal.SIGKILL)
        assert ask(screen, body(project, RIGHT), project.tests).passed
        killer = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)\n    return 0"
        verdict = ask(screen, body(project, killer), project.tests)
        assert not verdict.passed
        assert ask(screen, body(project, RIGHT), project.tests).passed


def test_close_leaves_nothing_even_in_mid_candidate(project: Any) -> None:
    with project.screen(workers=2) as screen:
        made = project.made[-2:]
        for _ in range(screen.capacity):
            screen.submit(body(project, "import time; time.sleep(1000)"), project.tests)
        assert screen.capacity == 0
        with pytest.raises(queue.Full):
            screen.submit(body(project, RIGHT), project.tests)
        folders = [Path(sandbox.private).parent for sandbox in made]
        time.sleep(0.05)
    for sandbox, folder in zip(made, folders, strict=True):
        assert not folder.exists()
        assert not Path(sandbox.tree).exists()
        needle = f"DIFFUFIX_INTERNAL_SANDBOX={folder.name}"
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                assert needle not in Path(f"/proc/{name}/environ").read_text("latin-1")
            except OSError:
                continue


def test_a_test_that_is_not_there_is_told(project: Any) -> None:
    with pytest.raises(ProjectError, match="not collected"), project.screen(failing=["x.py::y"]):
        pass


def test_results_come_as_they_are_known(project: Any) -> None:
    with project.screen(workers=2) as screen:
        hang = screen.submit(body(project, "import time; time.sleep(9)"), project.tests)
        right = screen.submit(body(project, RIGHT), project.tests)
        seen = {}
        while screen.pending:
            seen.update(screen.results(None))
        assert seen[hang].state is State.TIMEOUT
        assert seen[right].passed
        assert list(screen.results(None)) == []
