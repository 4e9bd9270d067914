"""Real fixes: which are learned from, what pairs of them say, and that rows reach the fix."""

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffufix.cli import main
from diffufix.decode.aside import AsideContext
from diffufix.errors import UsageError
from diffufix.model.editing import INSERT, KEEP
from diffufix.model.tokenizer import Tokenizer
from diffufix.model.transformer import Transformer
from diffufix.train.batch import IGNORE
from diffufix.train.bugs.fixes import read_fixes, to_pairs
from diffufix.train.bugs.history import FixPair, load_pairs, told
from diffufix.train.corpus.never import forbidden_packages, never
from diffufix.train.objective import EDITING, loss_of
from diffufix.train.pretrain.examples import ExampleMaker
from diffufix.train.pretrain.fresh import initialise, mini_family
from diffufix.train.pretrain.rows import collate
from tests.support.mini import tiny_model

ROOT = Path(__file__).parents[3]
BEFORE = """\
    def total(self, rows):
        count = 0
        for row in rows:
            if row.price > 10:
                count += row.price
        return "sum of %s" % count
"""
AFTER = """\
    def total(self, rows):
        count = 0
        for row in rows:
            if row.price >= self.least:
                count += row.price
        return "sum is %s" % count
"""


def line(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "repo": "some/project", "date": "2020-01-01", "path": "a/b.py", "qualname": "C.total",
        "kind": "function", "before": BEFORE, "after": AFTER, "rank": 0,
        "outline": "import os\nclass C:\n    # self: least, rows", "functions_in_commit": 1,
        "tests": "# in def test_total():\n    x = 1\n    assert C().total([]) == 3\n",
        "defs_added": 0,
    }  # fmt: skip
    return row | changes


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_only_clean_fixes_of_allowed_projects_become_pairs(tmp_path: Path) -> None:
    other = BEFORE.replace("total", "other"), AFTER.replace("total", "other")
    rows = [
        line(),
        line(before=other[0], after=other[1], qualname="C.other", date="2021-01-01", outline=""),
        line(repo="Pallets/Click"),  # measured on
        line(rank=2), line(functions_in_commit=2), line(defs_added=1), line(kind="module"),
        line(date="2009-01-01"), line(qualname="bitcount"),
        line(before="def f(:\n"),
    ]  # fmt: skip
    out = tmp_path / "pairs.jsonl.gz"
    fixes = str(write(tmp_path / "fixes.jsonl.gz", rows))
    assert main(["train", "fixes", fixes, "--out", str(out)]) == 0
    first, second = load_pairs(out)
    assert (first.before, first.after, first.qualname) == (BEFORE, AFTER, "C.total")
    assert first.failure == "\nassert C().total([]) == 3"
    assert "# self: least" in first.outline
    assert first.names == ""
    assert "total" in second.names.split()  # said by an earlier pair of the same file
    assert not {"row", "price"} & set(second.names.split())  # the function says it itself


def test_what_is_no_file_of_fixes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no gzip")
    assert main(["train", "fixes", str(tmp_path / "x"), "--out", str(tmp_path / "out")]) == 2
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_fixes([tmp_path / "missing"]))


def test_test_lines_that_speak_of_the_function() -> None:
    assert told("# in def test():\n    setup()\n    total(1)\n    assert y == 2\n", "C.total") == (
        "\ntotal(1)\nassert y == 2"
    )
    assert told("", "f") == ""
    assert told("    nothing()\n", "f") == ""


def test_nothing_that_is_measured_on_is_in_a_list_of_packages() -> None:
    """Neither in the `corpus` extra, nor in the file of further packages, nor in the card."""
    assert len(never()) > 90
    banned = forbidden_packages()
    assert {"click", "attrs", "sympy", "pytest", "python-dateutil", "cachetools"} <= banned
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    names = list(table["project"]["optional-dependencies"]["corpus"])
    names += (ROOT / "train/corpus/corpus-packages.txt").read_text("utf-8").splitlines()
    plain = {re.sub(r"[-_.]+", "-", re.split(r"[=<>\[;]", name)[0]).lower() for name in names}
    assert len(plain) > 150
    assert not plain & banned
    assert not plain & {"pillow", "coverage", "peewee", "poetry"}  # held-out fixes are theirs


def pair() -> FixPair:
    (made,) = to_pairs([next(iter(_fixes([line()])))])
    return made


def _fixes(rows: list[dict[str, Any]]) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        yield from list(read_fixes([write(Path(folder) / "f.gz", rows)]))


