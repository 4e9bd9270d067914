"""Options that several commands share: `name: options.Budget = None`. None means: not given.

Every option has one name, one placeholder and one group on a help page, whichever command has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PATCH, SEARCH, MODEL = "What happens to the patch", "Search", "Model"
PLACE, OUTPUT = "Where the tests run", "Output"

Apply = Annotated[
    bool | None, typer.Option("--apply", help="Write the patch.", rich_help_panel=PATCH)
]
Force = Annotated[
    bool | None,
    typer.Option(
        "--force",
        help="Write the patch over uncommitted changes too.",
        rich_help_panel=PATCH,
    ),
]
Commit = Annotated[
    bool | None,
    typer.Option(
        "--commit",
        help="Write the patch and commit it, if it is called a repair: the message says what "
        "failed and what proves the fix.",
        rich_help_panel=PATCH,
    ),
]
Branch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Commit on a new branch of this name; your branch and your files stay as they are.",
        show_default=False,
        rich_help_panel=PATCH,
    ),
]
Candidates = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Test at most this many candidates.",
        show_default="no limit",
        rich_help_panel=SEARCH,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="mini|FOLDER|OWNER/NAME|ENGINE",
        help="mini, a checkpoint folder, a name on the Hugging Face hub, or an engine such as "
        "ollama:MODEL; several between commas.",
        show_default="by machine",
        rich_help_panel=MODEL,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        metavar="DOLLARS",
        help="What a remote engine may cost in one run, by its list price.",
        show_default="0.5",
        rich_help_panel=MODEL,
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="none|NAME|FOLDER",
        help="What was trained on top of the model; none: the model as it is.",
        show_default="the adopted one",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda|mps",
        help="Where the model runs; cuda:1 is the second GPU.",
        show_default="auto",
        rich_help_panel=MODEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="auto|float32|bfloat16|float16|int8|int4",
        help="Type of the weights.",
        show_default="by machine",
        rich_help_panel=MODEL,
    ),
]
Yes = Annotated[
    bool | None,
    typer.Option("--yes", "-y", help="Agree to the download of a model.", rich_help_panel=MODEL),
]
Sandbox = Annotated[
    str | None,
    typer.Option(
        metavar="auto|docker|e2b|local|ssh://HOST",
        help="What code under test runs in; auto: a container, else bubblewrap. Several container "
        "engines, and E2B, between commas.",
        show_default="auto",
        rich_help_panel=PLACE,
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A finished container image or E2B template.",
        show_default="built from the project",
        rich_help_panel=PLACE,
    ),
]
PassEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Variables that go into the sandbox although they look like secrets.",
        show_default="what the tests read",
        rich_help_panel=PLACE,
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="The interpreter that runs the project's tests.",
        show_default="active venv, .venv, own",
        rich_help_panel=PLACE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Candidates that are tested at the same time.",
        show_default="cores",
        rich_help_panel=PLACE,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ray|ray:ADDRESS",
        help="Work on a Ray cluster: RAY_ADDRESS, else one made here; or that one.",
        show_default="this machine",
        rich_help_panel=PLACE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="The same seed searches in the same order.",
        show_default="0",
        rich_help_panel=SEARCH,
    ),
]
Trust = Annotated[
    bool | None,
    typer.Option(
        "--trust",
        help="Use what the project brings along that acts outside of a sandbox.",
        rich_help_panel=PLACE,
    ),
]
Json = Annotated[
    bool | None,
    typer.Option(
        "--json",
        help="Print one JSON document; the same as --output-format json.",
        rich_help_panel=OUTPUT,
    ),
]
#: Of commands that list things.
JsonFlag = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT),
]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a page (HTML) of everything that was tried.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        metavar="text|json|junit|github",
        help="What stdout gets: text, a JSON document, JUnit's XML, annotations of a GitHub "
        "workflow.",
        show_default="text",
        rich_help_panel=OUTPUT,
    ),
]
Verbose = Annotated[
    bool | None,
    typer.Option(
        "--verbose",
        "-v",
        help="Show the inside too: counts, model, likelihoods; tracebacks of errors.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool | None,
    typer.Option(
        "--quiet",
        "-q",
        help="Show no progress; only the result and warnings.",
        rich_help_panel=OUTPUT,
    ),
]
