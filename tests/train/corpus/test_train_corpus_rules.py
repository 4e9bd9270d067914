"""The rules of a corpus: which licences are permissive, which functions are worth it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from diffufix.source.functions import functions
from diffufix.train.corpus import licences, quality
from diffufix.train.corpus.projects import _FOREIGN, _TESTS

MIT = "Permission is hereby granted, free of charge, to any\nperson obtaining a copy"
BSD = "Redistributions of source code must retain the above ... Neither the name of X nor"
GPL = "under the terms of the GNU General Public License as published"


@pytest.mark.parametrize(
    ("expression", "free"),
    [
        ("MIT", True),
        ("apache-2.0", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR LGPL-2.1) AND BSD-3-Clause", True),
        ("MIT AND (LGPL-2.1 OR MPL-2.0)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
        ("", False),
        ("LicenseRef-Proprietary", False),
        ("MIT AND", False),
        ("MIT Apache-2.0", False),
        ("(MIT", False),
        ("MIT)", False),
        ("OR", False),
    ],
)
def test_spdx_expressions(expression: str, free: bool) -> None:
    assert licences.is_permissive(expression) is free


@pytest.mark.parametrize(
    ("name", "spdx"),
    [
        ("MIT License", "MIT"),
        ("BSD License", "BSD"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("Apache Software License", "Apache-2.0"),
        ("GNU Lesser General Public License v2 (LGPLv2)", "LGPL"),
        ("GNU Affero General Public License v3", "AGPL"),
        ("GPL-3.0", "GPL"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("Python Software Foundation License", "PSF-2.0"),
        ("MIT or LGPL", "LGPL"),  # in free text a doubt counts against it
        ("Other/Proprietary License", "Proprietary"),
        ("Limited", ""),
    ],
)
def test_names_of_licences(name: str, spdx: str) -> None:
    assert licences.named(name) == spdx


def test_what_is_declared_first_wins() -> None:
    gpl, mit = "License :: OSI Approved :: GPL", "License :: OSI Approved :: MIT License"
    assert licences.declared("MIT", [gpl], "GPL") == "MIT"
    assert licences.declared("", [mit, "Topic :: Games"], "GPL") == "MIT"
    assert licences.declared("", [mit, gpl], "") == "MIT AND GPL"
    assert licences.declared("", ["License :: OSI Approved"], "BSD-3-Clause") == "BSD-3-Clause"
    assert licences.declared("", ["License :: Strange"], "MIT") == "Unknown"
    assert licences.declared("", [], MIT + " of it" * 40) == "MIT"
    assert licences.declared("", [], "") == ""


def test_wordings() -> None:
    assert licences.worded(MIT) == "MIT"
    assert licences.worded(BSD) == "BSD-3-Clause"
    assert licences.worded("GNU Lesser General Public License; " + GPL) == "LGPL"
    assert licences.worded(MIT + GPL) == "GPL AND MIT"
    assert licences.worded("All yours.") == ""


def test_a_source_tree_states_its_licence(tmp_path: Path) -> None:
    assert licences.of_folder(tmp_path) == ""
    (tmp_path / "LICENSE.txt").write_text(BSD)
    assert licences.of_folder(tmp_path) == "BSD-3-Clause"
    (tmp_path / "setup.cfg").write_text("[metadata]\nlicense = Apache 2.0\n")
    assert licences.of_folder(tmp_path) == "Apache-2.0"
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\nlicense = {text = "MIT"}\n')
    assert licences.of_folder(tmp_path) == "MIT"
    pyproject.write_text('[project]\nlicense = {file = "LICENSE.txt"}\n')
    assert licences.of_folder(tmp_path) == "Apache-2.0"
    pyproject.write_text('[project]\nlicense = "ISC OR GPL-2.0-only"\n')
    assert licences.of_folder(tmp_path) == "ISC OR GPL-2.0-only"
    pyproject.write_text("[project\n")
    assert licences.of_folder(tmp_path) == "Apache-2.0"


def test_headers_of_files() -> None:
    assert licences.of_header("# SPDX-License-Identifier: MIT\nx = 1\n") == "MIT"
    assert licences.of_header(f"# {GPL}\nx = 1\n") == "GPL"
    assert licences.of_header(f'#!/usr/bin/python\n"""Tool.\n\n{GPL}\n"""\n') == "GPL"
    assert licences.of_header(f'x = 1\nNOTICE = "{GPL}"\n') == ""
    assert licences.of_header("") == ""


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        *[(f"a/{name}.py", _TESTS) for name in ("test_b", "b_test", "conftest")],
        *[(f"a/{name}/b.py", _TESTS) for name in ("tests", "testing", "test", "fixtures")],
        *[(f"a/{name}/b.py", _FOREIGN) for name in ("_vendor", "locale", "third_party", ".x")],
        *[(f"a/{name}.py", None) for name in ("latest", "contest", "attest", "locale", "build")],
        ("a/c_pb2.py", _FOREIGN),
        ("a/_version.py", _FOREIGN),
        ("a/version.py", None),
        ("django/db/migrations/state.py", None),
    ],
)
def test_paths_of_tests_and_foreign_code(path: str, rule: object) -> None:
    found = {r for r in (_TESTS, _FOREIGN) if r.search(path)}
    assert found == ({rule} if rule else set())


def judge(source: str, tested: frozenset[str] = frozenset()) -> tuple[str, float]:
    node = functions(ast.parse(source))[0][1]
    return quality.judge(node, source, tested)


TABLE = (
    "def f():\n    return {\n" + "".join(f"        {i}: '{i}',\n" for i in range(30)) + "    }\n"
)
PLAIN = "def f(x):\n    return x.value\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f(x): return x", "one line"),
        ("def f(x):\n" + "    x += 1\n" * 130, "too many lines"),
        (f"def f(x):\n    return '{'a' * 200}'\n", "too long a line"),
        ("def f(x):\n    return 'üöäüöäüöä'\n", "much that is not ASCII"),
        ("def test_f(x):\n    assert x\n", "test or fixture"),
        ("@pytest.fixture(scope='module')\ndef f(x):\n    yield x\n", "test or fixture"),
        ("def f(x):\n    'Nothing else.'\n", "no statements"),
        ("def f(x):\n    '''Later.'''\n    raise NotImplementedError('f')\n", "no statements"),
        ("def f(x):\n    ...\n", "no statements"),
        (TABLE, "data table"),
        (PLAIN, ""),
        (
            "def f(x):\n    return x + 'a long text with one ü that is well below the limit ...'\n",
            "",
        ),
    ],
)
def test_functions_that_are_left_out(source: str, fault: str) -> None:
    assert judge(source)[0] == fault


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("# This file was auto-generated.\n" + PLAIN, "generated file"),
        ("# Generated by Django 5.2 on 2026-01-01\n" + PLAIN, "generated file"),
        ("# Results are generated by this module.\n" + PLAIN, ""),
        (f"x = '{'a' * 6000}'\n", "minified file"),
        ("x = 1\n" * 200_000, "file too long"),
        ("", ""),
    ],
)
def test_files_that_are_left_out(source: str, fault: str) -> None:
    assert quality.file_fault(source) == fault


def test_quality_rises_with_what_it_is_made_of() -> None:
    body = "    total = 0\n    for item in items:\n        total += item\n    return total\n"
    steps = [
        judge(PLAIN)[1],
        judge("def sum_up(items):\n" + body)[1],
        judge("def sum_up(items: list[int]) -> int:\n" + body)[1],
        judge('def sum_up(items: list[int]) -> int:\n    """The sum of all items."""\n' + body)[1],
        judge(
            'def sum_up(items: list[int]) -> int:\n    """The sum of all items."""\n' + body,
            frozenset({"sum_up"}),
        )[1],
    ]
    assert steps == sorted(set(steps))
    assert steps[0] >= 0
    assert steps[-1] == 1.0
    tangled = "def sum_up(items):\n" + "".join(
        f"    if items[{i}]:\n        items[{i}] = 0\n" for i in range(40)
    )
    assert judge(tangled)[1] < steps[1]
