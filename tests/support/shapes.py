"""Small projects of difficult shape, each with the same fault: `age < 15` for `age <= 15`.

Each shape is what its name says; `Shape` has what is right for it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FARE = '''\
"""What a ride costs."""


def fare(age):
    """Children below 6 ride free, up to 15 they pay half."""
    if age < 6:
        return 0
    if age < 15:
        return 5
    return 10
'''
TESTS = """\
from tariff import fare


def test_small():
    assert fare(3) == 0


def test_grown():
    assert fare(40) == 10


def test_edge():
    assert fare(15) == 5
"""
EDGE = "def test_edge():\n    assert fare(15) == 5\n"
WRONG, RIGHT = ("age < 15", "age > 15"), ("age < 15", "age <= 15")
GREEN = ("test_edge",)


@dataclass(frozen=True)
class Shape:
    """`files` beside the two that all have; `tests` are added to theirs."""

    files: Mapping[str, str] = field(default_factory=dict)
    tests: str = ""
    whole: str = ""  # the whole file of tests
    source: str = "tariff.py"
    start: str = ""  # the folder in which the user stands
    script: tuple[tuple[str, str], ...] = (WRONG, RIGHT)
    options: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    lay: Callable[[Path], None] = lambda root: None
    turned: tuple[str, ...] = GREEN
    red: tuple[str, ...] = ()  # still failing in the end
    skipped: tuple[str, ...] = ()
    passing: int = 2


def git(root: Path) -> None:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=root, check=True, capture_output=True)


def link(root: Path) -> None:
    (root / "lib").mkdir()
    (root / "tariff.py").rename(root / "lib" / "real.py")
    (root / "tariff.py").symlink_to("lib/real.py")


SHAPES = {
    "takes longer once it is right": Shape(
        tests="""
import subprocess, sys, threading, time

def test_goes_on():
    assert fare(15) == 5
    time.sleep(0.4)
    thread = threading.Thread(target=time.sleep, args=(0.2,))
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert sum(n % 7 for n in range(1_000_000))
""",
        turned=("test_edge", "test_goes_on"),
    ),
    "a helper beside the tests": Shape(
        files={"checks.py": "def same(seen, age):\n    if seen != age:\n"
               "        raise AssertionError(f'{seen} and {age}')\n"},
        whole="from checks import same\nfrom tariff import fare\n\n\ndef test_small():\n"
        "    same(fare(3), 0)\n\n\ndef test_grown():\n    same(fare(40), 10)\n\n\n"
        "def test_edge():\n    same(fare(15), 5)\n",
        script=(("seen != age", "seen > age"), WRONG, RIGHT),
    ),
    "a helper in a folder of tests that has another name": Shape(
        files={"Specs/__init__.py": "", "Specs/checks.py": "def same(seen, age):\n"
               "    assert seen == age\n",
               "Specs/spec_fare.py": "from tariff import fare\nfrom .checks import same\n\n\n"
               "def test_edge():\n    same(fare(15), 5)\n",
               "pytest.ini": "[pytest]\npythonpath = .\npython_files = spec_*.py test_*.py\n"},
        script=(("seen == age", "True"), WRONG, RIGHT),
        turned=("test_edge", "test_edge"),
    ),
    "tests need the environment": Shape(
        tests="""
import os

def test_at():
    assert fare(int(os.environ["RIDE_AGE"])) == 5
""",
        variables={"RIDE_AGE": "15"},
        turned=("test_edge", "test_at"),
    ),
    "tests write among the tests": Shape(
        files={"data/seen.txt": "old\n"},
        tests="""
import os, subprocess, sys
from pathlib import Path

HERE = Path(__file__).parent

def test_writes():
    (HERE / "data" / "seen.txt").write_text(str(fare(15)))
    (HERE / "data" / "made.py").write_text("x = 1")
    env = {"PATH": os.defpath, "PYTHONPATH": str(HERE)}
    subprocess.run([sys.executable, "-c", "import tariff"], env=env, check=True)
    assert fare(15) == 5
""",
        turned=("test_edge", "test_writes"),
    ),
    "names of tests that are not the same in every copy": Shape(
        tests="""
import pathlib, time, uuid
import pytest

@pytest.mark.parametrize("path", sorted(pathlib.Path(__file__).parent.glob("*.py")), ids=str)
def test_path(path):
    assert fare(15) == 5 and path.exists()

@pytest.mark.parametrize("when", [f"{time.time()}", uuid.uuid4().hex, "a/b::c [d] \u00e9 \\n"])
def test_when(when):
    assert fare(2) == 0
""",
        turned=("test_edge", "test_path", "test_path"),
        passing=5,
    ),
    "tests that did not fail last time": Shape(options={"pytest_args": ("--lf",)}),
    "git, skipped and expected failures": Shape(
        tests="""
import subprocess
import pytest

