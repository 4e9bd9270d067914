"""Servers that fill holes, one small declaration each, and what `--model` calls them.

`PROVIDER:MODEL`, `PROVIDER:MODEL@URL` or a bare URL, `http://host:port/base#model`. Prices are list
prices in dollars for a million tokens when this was written, and only bound what is spent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from diffufix.errors import PrerequisiteError, UsageError


@dataclass(frozen=True)
class Provider:
    """`shapes`: the requests to be tried, in their order (shapes.py). `keys`: environment variables
    of which the first that is set holds the key; `keyed`: it cannot be used without one."""

    name: str
    url: str
    shapes: tuple[str, ...]
    model: str = ""  # where none is named
    keys: tuple[str, ...] = ()
    keyed: bool = False
    price: tuple[float, float] | None = None  # of tokens read and written
    logprobs: bool = False  # `/completions` may be asked for them
    at_once: int = 4
    rate: float = 0.0  # requests a second, 0: as many as there are
    extra: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)  # of shapes, where they differ


PROVIDERS = {
    each.name: each
    for each in (
        Provider(
            "mercury", "https://api.inceptionlabs.ai", ("fim",), "mercury-edit-2",
            ("INCEPTION_API_KEY", "MERCURY_API_KEY"), keyed=True, price=(0.25, 1.0),
            extra={"presence_penalty": 0},  # a repair repeats names
        ),
        Provider(
            "codestral", "https://codestral.mistral.ai", ("fim",), "codestral-latest",
            ("CODESTRAL_API_KEY",), keyed=True, price=(0.3, 0.9), rate=1.0,
        ),
        Provider(
            "mistral", "https://api.mistral.ai", ("fim",), "codestral-latest",
            ("MISTRAL_API_KEY",), keyed=True, price=(0.3, 0.9),
        ),
        Provider(
            "deepseek", "https://api.deepseek.com/beta", ("suffix",), "deepseek-chat",
            ("DEEPSEEK_API_KEY",), keyed=True, price=(0.3, 1.2), logprobs=True,
            paths={"suffix": "/completions"},
        ),
        Provider("ollama", "http://127.0.0.1:11434", ("suffix",), at_once=2),
        Provider("llamacpp", "http://127.0.0.1:8080", ("infill", "raw"), "default", logprobs=True,
                 keys=("LLAMA_API_KEY",)),
        Provider("vllm", "http://127.0.0.1:8000", ("raw",), keys=("VLLM_API_KEY",), logprobs=True,
                 at_once=8),
        Provider("tgi", "http://127.0.0.1:3000", ("raw",), keys=("TGI_API_KEY", "HF_TOKEN"),
                 at_once=8),
        Provider("sglang", "http://127.0.0.1:30000", ("raw", "suffix"), keys=("SGLANG_API_KEY",),
                 logprobs=True, at_once=8),
    )
}  # fmt: skip
#: Of a bare URL: whatever it understands.
ANY = Provider("url", "", ("infill", "fim", "suffix", "raw"), keys=("ENGINE_API_KEY",))
LOCAL = "fim"  # `fim:FOLDER or hub id`: an autoregressive model on this machine


@dataclass(frozen=True)
class EngineName:
    """An engine as it was named: `provider` None is a model on this machine."""

    text: str
    provider: Provider | None
    model: str
    url: str = ""

    @property
    def host(self) -> str:
        return (urlsplit(self.url).hostname or "") if self.url else ""

    @property
    def elsewhere(self) -> bool:
        """Whether what it is asked leaves this machine."""
        return self.provider is not None and not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def engine_named(text: str) -> EngineName | None:
    """The engine that a part of `--model` names; None: it names a local diffusion model.

    Raises UsageError for an engine without a model, or an address that is none.
    """
    if text.startswith(("http://", "https://")):
        url, _, model = text.partition("#")
        return EngineName(text, ANY, model or "default", _checked(url))
    prefix, separator, rest = text.partition(":")
    if not separator or (prefix not in PROVIDERS and prefix != LOCAL):
        return None
    model, _, url = rest.partition("@http")
    if prefix == LOCAL:
        if not rest:
            raise UsageError("`fim:` names no model.", "Such as fim:Qwen/Qwen2.5-Coder-0.5B.")
        return EngineName(text, None, rest)
    provider = PROVIDERS[prefix]
    model = model or provider.model
    if not model:
        raise UsageError(
            f"`{text}` names no model.", f"Such as {prefix}:qwen2.5-coder; `@URL` says where it is."
        )
    url = f"http{url}" if url else _address(provider)
    return EngineName(text, provider, model, _checked(url))


def members(text: str) -> tuple[str, ...]:
    """The parts of `--model`, which commas separate."""
    return tuple(part for part in (each.strip() for each in text.split(",")) if part)


def engines_named(text: str) -> tuple[EngineName, ...]:
    """All engines among the parts of `--model`."""
    found = (engine_named(part) for part in members(text))
    return tuple(each for each in found if each is not None)


def _address(provider: Provider) -> str:
    if provider.name != "ollama":
        return provider.url
    host = os.environ.get("OLLAMA_HOST", "").strip()
    if not host or host.startswith("0.0.0.0"):
        return provider.url
    return host if "://" in host else f"http://{host}" + ("" if ":" in host else ":11434")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address of a server.", "Such as http://127.0.0.1:8080.")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            f"The address of {parts.hostname} holds a user, a password or a query.",
            "Give the address alone; a key comes from the environment.",
        )
    return url.rstrip("/").removesuffix("/v1")


def key_of(name: EngineName) -> str:
    """The key from the environment; "" where there is none. Never to another host unencrypted.

    Raises PrerequisiteError where one is needed, or would go over plain http to another host.
    """
    provider = name.provider
    assert provider is not None
    key = next((os.environ[v] for v in provider.keys if os.environ.get(v, "").strip()), "").strip()
    if not key:
        if provider.keyed:
            raise PrerequisiteError(
                f"{name.text} needs a key: {provider.keys[0]} is not set.",
                f"export {provider.keys[0]}=...",
            )
        return ""
    if name.url.startswith("http://") and name.elsewhere:
        raise PrerequisiteError(
            f"The key in {next(v for v in provider.keys if os.environ.get(v))} would go over plain "
            f"http to {name.host}.",
            "Use https, a tunnel to 127.0.0.1, or unset the variable where no key is needed.",
        )
    return key
