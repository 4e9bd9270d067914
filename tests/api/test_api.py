"""The Python API: its names, and what its functions do on a small project."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import diffufix
from diffufix import api
from diffufix.config import option_names

PROJECT = {
    "pyproject.toml": "",
    "shop.py": (
        "def total(prices):\n    return sum(prices) + 1\n\n\n"
        "def mean(prices):\n    return sum(prices) / len(prices)\n"
    ),
    "test_shop.py": (
        "from shop import mean, total\n\n\n"
        "def test_total():\n    assert total([1, 2]) == 3\n\n\n"
        "def test_nothing():\n    assert total([]) == 0\n\n\n"
        "def test_mean():\n    assert mean([1, 3]) == 2\n"
    ),
}
DIFF = """\
--- a/shop.py
+++ b/shop.py
@@ -1,2 +1,2 @@
 def total(prices):
-    return sum(prices) + 1
+    return sum(prices)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_stub_has_the_names_of_the_package(repository: Path) -> None:
    tree = ast.parse((repository / "diffufix" / "__init__.pyi").read_text())
    names = {
        alias.asname for node in tree.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    assert names == {*diffufix.__all__} - {"__version__"}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert {vars(diffufix)["_HOME"][a.name] for a in node.names} == {node.module}


def test_every_name_is_there_and_says_what_it_is() -> None:
    for name in diffufix.__all__:
        value = getattr(diffufix, name)
        assert name in dir(diffufix)
        if callable(value) and not isinstance(value, type) and name not in ("Event", "Listener"):
            assert inspect.getdoc(inspect.unwrap(value))
    with pytest.raises(AttributeError, match="no attribute 'repare'"):
        _ = diffufix.repare  # type: ignore[attr-defined]


def test_options_are_those_of_the_settings() -> None:
    own = {*option_names()} - api.NO_OPTIONS | {"all", "expect"}
    assert own == {*api.RunOptions.__annotations__}


def test_rooms_can_be_called_in_whatever_order_they_are_imported() -> None:
    code = (
        "import sys, diffufix\n"
        "from diffufix import repair\n"
        "import diffufix.verify.judge, diffufix.generate.types, diffufix.localize\n"
        "import inspect\n"
        "for each in (repair, diffufix.verify, diffufix.generate, diffufix.localize):\n"
        "    assert 'path' in inspect.signature(each).parameters\n"
        "assert diffufix.repair.types.Status\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_mistyped_option_is_answered(project: Path) -> None:
    with pytest.raises(diffufix.UsageError, match="no option 'budgt'"):
        diffufix.repair(project, budgt=3)  # type: ignore[call-arg]
    with pytest.raises(diffufix.UsageError, match="no folder"):
        diffufix.localize(project / "nowhere")
    with pytest.raises(diffufix.UsageError, match="list of arguments"):
        diffufix.localize(project, "test_shop.py")


def test_localize(project: Path) -> None:
    seen: list[diffufix.Event] = []
    found = diffufix.localize(project, budget=200, on_event=seen.append)
    assert [case.id for case in found.failing] == [
        "test_shop.py::test_total",
        "test_shop.py::test_nothing",
    ]
    assert [s.qualname for s in found.suspects] == ["total"]
    assert found.tests == 3
    assert seen


def test_verify_a_diff_that_mends_all(project: Path) -> None:
    found = diffufix.verify(DIFF, project, budget=200)
    assert found.verdict.passed
    assert found.claims is not None
    assert found.claims.kept == ("test_shop.py::test_mean",)
    assert found.words == "2 of 2 failing tests pass with the change, and 1 other passes as before."
    assert (project / "shop.py").read_text() == PROJECT["shop.py"]


@pytest.mark.slow
def test_verify_texts_that_mend_a_part_or_break_something(project: Path) -> None:
    part = PROJECT["shop.py"].replace("sum(prices) + 1", "sum(prices) + (1 if prices else 0)")
    found = diffufix.verify({"shop.py": part}, project, budget=200)
    assert not found.verdict.passed
    assert found.claims is not None, found.verdict
    assert found.claims.turned_green == ("test_shop.py::test_nothing",)
    assert found.still_failing == ("test_shop.py::test_total",)
    broken = PROJECT["shop.py"].replace(" + 1", "").replace("len(prices)", "(len(prices) + 1)")
    found = diffufix.verify({"shop.py": broken}, project, budget=200)
    assert found.claims is None
    assert "test_mean" in found.words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"../shop.py": "x"}, "no file of the project"),
        (DIFF.replace("sum(prices) + 1", "sum(others)"), "does not fit"),
        ({"shop.py": PROJECT["shop.py"]}, "changes nothing"),
    ],
)
def test_a_change_that_does_not_fit(project: Path, change, said: str) -> None:
    with pytest.raises(diffufix.UsageError, match=said):
        diffufix.verify(change, project)


def test_verify_refuses_tests_that_are_edited(project: Path) -> None:
    found = diffufix.verify({"test_shop.py": "def test_total():\n    pass\n"}, project, budget=200)
    assert found.verdict.state is diffufix.State.SUSPICIOUS
    assert found.claims is None


@pytest.mark.slow
def test_repair_apply_undo_and_runs(project: Path) -> None:
    result = diffufix.repair(project, budget=150, model="mini", accept="plausible")
    assert result.patch is not None
    assert result.turned_green
    row = diffufix.runs(project, run=result.run_id)[0]
    assert row.summary["status"] == result.status
    assert diffufix.runs(project)[0].id == result.run_id
    assert diffufix.apply(result, path=project) == ("shop.py",)
    assert (project / "shop.py").read_text() == result.patch.files["shop.py"]
    assert diffufix.undo(project) == ("shop.py",)
    assert (project / "shop.py").read_text() == PROJECT["shop.py"]
