"""`diffufix train corpus|tokenizer`: functions to learn from, and a tokenizer of theirs."""

from __future__ import annotations

import json as json_
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli.out import echo
from diffufix.errors import PrerequisiteError, UsageError


def corpus(
    out: Annotated[Path, typer.Option(help="The folder to write; a corpus in it is replaced.")],
    package: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An installed package; `python` is the standard library, `all` everything there. "
            "Default without --from: the packages of the extra diffufix[corpus].",
        ),
    ] = None,
    site: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="The site-packages folder to read; default: that of this interpreter.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A project to leave out, e.g. one that is used for evaluation."
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FOLDER_OR_URL",
            help="A source tree or a git repository; URL#BRANCH takes a branch or tag.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Also write token files for the tokenizer of this checkpoint."
        ),
    ] = None,
    tokens_only: Annotated[
        bool, typer.Option("--tokens-only", help="Only write token files for the corpus in --out.")
    ] = False,
    any_licence: Annotated[
        bool, typer.Option("--any-licence", help="Also keep code without a permissive licence.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout.")
    ] = False,
) -> None:
    """Build a corpus of functions: permissive licences, no copies, no public benchmarks.

    Examples:
      diffufix train corpus --out corpus --site .venv/lib/python3.12/site-packages
    """
    from diffufix.train.corpus.build import add_tokens, build, check_target
    from diffufix.train.corpus.projects import canonical

    if tokens_only:
        if tokenizer is None or package or origin:
            raise UsageError(
                "--tokens-only takes --tokenizer and --out alone.",
                "`diffufix train corpus --tokens-only --tokenizer FOLDER --out CORPUS`.",
            )
        report = add_tokens(out, tokenizer)
    else:
        check_target(out)  # before anything is cloned
        with tempfile.TemporaryDirectory(prefix="diffufix-clones-") as clones:
            projects, missing = _projects(package or [], site or [], origin or [], Path(clones))
            left_out = {canonical(name) for name in without or []}
            projects = [project for project in projects if project.name not in left_out]
            report = build(
                out, projects, tokenizer=tokenizer, any_licence=any_licence, missing=missing,
                without=sorted(left_out), progress=_progress,
            )  # fmt: skip
    echo(json_.dumps(report, indent=1) if json else _summary(report, out))


def decontaminate(
    tasks: Annotated[Path, typer.Argument(help='JSON lines: {"task": ..., "function": ...}')],
    to: Annotated[Path | None, typer.Option(help="The file of hashes; default: ours.")] = None,
) -> None:
    """Add the n-grams of a benchmark's tasks to those that no corpus may hold.

    Examples:
      diffufix train decontaminate tasks.jsonl
    """
    from diffufix.train.corpus.decontaminate import NGRAMS, add_tasks

    echo(f"{add_tasks(tasks, to or NGRAMS):,} tasks are known by their text.")


def tokenizer(
    corpus: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The corpus that `diffufix train corpus` wrote.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder to write tokenizer.json to.")
    ],
    size: Annotated[
        int, typer.Option(help="Size of the vocabulary, special tokens included.")
    ] = 8192,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Also learn from the files that `diffufix train fixes` wrote."
        ),
    ] = None,
) -> None:
    """Learn a byte-level BPE that never merges across Python's lexical tokens.

    Examples:
      diffufix train tokenizer --corpus corpus --out tokenizer
    """
    from diffufix.train.corpus.tokenizer import make

    echo(f"{make(corpus, out, size, pairs or ()):,} ids: {out / 'tokenizer.json'}")


def _projects(
    packages: list[str], sites: list[Path], places: list[str], clones: Path
) -> tuple[list[Any], list[str]]:
    """The projects that were asked for, and which recommended ones are not installed."""
    from diffufix.train.corpus.projects import STANDARD_LIBRARY, from_place, installed, recommended

    chosen = packages or ([] if places else recommended())
    projects, missing = installed(chosen, sites)
    if missing and packages:
        raise PrerequisiteError(
            f"Not installed: {', '.join(missing)}.", f"pip install {' '.join(missing)}"
        )
    if not places and not packages and [p.name for p in projects] == [STANDARD_LIBRARY]:
        raise PrerequisiteError(
            "None of the packages recommended for a corpus is installed.",
            "pip install 'diffufix[corpus]', or choose: --package NAME, --from FOLDER.",
        )
    return projects + [from_place(place, clones) for place in places], missing


def _progress(done: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r\033[K[{done:>3}/{total}] {name}{end}")
        sys.stderr.flush()


def _summary(report: dict[str, Any], out: Path) -> str:
    """The report as a few tables of plain text."""
    lines = [f"{out}"]
    lines += _table(
        ("split", "projects", "functions", "characters"),
        [
            (name, split["projects"], split["functions"], split["characters"])
            for name, split in report["splits"].items()
        ],
    )
    projects = sorted(report["projects"].items(), key=lambda item: -item[1]["characters"])
    lines += _table(
        ("project", "licence", "functions", "characters"),
        [
            (name + (" *" if p["split"] != "train" else ""), p["licence"], p["functions"],
             p["characters"])
            for name, p in projects[:20]
        ],
    )  # fmt: skip
    rest = len(projects) - 20
    lines.append(f"* held out{f'; {rest} smaller projects are in report.json' * (rest > 0)}")
    lines += _table(
        ("licence", "functions", "characters"),
        [(n, c["functions"], c["characters"]) for n, c in list(report["licences"].items())[:12]],
    )
    lines += _table(("dropped", "count"), list(report["dropped"].items()))
    if "tokens" in report:
        counts = report["tokens"]["count"]
        lines.append("")
        lines.append(f"tokens: {', '.join(f'{n} {count:,}' for n, count in counts.items())}")
    if report["missing"]:
        lines += ["", f"not installed: {', '.join(report['missing'])}"]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A blank line and an aligned table; numbers to the right."""
    cells = [head] + [
        tuple(f"{c:,}" if isinstance(c, int) else str(c)[:40] for c in row) for row in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    right = [bool(rows) and isinstance(rows[0][i], int) for i in range(len(head))]
    lines = [""]
    for row in cells:
        lines.append(
            "  ".join(
                c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
            ).rstrip()
        )
    return lines
