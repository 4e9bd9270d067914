"""Options that several commands share: `name: options.Budget = None`. None means: not given."""

from __future__ import annotations

from typing import Annotated

import typer

Apply = Annotated[bool | None, typer.Option("--apply", help="Write the patch.")]
Force = Annotated[
    bool | None, typer.Option("--force", help="Write the patch over uncommitted changes too.")
]
Candidates = Annotated[
    int | None, typer.Option(help="Test at most this many candidates.", show_default="no limit")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="The model: mini, a checkpoint folder or a hub name.", show_default="by machine"
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="none|NAME|FOLDER",
        help="An adapter trained on this project, by name or folder; none: no adapter.",
        show_default="the adopted one",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where the model runs: auto, cpu, cuda, mps.", show_default="auto"),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Type of the weights: float32, bfloat16, float16.", show_default="by machine"
    ),
]
Yes = Annotated[bool | None, typer.Option("--yes", "-y", help="Agree to the download of a model.")]
Sandbox = Annotated[
    str | None,
    typer.Option(help="Where tests run: auto, docker, e2b or local.", show_default="auto"),
]
Image = Annotated[
    str | None,
    typer.Option(
        help="A finished container image or E2B template to run tests in.", show_default="built"
    ),
]
PassEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Variables that go into the sandbox although they look like secrets.",
        show_default="what the tests read",
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        help="The Python interpreter that runs the project's tests.",
        show_default="active venv, .venv, own",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Number of candidates tested at the same time.", show_default="cores"),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the random sampling.", show_default="0")]
Trust = Annotated[
    bool | None,
    typer.Option(
        "--trust", help="Use what the project brings along that acts outside of a sandbox."
    ),
]
Json = Annotated[bool | None, typer.Option("--json", help="Print one JSON document on stdout.")]
Verbose = Annotated[bool | None, typer.Option("--verbose", help="Print details and tracebacks.")]
