"""`diffufix mcp`: the tools of diffufix for agents, over stdio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mcp(
    folder: Annotated[
        Path, typer.Argument(help="Projects in and below this folder may be named by the agent.")
    ] = Path(),
) -> None:
    """Serve `repair`, `localize`, `verify` and `runs` to agents, as an MCP server over stdio.

    No tool writes to a project's files. Needs the official SDK, which the extra `mcp` installs.
    Sandbox, model and the rest are set by DIFFUFIX_* or in pyproject.toml.

    Examples:
      diffufix mcp
      DIFFUFIX_SANDBOX=local diffufix mcp path/to/projects
    """
    from diffufix.mcp_server import serve

    serve(folder.resolve())
