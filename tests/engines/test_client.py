"""Keys, tries again, pauses and costs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from diffufix.engines.client import Client
from diffufix.engines.providers import EngineName, engine_named, key_of
from diffufix.engines.remote import RemoteEngine
from diffufix.engines.types import EngineStopped, FillRequest
from diffufix.errors import PrerequisiteError, UsageError
from tests.support.fim_standin import FimServer

HOLE = FillRequest("def f(a):\n    return ", "\n")


def named(text: str) -> EngineName:
    name = engine_named(text)
    assert name is not None
    return name


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCEPTION_API_KEY", "secret")


@pytest.mark.usefixtures("key")
def test_a_key_never_goes_over_plain_http_to_another_host() -> None:
    assert key_of(named("mercury:")) == "secret"
    assert key_of(named("mercury:@http://127.0.0.1:1")) == "secret"
    with pytest.raises(PrerequisiteError, match=r"plain http to example\.org"):
        RemoteEngine.open(named("mercury:@http://example.org"), 1.0)
    with pytest.raises(UsageError, match="holds a user"):
        named("mercury:@https://me:word@example.org")


def test_a_missing_key_names_its_variable() -> None:
    with pytest.raises(PrerequisiteError, match="CODESTRAL_API_KEY"):
        RemoteEngine.open(named("codestral:"), 1.0)


@pytest.mark.usefixtures("key")
def test_a_key_that_is_refused_is_not_tried_again() -> None:
    with (
        FimServer("fim", key="another") as server,
        pytest.raises(PrerequisiteError, match="refuses the key: 401 Invalid API key"),
    ):
        RemoteEngine.open(named(f"mercury:@{server.address}"), 1.0)
    assert len(server.asked) == 1


@pytest.mark.usefixtures("key")
def test_a_redirect_is_not_followed() -> None:
    with FimServer("fim") as server:
        server.statuses = [(307, {"Location": "http://example.org/"})]
        with pytest.raises(PrerequisiteError, match=r"points to http://example\.org/"):
            RemoteEngine.open(named(f"mercury:@{server.address}"), 1.0)


def client_of(server: FimServer, most: float = 1.0) -> tuple[Client, list[float]]:
    slept: list[float] = []
    return Client(named(f"mercury:@{server.address}"), most, slept.append), slept


@pytest.mark.usefixtures("key")
def test_overload_is_waited_out_as_the_server_says() -> None:
    with FimServer("fim") as server:
        client, slept = client_of(server)
        server.statuses = [(503, {}), (429, {"Retry-After": "3"}), (500, {})]
        body = {"prompt": "a", "suffix": "b"}
        assert client.post("/v1/fim/completions", body, 9)["choices"]
        assert len(server.asked) == 4
        assert 3 <= max(slept) < 4
        server.statuses = [(429, {"Retry-After": "3600"})]
        with pytest.raises(EngineStopped, match="asks to wait 3600 s"):
            client.post("/v1/fim/completions", body, 9)
        server.statuses = [(500, {})] * 9
        with pytest.raises(EngineStopped, match="answers 500: status 500"):
            client.post("/v1/fim/completions", body, 9)


@pytest.mark.usefixtures("key")
def test_costs_end_where_they_were_to_end() -> None:
    with FimServer("fim") as server:
        name = named(f"mercury:@{server.address}")
        engine = RemoteEngine.open(name, 0.0005)
        before = engine.spending.dollars
        assert 0 < before < 0.0005
        wide = FillRequest("x" * 300, "y" * 300, 64)
        said = ""
        for _ in range(1000):
            try:
                engine.fill(wide)
            except EngineStopped as error:
                said = str(error)
                break
        assert "--max-cost is $0.0005" in said
        assert before < engine.spending.dollars <= 0.0005


@pytest.mark.usefixtures("key")
def test_a_conversation_costs_what_it_says() -> None:
    with FimServer("fim") as server:
        client, _ = client_of(server, most=0.001)
        body = {"messages": [{"role": "user", "content": "x" * 20_000}]}
        with pytest.raises(EngineStopped, match=r"--max-cost is \$0\.001"):
            client.post("/v1/chat/completions", body, 9)
        assert server.asked == []


@pytest.mark.usefixtures("key")
def test_requests_keep_their_distance() -> None:
    with FimServer("fim") as server:
        client, slept = client_of(server)
        client.provider = replace(client.provider, rate=2.0)
        for _ in range(3):
            client.post("/v1/fim/completions", {"prompt": "a", "suffix": "b"}, 1)
        assert len(slept) == 2
        assert max(slept) > 0.4


def test_a_server_that_is_not_there() -> None:
    began = time.monotonic()
    with pytest.raises(PrerequisiteError, match="cannot be reached") as caught:
        RemoteEngine.open(named("ollama:qwen2.5-coder@http://127.0.0.1:9"), 1.0)
    assert "Start the server" in caught.value.hint
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("key")
def test_an_answer_that_is_none_ends_the_engine() -> None:
    with FimServer("fim") as server:
        engine = RemoteEngine.open(named(f"mercury:@{server.address}"), 1.0)
        server.statuses = [(404, {})]
        with pytest.raises(EngineStopped, match="refuses a request: 404"):
            engine.fill(HOLE)
        server.statuses = [(400, {})]
        assert engine.fill(HOLE) == []
        engine.close()
        with pytest.raises(EngineStopped, match="given up"):
            engine.fill(HOLE)


def test_names() -> None:
    assert engine_named("mini") is None
    assert engine_named("Dream-org/DreamOn-v0-7B") is None
    assert engine_named("./some:folder") is None
    assert named("vllm:org/model@http://10.0.0.1:8000/v1").url == "http://10.0.0.1:8000"
    assert named("vllm:org/model@http://10.0.0.1:8000/v1").elsewhere
    assert not named("llamacpp:").elsewhere
    with pytest.raises(UsageError, match="names no model"):
        named("ollama:")