def test_git():
    asked = ["git", "ls-files", "tariff.py"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout == "tariff.py\\n"

@pytest.mark.skip
def test_later(): pass

@pytest.mark.xfail
def test_known(): assert fare(1) == 7

def test_perhaps():
    if fare(15) != 5:
        pytest.skip("too early")
""",
        lay=git,
        skipped=("test_later", "test_known"),
        passing=3,
    ),
    "a member of a monorepo": Shape(
        files={
            "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['fares']\naddopts = "
            "'--strict-markers'\n",
            "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef edge():\n    return 15\n",
            "libs/rides/pyproject.toml": "[project]\nname = 'rides'\nversion = '1'\n",
            "libs/rides/src/rides/__init__.py": FARE,
            "libs/rides/tests/test_rides.py": "import pytest\nfrom rides import fare\n\n\n"
            "@pytest.mark.fares\ndef test_edge(edge):\n    assert fare(edge) == 5\n\n\n"
            "def test_small():\n    assert fare(3) == 0\n",
        },
        start="libs/rides",
        source="libs/rides/src/rides/__init__.py",
        passing=1,
    ),
    "a function that is called all the time": Shape(
        tests="""
def test_often():
    assert {fare(15) for n in range(400_000)} == {5}
""",
        turned=("test_edge", "test_often"),
    ),
    "code that runs in other processes": Shape(
        files={"tool.py": "import sys\nfrom tariff import fare\n\nif __name__ == '__main__':\n"
               "    print(fare(int(sys.argv[1])))\n"},
        whole="""
import multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from tariff import fare

def test_tool():
    done = subprocess.run([sys.executable, "tool.py", "15"], capture_output=True, text=True)
    assert done.stdout == "5\\n", done.stderr

def test_pool():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(fare, [15])) == [5]

def test_own_environment():
    done = subprocess.run([sys.executable, "tool.py", "3"], env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0
""",
        turned=("test_tool", "test_pool"),
        passing=1,
    ),
    "src is the package and hides the standard library": Shape(
        files={"src/__init__.py": "", "src/types.py": FARE, "src/calendar.py": "",
               "tests/test_src.py": "from src.types import fare\n\n\n" + EDGE},
        whole="def test_nothing():\n    pass\n",
        source="src/types.py",
        passing=1,
    ),
    "the root is the package": Shape(
        files={"__init__.py": "", "inner.py": FARE, "tests/__init__.py": "",
               "tests/test_inner.py": "from project.inner import fare\n\n\n" + EDGE},
        whole="def test_nothing():\n    pass\n",
        source="inner.py",
        passing=1,
    ),
    "sources that are called like tests": Shape(
        files={"rides/__init__.py": "", "rides/testing/__init__.py": "",
               "rides/testing/fare_test.py": FARE.replace("age", "years"),
               "rides/desk.py": "from rides.testing.fare_test import fare\n\n\ndef ask(n):\n"
               "    return fare(n)\n",
               "test_desk.py": "from rides.desk import ask\n\n\ndef test_desk():\n"
               "    assert ask(15) == 5\n"},
        whole="def test_nothing():\n    pass\n",
        source="rides/testing/fare_test.py",
        script=(("years < 15", "years <= 15"),),
        turned=("test_desk",),
        passing=1,
    ),
    "items of a linter": Shape(
        files={"conftest.py": """
import pytest


class Style(pytest.Item):
    def runtest(self):
        assert self.path.read_text()


class Checked(pytest.File):
    def collect(self):
        yield Style.from_parent(self, name="style")


def pytest_collect_file(file_path, parent):
    if file_path.name == "tariff.py":
        return Checked.from_parent(parent, path=file_path)
"""},
        passing=3,
    ),
    "a source behind a link": Shape(lay=link, source="lib/real.py"),
    "signs that look like the end of a line": Shape(
        files={"tariff.py": FARE.replace("\n\n\n", "\n\x0c\n\x0c\n\nEND = '\x85\u2028\x1c'\n\n", 1)
               .replace("    if age < 6", "\x0c\n    if age < 6")},
    ),
    "setting up fails": Shape(
        tests="""
import pytest

@pytest.fixture(scope="module")
def half():
    assert fare(15) == 5
    yield 5

def test_with(half):
    assert half == 5

class TestSteps:
    @classmethod
    def setup_class(cls):
        cls.half = fare(15)
        assert cls.half == 5

    def test_step(self):
        assert self.half == 5
""",
        turned=("test_edge", "test_with", "test_step"),
    ),
    "expected failures and subtests": Shape(
        tests="""
import unittest
import pytest

@pytest.mark.xfail(strict=True)
def test_strict():
    assert fare(15) == 10

class Parts(unittest.TestCase):
    def test_parts(self):
        for age, half in ((3, 0), (15, 5), (16, 10)):
            with self.subTest(age=age):
                self.assertEqual(fare(age), half)
                if age == 16:
                    self.skipTest("enough")
""",
        turned=("test_edge", "test_strict", "test_parts"),
    ),
    "doctests": Shape(
        files={"tariff.py": FARE.replace('half."""', 'half.\n\n    >>> fare(15)\n    5\n    """'),
               "pytest.ini": "[pytest]\naddopts = --doctest-modules\n"},
        turned=("tariff.fare", "test_edge"),
    ),
    "a fixture of the class keeps state": Shape(
        whole="""
import pytest
from tariff import fare

class TestDay:
    @pytest.fixture(scope="class")
    def till(self):
        return []

    def test_small(self, till):
        till.append(fare(3))
        assert till

    def test_edge(self, till):
        till.append(fare(15))
        assert till == [0, 5]

    def test_grown(self):
        assert fare(40) == 10
""",
    ),
    "tests that share state": Shape(
        whole="""
from tariff import fare

seen = []

def test_small():
    seen.append(fare(3))
    assert seen == [0]

def test_edge():
    seen.append(fare(15))
    assert seen == [0, 5]

def test_other():
    assert 1 == 2
""",
        red=("test_other",),
        passing=1,
    ),
}  # fmt: skip


def write(root: Path, shape: Shape) -> None:
    """Write the project below `root`."""
    files = {"tariff.py": FARE, "test_fare.py": (shape.whole or TESTS) + shape.tests}
    for name, text in {**files, **shape.files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="")
    shape.lay(root)