def spell(ids: list[int], labels: list[int], delete: int, expand: int) -> list[int] | None:
    """A hole with its labels filled in; None where more tokens are to come."""
    filled = [i if label == IGNORE else label for i, label in zip(ids, labels, strict=True)]
    return None if expand in filled else [i for i in filled if i != delete]


def test_filling_a_row_s_holes_gives_the_fix(tokenizer: Tokenizer) -> None:
    """Of the holes that mend, those over one edit mend that one, those over both mend both, the
    others leave the function as it was."""
    family = mini_family(512)
    maker = ExampleMaker(tokenizer, family, 1280)
    assert family.delete is not None
    assert family.expand is not None
    half = [
        BEFORE.replace("> 10", ">= self.least"), BEFORE.replace("sum of", "sum is"), AFTER, BEFORE,
    ]  # fmt: skip
    meant = [ast.dump(ast.parse("if 1:\n" + text)) for text in half]
    seen: set[int] = set()
    for seed in range(12):
        row = maker.history(pair(), random.Random(seed))
        assert row is not None
        assert family.eos is not None
        n = row.segments.index(1)
        context = row.ids[1 : row.ids.index(family.eos)]
        assert tokenizer.decode(context).strip("\n") == BEFORE.strip("\n")
        assert row.edits is not None
        edited = [i for i in range(n) if row.edits[i] not in (KEEP, IGNORE)]
        words = tokenizer.decode([row.ids[i] for i in edited])
        assert "10" in words
        assert "of" in words
        assert "count" not in words
        at = n
        while at < len(row.ids):
            was = row.segments[at]
            end = next(
                (i for i in range(at, len(row.ids)) if row.segments[i] > was + 1), len(row.ids)
            )
            fill = next(i for i in range(at, end) if row.segments[i] == was + 1)
            original = row.ids[at + 1 : fill - 1]
            start = row.positions[at] + 1
            text = spell(
                row.ids[fill : end - 1], row.labels[fill : end - 1], family.delete, family.expand
            )
            at = end
            if text is None:
                continue
            made = row.ids[1:start] + text + row.ids[start + len(original) : len(context) + 1]
            seen.add(meant.index(ast.dump(ast.parse("if 1:\n" + tokenizer.decode(made)))))
    assert {0, 1, 3} <= seen


def test_backwards_a_row_asks_for_the_bug(tokenizer: Tokenizer) -> None:
    family = mini_family(512)
    maker = ExampleMaker(tokenizer, family, 1280)
    row = maker.breaking(pair(), random.Random(1))
    assert row is not None
    assert family.eos is not None
    eos = row.ids.index(family.eos)
    assert tokenizer.decode(row.ids[1:eos]).strip("\n") == AFTER.strip("\n")
    assert row.ids[eos + 1] == family.breaking
    assert all(label == IGNORE for label in row.labels[: row.segments.index(1)])


def test_training_and_search_see_the_same_operations(tokenizer: Tokenizer) -> None:
    """Packed beside another row, a context's operations are those that the search is given."""
    family = mini_family(512)
    maker = ExampleMaker(tokenizer, family, 1280)
    model = Transformer(replace(tiny_model(len(tokenizer)).config, edit_size=8))
    initialise(model, 3)
    assert model.edit is not None
    torch.nn.init.normal_(model.edit.out.weight)
    model.eval().requires_grad_(False)
    rows = [maker.history(pair(), random.Random(seed)) for seed in (1, 2)]
    assert rows[0] is not None
    assert rows[1] is not None
    batch = collate([rows[0], rows[1]], 0, 2560)
    hidden, _ = model.hidden(batch.ids, batch.positions, batch.attention())
    for number in (0, 1):
        at = ((batch.rows == number) & (batch.segments == 0)).nonzero()
        ids = batch.ids[at[:, 0], at[:, 1]].tolist()
        n = ids.index(family.eos)
        p_T4 = model.edit(hidden[at[:, 0], at[:, 1]])[1 : n + 1].softmax(-1)
        context = AsideContext(model, ids[1:n], family, failure=ids[n + 1 : -1])
        assert context.edits is not None
        found = torch.tensor(context.edits)
        torch.testing.assert_close(found[:, 0], 1 - p_T4[:, KEEP], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[:, 1], p_T4[:, INSERT], atol=1e-5, rtol=1e-4)
    loss, _ = loss_of(model, batch)
    told = batch.edits != IGNORE
    own = torch.nn.functional.cross_entropy(model.edit(hidden[told]), batch.edits[told])  # type: ignore[index]
    plain, _ = loss_of(model, replace(batch, edits=None))
    assert float(loss) == pytest.approx(float(plain) + EDITING * float(own), rel=1e-5)
