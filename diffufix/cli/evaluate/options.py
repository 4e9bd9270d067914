"""Options of `evaluate` and `evaluate sweep`, and what they amount to: `CaseSelection`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffufix.cli import options as common
from diffufix.cli.out import echo

if TYPE_CHECKING:
    from diffufix.evaluation.suites import OpenSuite

CASES, SAMPLING, REPAIRS = "Cases", "Functions: sampling", "Faults: repair"


Suite = Annotated[str, typer.Argument(help="A suite's name, its file, or its folder.")]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Your copy of the file or checkout.",
        show_default="the publisher's, fetched once you agree", rich_help_panel=CASES,
    ),
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Where the run is kept.", show_default="evaluation/SUITE-MODEL"
    ),
]
Every = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Take every n-th case only.", rich_help_panel=CASES),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Take at most this many cases.", show_default="all",
        rich_help_panel=CASES,
    ),
]  # fmt: skip
Only = Annotated[
    str,
    typer.Option(
        metavar="ID,...", help="Take these cases only.", show_default="all", rich_help_panel=CASES
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Begin anew; what --out holds is removed.")]
AnyVersion = Annotated[
    bool,
    typer.Option(
        "--any-version", help="Take data of another version; results say so.",
        rich_help_panel=CASES,
    ),
]  # fmt: skip
Check = Annotated[
    bool, typer.Option("--check", help="No model: the publisher's solutions, and broken ones.")
]
Budget = Annotated[
    float,
    typer.Option(min=1, metavar="SECONDS", help="For each case.", rich_help_panel=REPAIRS),
]
Venvs = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Where environments of real bugs are kept.",
        show_default="the user's cache", rich_help_panel=REPAIRS,
    ),
]  # fmt: skip
Python = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="The interpreter for programs and cases.",
        show_default="a fitting one", rich_help_panel=common.PLACE,
    ),
]  # fmt: skip
Samples = Annotated[
    int,
    typer.Option(
        "--samples", "-n", min=1, metavar="N", help="Completions a problem.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
Temperature = Annotated[
    float, typer.Option(min=0, metavar="X", help="0: greedy.", rich_help_panel=SAMPLING)
]
TopP = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="X", help="1: all of the distribution.", rich_help_panel=SAMPLING
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Masks of a completion.", show_default="512; 64 for infilling",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
TokensPerStep = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Tokens committed in a step.", rich_help_panel=SAMPLING),
]
Style = Annotated[
    str,
    typer.Option(
        metavar="auto|base|instruct", help="How problems are put; auto: by the checkpoint.",
        rich_help_panel=SAMPLING,
    ),
]  # fmt: skip
Seconds = Annotated[
    float,
    typer.Option(
        min=0.1, metavar="SECONDS", help="mini: of search for a problem.", rich_help_panel=SAMPLING
    ),
]
Batch = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Samples denoised at once.", rich_help_panel=SAMPLING),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to downloads: data and models.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@dataclass(frozen=True)
class CaseSelection:
    """Which cases of which data, and where the run is kept."""

    suite: str
    data: Path | None
    out: Path | None
    every: int
    limit: int | None
    only: str
    again: bool
    any_version: bool
    yes: bool
    json: bool

    def at(self, out: Path) -> CaseSelection:
        """The same in another folder."""
        return replace(self, out=out)

    def open(self) -> OpenSuite:
        """Raises UsageError, PrerequisiteError."""
        from diffufix.evaluation.suites import open_suite

        return open_suite(
            self.suite, self.data, agreed=self._agreed(), any_version=self.any_version
        )

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(filter(None, self.only.split(",")))

    def _agreed(self) -> Callable[[str], bool]:
        def agreed(offer: str) -> bool:
            if self.yes:
                return True
            if self.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
                return False
            echo(f"{offer} Fetch it? [y/N] ", err=True, nl=False)
            return sys.stdin.readline().strip().lower() in ("y", "yes")

        return agreed


def plain(text: str) -> str:
    """A name for a folder."""
    kept = "".join(c if c.isalnum() or c in ".-_" else "-" for c in text.rstrip("/").split("/")[-1])
    return kept.strip("-.") or "model"
