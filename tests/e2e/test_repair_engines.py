"""`diffufix repair` with an engine behind HTTP, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fim_standin import FimServer, sensible

CODE = """\
def total(values):
    result = 0
    for value in values:
        result = value
    return result
"""


def model(left: str, right: str) -> str:
    """Knows the one thing that the test asks for."""
    last = left.rpartition("\n")[2]
    if last == "        " and right.startswith("\n    return result"):
        return "result += value"
    return sensible(left, right)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text(CODE)
    test = "from sums import total\n\n\ndef test_total():\n    assert total([1, 2, 3]) == 6\n"
    (tmp_path / "test_sums.py").write_text(test)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.slow
def test_an_engine_alone_repairs_and_says_what_it_took(diffufix_cli, project: Path) -> None:
    with FimServer("suffix", model) as server:
        name = f"ollama:qwen2.5-coder@{server.address}"
        done = diffufix_cli(
            "repair", "--json", "--sandbox", "local", "--budget", "250", "--threshold", "0.5",
            "--model", name, cwd=project,
        )  # fmt: skip
        prompts = [body["prompt"] for _, body, _ in server.asked]
    document = json.loads(done.stdout)
    assert document["status"] == "repaired", document
    assert "result += value" in document["patch"]["diff"]
    assert document["model"] == {"name": name, "hash": ""}
    assert document["engines"][name]["requests"] == len(prompts)
    assert any("assert total([1, 2, 3]) == 6" in prompt for prompt in prompts)


def test_a_project_may_not_send_code_elsewhere_by_itself(diffufix_cli, project: Path) -> None:
    text = '[tool.diffufix]\nmodel = "mini,vllm:qwen@https://example.org"\n'
    (project / "pyproject.toml").write_text(text)
    done = diffufix_cli("repair", cwd=project)
    assert done.returncode == 2
    assert "an engine that code would be sent to" in done.stderr
