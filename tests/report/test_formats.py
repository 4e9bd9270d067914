"""Every format of a result; the documents of --json against the published schema."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from diffufix.cli import main
from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.report import formats, jsondoc
from diffufix.report.diff import shown
from diffufix.report.github import workflow_commands
from diffufix.report.junit import junit
from diffufix.report.terminal import write_lines
from diffufix.source.patch import make_patch
from tests.report.test_report import RESULTS, Terminal

SCHEMA = json.loads(jsondoc.schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def only(name: str) -> Draft202012Validator:
    """Of one kind of document, and of keys that the schema has."""
    return Draft202012Validator({**SCHEMA["$defs"][name], "$defs": SCHEMA["$defs"]})


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_as_the_schema_says(name: str) -> None:
    document = json.loads(jsondoc.dump(jsondoc.result_document(RESULTS[name])))
    only("result").validate(document)
    assert set(document) <= set(SCHEMA["$defs"]["result"]["properties"])  # none is undocumented


def test_errors_and_lists_are_as_the_schema_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    only("error").validate(jsondoc.error_document(UsageError("Wrong.", "Better.")))
    monkeypatch.chdir(tmp_path)
    for command in (["runs", "list"], ["models", "list"], ["config", "show"], ["rewards"]):
        capsys.readouterr()
        assert main([*command, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        VALIDATOR.validate(document)
        only("listing").validate(document)


def test_a_wrong_document_is_refused() -> None:
    document = jsondoc.result_document(RESULTS["repaired"])
    assert not only("result").is_valid(document | {"status": "mended"})
    assert not only("result").is_valid({k: v for k, v in document.items() if k != "claims"})


def test_junit() -> None:
    root = ElementTree.fromstring(junit(RESULTS["repaired"]).encode())
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures")) == ("23", "0")
    assert suite.find("testcase").get("classname") == "tests.test_m"  # type: ignore[union-attr]
    part = ElementTree.fromstring(junit(RESULTS["in-part"]).encode())[0]
    assert part.get("failures") == part.get("tests") == "2"
    assert "--- a/pkg/m.py" in (part.findtext("system-out") or "")


def test_github_annotations_stand_at_the_lines() -> None:
    lines = list(workflow_commands(RESULTS["repaired"]))
    assert lines[0].startswith("::notice title=diffufix::Repaired: 23 failing tests now pass")
    assert lines[1].startswith("::notice title=diffufix%3A suggested change,file=pkg/m.py,line=2,")
    assert "%0A-    return a >= b%0A+    return a > b" in lines[1]
    assert all("\n" not in line for line in lines)
    assert next(workflow_commands(RESULTS["not-repaired"])).startswith("::error ")


@pytest.mark.parametrize("form", ["text", "json", "junit", "github"])
def test_each_format_is_written(form: str, tmp_path: Path) -> None:
    out = io.StringIO()
    formats.write(RESULTS["repaired"], Settings(tmp_path, output_format=form), out)
    assert out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_diff_is_folded_by_us_and_nothing_is_lost(width: int) -> None:
    old = "total = first(argument) + second(another_argument) + third(the_last_argument)\n"
    patch = make_patch({"m.py": old}, {"m.py": old.replace("third", "fourth")})
    rows = list(shown(patch.diff, width, colour=False))
    assert max(map(len, rows)) <= width
    whole = "".join(row[4:] if " ↪ " in row[:4] else f"\n{row}" for row in rows)
    assert whole.strip().splitlines() == patch.diff.splitlines()


def test_text_is_wrapped_between_words_and_ids_stay_whole(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = Terminal()
    test = "tests/test_a_long_name.py::TestClass::test_with_a_very_long_name[and-parameters]"
    write_lines([(f"  {test}", ""), ("a sentence that goes on " * 5, "")], out)
    assert test in out.getvalue()
    assert all(len(row) <= 50 for row in out.getvalue().splitlines() if test not in row)
