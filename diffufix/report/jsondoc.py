"""One JSON document per command, on stdout. `schema_version` grows when a key changes meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffufix
from diffufix.errors import DiffufixError
from diffufix.repair.types import RepairResult

SCHEMA_VERSION = 1


def result_document(result: RepairResult) -> dict[str, Any]:
    """The document of a finished repair."""
    return _head() | result.document()


def error_document(error: DiffufixError) -> dict[str, Any]:
    """The document of a command that could not do its work."""
    return _head() | {
        "status": "error",
        "exit_code": error.exit_code,
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }


def rows_document(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of a listing."""
    return _head() | {name: rows}


def document(values: Mapping[str, Any]) -> dict[str, Any]:
    """The document of any other result."""
    return _head() | dict(values)


def schema_text() -> str:
    """The JSON Schema of all these documents."""
    return (Path(__file__).parent / "schemas" / "output.json").read_text(encoding="utf-8")


def dump(document: dict[str, Any]) -> str:
    """As text, ASCII only, so that any terminal and any pipe takes it."""
    return json.dumps(document, indent=2) + "\n"


def _head() -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "diffufix_version": diffufix.__version__}
