"""What stdout gets, by `--output-format`: text, JSON, JUnit's XML, annotations for GitHub."""

from __future__ import annotations

from typing import TextIO

from diffufix.config import Settings
from diffufix.repair.types import RepairResult
from diffufix.report import jsondoc, terminal


def write(result: RepairResult, settings: Settings, out: TextIO) -> None:
    """Write a result as the settings say."""
    match settings.output_format:
        case "json":
            out.write(jsondoc.dump(jsondoc.result_document(result)))
        case "junit":
            from diffufix.report.junit import junit

            out.write(junit(result))
        case "github":
            from diffufix.report.github import workflow_commands

            out.writelines(line + "\n" for line in workflow_commands(result))
        case _:
            terminal.write_result(result, out, settings.verbose)
