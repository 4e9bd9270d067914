"""The MCP server, spoken to by the SDK's own client over stdio."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from diffufix.config import Settings
from diffufix.mcp_server import progress_of, shortened
from diffufix.repair.types import RepairResult, Status
from diffufix.store import Store

pytest.importorskip("mcp")
BROKEN = "def total(prices):\n    return sum(prices) + 1\n"
DIFF = (
    "--- a/shop.py\n+++ b/shop.py\n@@ -1,2 +1,2 @@\n def total(prices):\n"
    "-    return sum(prices) + 1\n+    return sum(prices)\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "shop"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "shop.py").write_text(BROKEN)
    (project / "test_shop.py").write_text(
        "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    )
    with Store.open(project) as store:
        run = store.begin_run(Settings(root=project))
        store.finish_run(run, "repaired", RepairResult(Status.REPAIRED).document())
    return tmp_path


def talk(
    folder: Path, *calls: tuple[str, dict[str, Any]]
) -> tuple[list[str], list[Any], list[str]]:
    """(names of the tools, results, progress messages) of one session."""
    from mcp import Client, StdioServerParameters

    told: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async def session() -> tuple[list[str], list[Any]]:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "diffufix", "mcp"], cwd=str(folder),
            env=dict(os.environ),
        )  # fmt: skip
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            assert all(tool.description and tool.annotations for tool in tools)
            results = [
                await client.call_tool(name, arguments, progress_callback=note)
                for name, arguments in calls
            ]
            return [tool.name for tool in tools], results

    names, results = anyio.run(session)
    return names, results, told


@pytest.mark.slow
def test_an_agent_can_use_every_tool_and_no_other_folder(folder: Path) -> None:
    shop = {"project": "shop"}
    names, results, told = talk(
        folder,
        ("runs", shop),
        ("runs", {**shop, "run": 1}),
        ("localize", {**shop, "budget": 150}),
        ("verify", {**shop, "budget": 200, "diff": DIFF}),
        ("repair", {"project": "..", "budget": 1}),
        ("runs", {**shop, "run": 99}),
        ("localize", {**shop, "budgets": 1}),
    )
    assert names == ["repair", "localize", "verify", "runs"]
    logged, one, localized, verified, outside, missing, odd = results
    assert logged.structured_content["runs"][0]["status"] == "repaired"
    assert one.structured_content["runs"][0]["result"]["diff"] == ""
    assert localized.structured_content["suspects"][0]["qualname"] == "total"
    assert "running the tests" in told
    assert verified.structured_content["passed"]
    assert outside.is_error
    assert "no folder below" in outside.content[0].text
    assert missing.is_error
    assert "There is no run 99. `diffufix runs list` shows them." in missing.content[0].text
    assert odd.is_error
    assert "localize has no argument budgets. Did you mean budget?" in odd.content[0].text
    assert (folder / "shop" / "shop.py").read_text() == BROKEN


def test_a_result_is_shortened_to_what_an_agent_needs() -> None:
    found = shortened(RepairResult(Status.NOT_REPAIRED, message="why", hint="next").document())
    assert found["status"] == "not-repaired"
    assert (found["diff"], found["patches"], found["hint"]) == ("", [], "next")
    assert "states" not in found


def test_only_what_is_worth_it_is_told() -> None:
    from diffufix import events

    assert progress_of(events.Stage("searching")) == (0.0, "searching")
    assert progress_of(events.Progress(7, 9, 1.0, 2.0)) == (7.0, "7 candidates tried")
    assert progress_of(events.CanvasStep("", "", "")) is None
