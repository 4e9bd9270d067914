"""Projects of difficult shape, from the first run of the tests to the confirmed patch.

A scripted proposer offers a wrong edit and the right one (tests/support/shapes.py), so what is
tested is everything else.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from diffufix.project import find_member, find_root
from diffufix.repair.types import RepairResult, Status
from diffufix.report.result import summary
from diffufix.source.patch import diff_bytes
from tests.support.scripted import Told, repair
from tests.support.shapes import FARE, RIGHT, SHAPES, TESTS, Shape, write

pytestmark = pytest.mark.slow


def run(tmp_path: Path, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> tuple[RepairResult, Told]:
    root = tmp_path / "project"
    for name, value in shape.variables.items():
        monkeypatch.setenv(name, value)
    write(root, shape)
    start, options = root / shape.start, dict(shape.options)
    if shape.start:
        assert find_root(start) == root
        options["folder"] = find_member(start, root).relative_to(root).as_posix()
    return repair(root, {}, shape.script, **options)


def named(ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(id_.partition("::")[2].partition("[")[0].rpartition("::")[2] for id_ in ids)


@pytest.mark.parametrize("name", SHAPES)
def test_the_fault_is_repaired_and_nothing_untrue_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[name]
    result, told = run(tmp_path, shape, monkeypatch)
    said = "\n".join([*(text for text, _ in summary(result)), told.warnings])
    assert result.status is (Status.NOT_REPAIRED if shape.red else Status.REPAIRED), said
    assert result.patch is not None
    assert [edit.path for edit in result.patch.edits] == [shape.source], said
    added = [x for x in result.patch.diff.splitlines() if x.startswith("+ ")]
    assert [x.split("if ")[1] for x in added] == [f"{shape.script[-1][1]}:"], said
    assert {suspect.path for suspect in result.suspects} <= {
        shape.source,
        "tool.py",
        "rides/desk.py",
    }, said
    claims = result.claims
    assert claims is not None
    assert sorted(named(claims.turned_green)) == sorted(shape.turned), said
    assert named(claims.still_failing) == named(result.still_red) == shape.red, said
    assert named(claims.skipped) == shape.skipped, said
    assert len(claims.kept) == shape.passing, said
    assert (claims.flaky, claims.differs, claims.not_run) == ((), (), ()), said
    if shape.passing and not shape.red:  # of a selection, nothing is said of the other tests
        assert "as before" in said
        assert ("nothing else broke" in said) is (not result.selected)


def test_the_diff_of_a_file_that_is_not_utf_8_can_be_applied(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    text = "# -*- coding: latin-1 -*-\n" + FARE.replace("half.", "half: 5 \xa4.")
    (root / "tariff.py").write_bytes(text.encode("latin-1"))
    (root / "test_fare.py").write_text(TESTS)
    result, _ = repair(root, {}, [RIGHT])
    assert result.status is Status.REPAIRED
    assert result.patch is not None
    (tmp_path / "fix.patch").write_bytes(diff_bytes(result.patch.diff, root))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "apply", str(tmp_path / "fix.patch")], cwd=root, check=True)
    fixed = text.replace("age < 15", "age <= 15").encode("latin-1")
    assert (root / "tariff.py").read_bytes() == fixed
