"""llama.cpp's own server, in a process of its own, with a tiny random model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from diffufix.engines.providers import engine_named
from diffufix.engines.remote import RemoteEngine
from diffufix.engines.types import FillRequest
from diffufix.errors import PrerequisiteError
from tests.support.tiny_gguf import write_gguf

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], 0
params.n_parallel, params.cpuparams.n_threads = 2, 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


def opened(text: str) -> RemoteEngine:
    name = engine_named(text)
    assert name is not None
    return RemoteEngine.open(name, 0.5)


def test_infill_reads_both_sides(address: str) -> None:
    engine = opened(f"llamacpp:tiny@{address}")
    assert engine.shape == "infill"
    request = FillRequest("def f(a):\n    return ", "\n", 12, 0.8)
    fills = [engine.fill(FillRequest(**{**vars(request), "seed": s}))[0] for s in range(4)]
    assert len({fill.text for fill in fills}) > 1
    assert any(fill.logp is not None and fill.logp < 0 for fill in fills)
    cold = FillRequest("def f(a):\n    return ", "\n", 6, 0.0)
    assert engine.fill(cold)[0].text == engine.fill(cold)[0].text
    engine.close()


def test_marks_in_the_prompt_are_tokens_there(address: str) -> None:
    engine = opened(f"vllm:qwen2.5-coder@{address}")
    assert engine.shape == "raw"
    assert engine.fill(FillRequest("a", "b", 3, 0.0))
    engine.close()
    with pytest.raises(PrerequisiteError, match="as words"):
        opened(f"tgi:starcoder2@{address}")


def test_its_completions_do_not_read_a_suffix_and_that_is_noticed(address: str) -> None:
    with pytest.raises(PrerequisiteError, match="does not read the text to the right"):
        opened(f"ollama:qwen2.5-coder@{address}")
