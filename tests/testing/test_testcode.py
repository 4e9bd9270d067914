"""Which files are test code: told by who imports them, in layouts of many kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from diffufix.testing.testcode import named_like_tests
from diffufix.testing.testcode import test_code as find_test_code

SAME = "def same(seen, wanted):\n    if seen != wanted:\n        raise AssertionError(seen)\n"
CODE = "def price(lines):\n    return sum(lines)\n"


def layout(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def case(*imports: str) -> str:
    return "\n".join(imports) + "\n\n\ndef test_it():\n    assert True\n"


#: name -> (files, ids, test code besides the files of the ids)
LAYOUTS: dict[str, tuple[dict[str, str], list[str], set[str]]] = {
    "helper in a folder that pytest's configuration names": (
        {
            "shop.py": CODE,
            "checks/__init__.py": "",
            "checks/check_shop.py": case("from shop import price", "from checks.same import same"),
            "checks/same.py": "def same(a, b):\n    return a == b\n",
            "pytest.ini": "[pytest]\npython_files = check_*.py\ntestpaths = checks\n",
        },
        ["checks/check_shop.py::test_it"],
        {"checks/same.py", "checks/__init__.py"},
    ),
    "helper in a folder that nothing names": (
        {
            "shop.py": CODE,
            "qa/test_shop.py": case("import shop", "from compare import like"),
            "qa/compare.py": "def like(a, b):\n    return a == b\n",
        },
        ["qa/test_shop.py::test_it"],
        {"qa/compare.py"},
    ),
    "helper beside a flat module": (
        {
            "shop.py": CODE,
            "test_shop.py": case("from shop import price", "from tools import same"),
            "tools.py": SAME,
        },
        ["test_shop.py::test_it"],
        {"tools.py"},
    ),
    "flat helper that only its name tells": (
        {
            "shop.py": CODE,
            "test_shop.py": case("from shop import price", "import helpers"),
            "helpers.py": "def like(a, b):\n    return a == b\n",
        },
        ["test_shop.py::test_it"],
        {"helpers.py"},
    ),
    "helpers that import each other": (
        {
            "shop.py": CODE,
            "Tests/test_shop.py": case("from shop import price", "from helper import same"),
            "Tests/helper.py": "import more\n" + SAME,
            "Tests/more.py": "import helper\n",
        },
        ["Tests/test_shop.py::test_it"],
        {"Tests/helper.py", "Tests/more.py"},
    ),
    "helpers used by one flat module that the tests do not import": (
        {
            "shop.py": "import helpers\n" + CODE,
            "test_shop.py": case("from shop import price"),
            "helpers.py": "def total(lines):\n    return sum(lines)\n",
        },
        ["test_shop.py::test_it"],
        set(),
    ),
    "helpers that the project's own code needs, too": (
        {
            "shop.py": "from helpers import total\n" + CODE,
            "test_shop.py": case("from shop import price", "import helpers"),
            "helpers.py": "def total(lines):\n    assert lines\n    return sum(lines)\n",
        },
        ["test_shop.py::test_it"],
        set(),
    ),
    "a base class of test cases outside of the tests' folder": (
        {
            "src/shop/__init__.py": "",
            "src/shop/bill.py": CODE,
            "tests/test_bill.py": case("from shop.bill import price", "from common import Case"),
            "common.py": "import unittest\n\n\nclass Case(unittest.TestCase):\n    pass\n",
        },
        ["tests/test_bill.py::test_it"],
        {"common.py"},
    ),
    "real code in a package's folder called testing": (
        {
            "shop/__init__.py": "",
            "shop/testing/__init__.py": "",
            "shop/testing/prices.py": CODE,
            "tests/test_prices.py": case("from shop.testing.prices import price"),
        },
        ["tests/test_prices.py::test_it"],
        set(),
    ),
    "asserting code that is what the tests are about": (
        {
            "shop/__init__.py": "from .bill import price\n",
            "shop/bill.py": CODE,
            "shop/testing/same.py": SAME,
            "tests/test_same.py": case("from shop.testing.same import same", "import shop"),
        },
        ["tests/test_same.py::test_it"],
        set(),
    ),
    "a folder of helpers called testing, outside of the package": (
        {
            "shop/__init__.py": "",
            "shop/bill.py": CODE,
            "testing/same.py": SAME,
            "tests/test_bill.py": case("from shop.bill import price", "from testing.same import *"),
        },
        ["tests/test_bill.py::test_it"],
        {"testing/same.py"},
    ),
    "source that is named like a test": (
        {
            "stats_test.py": "def chi(values):\n    return 0\n",
            "tests/test_stats.py": case("from stats_test import chi"),
        },
        ["tests/test_stats.py::test_it"],
        set(),
    ),
    "source named like a test that the package imports": (
        {
            "lab/__init__.py": "from lab.load_test import run\nfrom lab import plan\n",
            "lab/load_test.py": "def run(n):\n    return n\n",
            "lab/plan.py": "",
            "lab/checks/test_all.py": case("from lab import load_test, plan"),
        },
        ["lab/checks/test_all.py::test_it"],
        set(),
    ),
    "tests beside the source": (
        {
            "shop/__init__.py": "",
            "shop/bill.py": CODE,
            "shop/test_bill.py": case("from shop.bill import price", "from shop.util import more"),
            "shop/util.py": "def more():\n    pass\n",
        },
        ["shop/test_bill.py::test_it"],
        set(),
    ),
    "items of linters and doctests": (
        {"marks.py": "def ruffle():\n    pass\n", "tests/test_marks.py": case("import marks")},
        ["tests/test_marks.py::test_it", "marks.py::ruff", "marks.py::STYLE", "marks.py::marks.f",
         "marks.py::ruffle:0"],
        set(),
    ),
    "other tests than those that were asked for": (
        {
            "shop.py": CODE,
            "tests/test_shop.py": case("import shop"),
            "tests/test_other.py": case("import shop"),
            "test_top.py": case("import shop"),
        },
        ["tests/test_shop.py::test_it"],
        {"tests/test_other.py", "test_top.py"},
    ),
    "a script that borrows a helper of the tests": (
        {
            "shop.py": CODE,
            "tests/test_shop.py": case("import shop", "from tests.help import same"),
            "tests/help.py": SAME,
            "tests/__init__.py": "",
            "bench/__init__.py": "",
            "bench/speed.py": "from tests.help import same\n",
        },
        ["tests/test_shop.py::test_it"],
        {"tests/help.py", "tests/__init__.py"},
    ),
    "a plugin that the project installs": (
        {
            "plug.py": "import pytest\n",
            "other.py": "",
            "pyproject.toml": '[project.entry-points.pytest11]\nplug = "plug:main"\n',
            "tests/test_it.py": case("import plug, other"),
        },
        ["tests/test_it.py::test_it"],
        set(),
    ),
    "plugins named by a conftest": (
        {
            "shop.py": CODE,
            "conftest.py": 'pytest_plugins = ["fixtures_of_mine"]\n',
            "fixtures_of_mine.py": "import pytest\n",
            "test_shop.py": case("import shop"),
        },
        ["test_shop.py::test_it"],
        {"conftest.py", "fixtures_of_mine.py"},
    ),
    "code and tests in one file": (
        {"kata.py": CODE + "\n\ndef test_it():\n    assert price([1]) == 1\n"},
        ["kata.py::test_it"],
        {"kata.py"},
    ),
    "newer syntax than any": (
        {
            "shop.py": "def f[T](x: T) -> T:\n    return <new>\n",
            "tests/test_shop.py": case("import shop") + "x = <new>\n",
            "tests/same.py": "y = <new>\n",
        },
        ["tests/test_shop.py::test_it"],
        {"tests/same.py"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    files, ids, more = LAYOUTS[name]
    found = find_test_code(layout(tmp_path, files), ids)
    expected = {ids[0].partition("::")[0], *more}
    assert found.files == expected
    assert all(path in found for path in expected)


def test_by_the_name_alone() -> None:
    for path in ("tests/x.py", "a/Tests/x.py", "test_a.py", "a_test.py", "a/conftest.py",
                 "pkg/testing/x.py", "unit-tests/a.py"):  # fmt: skip
        assert named_like_tests(path)
    for path in ("a.py", "contest.py", "latest/x.py", "attests.py", "src/protest/x.py"):
        assert not named_like_tests(path)
