"""The MCP server: `repair`, `localize`, `verify` and `runs` as tools for agents, over stdio.

Built with the official SDK (the extra `mcp`); https://modelcontextprotocol.io. An agent can name
projects below one folder only, chooses no sandbox and no model, and no tool writes to a project's
files: a patch comes back as a diff. One tool works at a time, in a thread; what it tells on the way
is sent as progress.
"""

# No `from __future__ import annotations`: the SDK reads the types of the tools, which are local.

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import diffufix
from diffufix import api, events
from diffufix.errors import DiffufixError, PrerequisiteError, UsageError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

INSTRUCTIONS = """\
diffufix repairs failing tests of a Python project and verifies every change by running the \
project's own tests on copies, in a sandbox. Nothing is ever written to the project: apply a diff \
yourself once it is verified. `repair` searches with a small model and takes up to its budget; \
`verify` says what a change of yours does to the whole suite; `localize` names suspicious functions.
"""
#: Of a result's document, what an agent has no use for.
_LEFT_OUT = ("exit_code", "applied", "alternatives", "phases", "deselected", "model", "states")
_PATCH = ("number", "group", "probability", "confirmed", "refused", "apart", "diff")


def serve(folder: Path) -> None:
    """Serve until the client ends. Raises PrerequisiteError without the SDK, UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder.", "Name the folder whose projects are served.")
    server_of(folder).run("stdio")


def server_of(folder: Path) -> "MCPServer":
    """The server for projects in and below `folder`. Raises PrerequisiteError without the SDK."""
    try:
        from mcp.server.mcpserver import Context, MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise PrerequisiteError(
            "The MCP server needs the official SDK.", "pip install 'diffufix[mcp]'"
        ) from error
    import anyio
    from pydantic import Field

    def told(text: str) -> Any:
        return Field(description=text)

    Project = Annotated[str, told("The project's folder, relative to the server's.")]
    Tests = Annotated[
        list[str] | None, told("Arguments for pytest, such as tests/test_x.py::test_y or -k EXPR.")
    ]
    Budget = Annotated[float, told("Seconds from start to result.")]

    class StrictServer(MCPServer):
        """Refuses an argument that a tool does not have, where the SDK passes over it."""

        async def call_tool(self, name: str, arguments: dict[str, Any], *rest: Any) -> Any:
            schemas = {each.name: each.input_schema for each in await self.list_tools()}
            known = list(schemas[name]["properties"]) if name in schemas else list(arguments)
            for unknown in (name for name in arguments if name not in known):
                near = difflib.get_close_matches(unknown, known, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known)}."
                raise _tool_error(f"{name} has no argument {unknown}. {hint}")
            return await super().call_tool(name, arguments, *rest)

    server = StrictServer("diffufix", instructions=INSTRUCTIONS, version=diffufix.__version__)
    alone = anyio.Lock()
    harmless = ToolAnnotations(destructive_hint=False, open_world_hint=False)
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    def tool(annotations: ToolAnnotations) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            said = inspect.getdoc(function)
            return server.tool(description=said, annotations=annotations)(function)

        return register

    async def work(
        context: Context | None, project: str, call: Callable[..., Mapping[str, Any]], *args: Any
    ) -> dict[str, Any]:
        """`call(*args, path=..., on_event=...)` in a thread."""

        def tell(event: events.Event) -> None:
            step = progress_of(event)
            if step is not None and context is not None:
                anyio.from_thread.run(partial(context.report_progress, step[0], message=step[1]))

        async with alone:
            ready = partial(call, *args, path=_inside(folder, project), on_event=tell)
            return dict(await anyio.to_thread.run_sync(partial(_answer, ready)))

    @tool(harmless)
    async def repair(
        context: Context,
        project: Project = ".",
        tests: Tests = None,
        budget: Budget = 60.0,
        function: Annotated[str, told("Change nothing but this: path::qualname.")] = "",
        expect: Annotated[
            list[str] | None, told("Expressions that must be true with the patch, as f(1) == 2.")
        ] = None,
    ) -> dict[str, Any]:
        """Search for a patch that makes failing tests pass, verified over the whole suite.

        `status` is repaired only where the evidence says that the patch is right, not merely
        green; plausible otherwise. `diff` is to be applied by you."""
        options: dict[str, Any] = {"tests": tests or (), "budget": budget}
        options |= {"expect": expect} if expect else {}
        options |= {"function": function} if function else {}
        return await work(context, project, partial(_repaired, options))

    @tool(harmless)
    async def localize(
        context: Context, project: Project = ".", tests: Tests = None, budget: Budget = 60.0
    ) -> dict[str, Any]:
        """Run the tests; what fails, and which functions and lines are the most suspicious."""
        options = {"tests": tests or (), "budget": budget}
        return await work(context, project, partial(_localized, options))

    @tool(harmless)
    async def verify(
        context: Context,
        diff: Annotated[str, told("A unified diff of existing files; no tests, no configuration.")],
        project: Project = ".",
        tests: Tests = None,
        budget: Budget = 120.0,
    ) -> dict[str, Any]:
        """Run the whole suite several times with a change and without: which failing tests it
        turns green, what it breaks, whether it passes by honest means."""
        options = {"tests": tests or (), "budget": budget}
        return await work(context, project, partial(_verified, options), diff)

    @tool(reading)
    async def runs(
        project: Project = ".",
        run: Annotated[int | None, told("The number of one run, to see all of it.")] = None,
        limit: int = 20,
    ) -> dict[str, Any]:
        """Earlier runs of a project, newest first, or one of them with its patches."""
        return await work(None, project, _logged, run, limit)

    return server


def progress_of(event: events.Event) -> tuple[float, str] | None:
    """(how far, in words), of what is worth telling."""
    match event:
        case events.Stage(text):
            return 0.0, text
        case events.Progress(tried, _, _, _, best):
            return float(tried), f"{tried} candidates tried" + (f", best: {best}" if best else "")
        case events.Found(summary) | events.Confirming(summary):
            return 0.0, f"{type(event).__name__.lower()}: {summary}"
        case _:
            return None


def _repaired(options: Mapping[str, Any], **where: Any) -> dict[str, Any]:
    document = api.repair(**options, **where).document()
    return shortened(document)


def shortened(document: Mapping[str, Any]) -> dict[str, Any]:
    """A result's document for an agent: the diff on top, of each patch what tells it apart."""
    found = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    found["diff"] = (found.pop("patch") or {}).get("diff", "")
    found["patches"] = [{key: patch[key] for key in _PATCH} for patch in document["patches"]]
    return found


def _localized(options: Mapping[str, Any], **where: Any) -> dict[str, Any]:
    return api.localize(**options, **where).document()


def _verified(options: Mapping[str, Any], diff: str, **where: Any) -> dict[str, Any]:
    return api.verify(diff, **options, **where).document()


def _logged(run: int | None, limit: int, path: Path, on_event: events.Listener) -> dict[str, Any]:
    rows = api.runs(path, limit, run)
    listed: list[dict[str, Any]] = [
        {
            "run": row.id, "command": row.command, "status": row.status, "seconds": row.seconds,
            "started_at": row.started_at, "message": row.summary.get("message", ""),
        }
        for row in rows
    ]  # fmt: skip
    if run is not None and "patches" in rows[0].summary:
        listed[0]["result"] = shortened(rows[0].summary)
    return {"runs": listed}


def _inside(folder: Path, project: str) -> Path:
    path = (folder / project).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_dir():
        raise _tool_error(f"{project} is no folder below {folder}.")
    return path


def _answer(ready: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return ready()
    except DiffufixError as error:
        raise _tool_error(f"{error.message} {error.hint}".rstrip()) from error


def _tool_error(text: str) -> Exception:
    from mcp.server.mcpserver.exceptions import ToolError

    return ToolError(text)
