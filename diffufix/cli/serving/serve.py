"""`diffufix serve`: verification for other programs, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli import options
from diffufix.cli.out import echo

LIMITS, ACCESS = "Limits", "Who may ask"


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen.", rich_help_panel=ACCESS)
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="0: any free one.", rich_help_panel=ACCESS),
    ] = 8730,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The secret that requests must bring; needed beyond this machine.",
            show_default="DIFFUFIX_SERVE_TOKEN",
            rich_help_panel=ACCESS,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where projects are kept.",
            show_default="in the user's cache",
            rich_help_panel=options.PLACE,
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests that wait.", rich_help_panel=LIMITS)
    ] = 256,
    projects: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Projects kept ready.", rich_help_panel=LIMITS),
    ] = 4,
    stored: Annotated[
        int, typer.Option(metavar="N", min=1, help="Projects on disk.", rich_help_panel=LIMITS)
    ] = 64,
    body: Annotated[
        int, typer.Option(metavar="MIB", min=1, help="Of a request.", rich_help_panel=LIMITS)
    ] = 64,
    memory: Annotated[
        int, typer.Option(metavar="MIB", min=64, help="Of a candidate.", rich_help_panel=LIMITS)
    ] = 2048,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=1, help="Of a request.", rich_help_panel=LIMITS)
    ] = 600.0,
    grace: Annotated[
        float,
        typer.Option(
            metavar="S", min=0, help="For what is open at the end.", rich_help_panel=LIMITS
        ),
    ] = 20.0,
    workers: options.Workers = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
) -> None:
    """Verify candidates for other programs over HTTP: `POST /verify`, `POST /run_code`.

    Needs the extra `serve`. What projects say in [tool.diffufix] is not read.

    Examples:
      diffufix serve
      DIFFUFIX_SERVE_TOKEN=SECRET diffufix serve --host 0.0.0.0 --workers 8
    """
    from diffufix.serve.options import TOKEN_VARIABLE, ServeOptions, default_folder, read_token
    from diffufix.serve.running import serve as run

    given = {"workers": workers, "sandbox": sandbox, "image": image, "python": python}
    token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "")
    wanted = ServeOptions(
        host=host, port=port, token=token, folder=folder or default_folder(),
        settings=_settings(given), waiting=queue, warm=projects, stored=stored, body=body,
        memory=memory, seconds=seconds, grace=grace,
    )  # fmt: skip
    run(wanted, lambda url: echo(f"diffufix serves at {url}"))


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that hold for every project: of the command line, then of the environment."""
    from diffufix.config import Settings, read_environment

    said = read_environment(os.environ)
    said |= {key: value for key, value in given.items() if value is not None}
    said.setdefault("budget", 600.0)  # seconds for a project's own tests at the start
    Settings(Path(), **said)  # says what is out of range
    return said
