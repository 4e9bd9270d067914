"""Which request a server is asked with, and that silent misuse is found out."""

from __future__ import annotations

import pytest

from diffufix.engines.open import open_engine
from diffufix.engines.providers import engine_named
from diffufix.engines.remote import RemoteEngine
from diffufix.engines.types import FillRequest
from diffufix.errors import PrerequisiteError
from tests.support.fim_standin import FimServer

HOLE = FillRequest("def f(a):\n    return ", "\n\nprint(f(2))\n", seed=7, stop=("\n",))


def opened(server: FimServer, provider: str, model: str = "qwen2.5-coder") -> RemoteEngine:
    name = engine_named(f"{provider}:{model}@{server.address}")
    assert name is not None
    engine = open_engine(name)
    assert isinstance(engine, RemoteEngine)
    return engine


@pytest.mark.parametrize(
    ("behaviour", "provider", "shape", "path"),
    [
        ("fim", "mercury", "fim", "/v1/fim/completions"),
        ("suffix", "ollama", "suffix", "/v1/completions"),
        ("suffix", "deepseek", "suffix", "/completions"),
        ("refuses", "vllm", "raw", "/v1/completions"),
        ("appends", "tgi", "raw", "/v1/completions"),
    ],
)
def test_each_server_is_asked_its_way(monkeypatch, behaviour, provider, shape, path) -> None:
    for variable in ("INCEPTION_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.setenv(variable, "secret")
    with FimServer(behaviour, lambda left, right: f"{left[-7:]}|{right[:7]}") as server:
        engine = opened(server, provider)
        assert engine.shape == shape
        fill = engine.fill(HOLE)[0]
        assert fill.text.startswith("return ")
        assert server.asked[-1][0] == path
        sides = str(server.asked[-1][1])
        assert "print(f(2))" in sides
        assert engine.spending.requests == len(server.asked)


@pytest.mark.parametrize("behaviour", ["appends", "ignores", "refuses"])
@pytest.mark.parametrize("usage", [True, False])
def test_a_suffix_that_is_not_read_is_found_out(behaviour, usage) -> None:
    with FimServer(behaviour, lambda left, right: "return width * height") as server:
        server.usage = usage
        with pytest.raises(PrerequisiteError, match="does not fill holes") as caught:
            opened(server, "ollama")
        assert {"appends": "appends", "ignores": "not read", "refuses": "not currently supported"}[
            behaviour
        ] in caught.value.message


def test_marks_that_are_words_to_the_model_are_found_out() -> None:
    with FimServer("words") as server, pytest.raises(PrerequisiteError, match="as words"):
        opened(server, "vllm")
    with FimServer("refuses") as server, pytest.raises(PrerequisiteError, match="no marks are"):
        opened(server, "vllm", "llama-3")


def test_a_url_is_asked_every_way() -> None:
    with FimServer("refuses") as server:
        name = engine_named(f"{server.address}/v1#qwen2.5-coder")
        assert name is not None
        engine = RemoteEngine.open(name, 0.5)
        assert engine.shape == "raw"
        assert [path for path, _, _ in server.asked[:3]] == [
            "/infill", "/v1/fim/completions", "/v1/completions",
        ]  # fmt: skip
        assert not engine.note


def test_what_a_small_model_does_with_the_hole_is_said() -> None:
    with FimServer("suffix", lambda left, right: "pass") as server:
        assert "does not fit" in opened(server, "ollama").note


def test_text_that_spells_a_mark_is_not_asked_about() -> None:
    with FimServer("refuses") as server:
        engine = opened(server, "vllm")
        count = len(server.asked)
        assert engine.fill(FillRequest("x = '<|fim_middle|>'\n", "\n")) == []
        assert len(server.asked) == count


def test_likelihoods_and_several_fills_where_the_server_gives_them() -> None:
    with FimServer("refuses") as server:
        fills = opened(server, "vllm").fill(FillRequest("a", "b", count=3))
        assert [fill.logp for fill in fills] == [-1.5] * 3
