"""The four requests with which servers fill a hole, and how their answers are read.

| shape | request | who |
|---|---|---|
| fim | POST /v1/fim/completions, prompt and suffix | Mercury, Codestral |
| suffix | POST /v1/completions, prompt and suffix | Ollama, DeepSeek |
| infill | POST /infill, input_prefix and input_suffix | llama.cpp |
| raw | POST /v1/completions, the model's own marks in the prompt | vLLM, TGI, SGLang, llama.cpp |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffufix.engines.marks import FimMarks
from diffufix.engines.types import EngineFill, FillRequest, Usage

Body = dict[str, Any]


@dataclass(frozen=True)
class RequestShape:
    """`body` makes a request (None: this one cannot be asked that way), `read` takes the fills."""

    name: str
    path: str
    body: Callable[[str, FillRequest, FimMarks | None, bool], Body | None]
    read: Callable[[Any], list[EngineFill]]


def _plain(model: str, request: FillRequest) -> Body:
    body: Body = {
        "model": model, "max_tokens": request.max_tokens, "temperature": request.temperature
    }  # fmt: skip
    return body | ({"stop": list(request.stop)[:4]} if request.stop else {})


def _fim(model: str, request: FillRequest, marks: FimMarks | None, logprobs: bool) -> Body:
    body = _plain(model, request) | {"prompt": request.left, "suffix": request.right}
    return body | {"random_seed": request.seed}


def _suffix(model: str, request: FillRequest, marks: FimMarks | None, logprobs: bool) -> Body:
    body = _plain(model, request) | {"prompt": request.left, "suffix": request.right}
    return body | {"seed": request.seed} | ({"logprobs": 1} if logprobs else {})


def _infill(model: str, request: FillRequest, marks: FimMarks | None, logprobs: bool) -> Body:
    return {
        "input_prefix": request.left, "input_suffix": request.right, "prompt": "",
        "n_predict": request.max_tokens, "temperature": request.temperature, "seed": request.seed,
        "stop": list(request.stop), "top_p": 0.95, "top_k": 0, "min_p": 0.0, "n_probs": 1,
        "cache_prompt": True,
    }  # fmt: skip


def _raw(model: str, request: FillRequest, marks: FimMarks | None, logprobs: bool) -> Body | None:
    prompt = marks.prompt(request.left, request.right) if marks else None
    if marks is None or prompt is None:
        return None
    body = _plain(model, request)
    body["stop"] = [*request.stop, *marks.ends][:4]
    body |= {"prompt": prompt, "seed": request.seed}
    if request.count > 1 and request.temperature > 0:
        body["n"] = request.count
    return body | ({"logprobs": 1, "skip_special_tokens": False} if logprobs else {})


def _choices(document: Any) -> list[EngineFill]:
    """Of `choices`, in the form of completions or of a conversation's message."""
    fills = []
    for choice in document["choices"]:
        message = choice.get("message") or {}
        text = choice.get("text")
        text = message.get("content") if text is None else text
        if not isinstance(text, str):
            raise ValueError("a choice without a text")
        logps = _logps(choice.get("logprobs"))
        fills.append(EngineFill(text, sum(logps) if logps else None, len(logps)))
    return fills


def _logps(told: Any) -> list[float]:
    """Log-probabilities of a choice's tokens; none where one of them is missing."""
    if not isinstance(told, Mapping):
        return []
    found = told.get("token_logprobs")
    if found is None and isinstance(told.get("content"), Sequence):
        found = [each.get("logprob") for each in told["content"]]
    if not found or not all(isinstance(value, int | float) for value in found):
        return []
    return [float(value) for value in found]


def _infilled(document: Any) -> list[EngineFill]:
    fills = []
    for each in document if isinstance(document, list) else [document]:
        text = each["content"]
        if not isinstance(text, str):
            raise ValueError("no content")
        logps = _logps({"content": each.get("completion_probabilities") or ()})
        fills.append(EngineFill(text, sum(logps) if logps else None, len(logps)))
    return fills


SHAPES = {
    each.name: each
    for each in (
        RequestShape("fim", "/v1/fim/completions", _fim, _choices),
        RequestShape("suffix", "/v1/completions", _suffix, _choices),
        RequestShape("infill", "/infill", _infill, _infilled),
        RequestShape("raw", "/v1/completions", _raw, _choices),
    )
}


def usage_of(document: Any) -> Usage:
    """What the server counted."""
    if isinstance(document, list):
        parts = [usage_of(each) for each in document]
        prompt = parts[0].prompt if parts else None
        return Usage(prompt, sum(part.completion or 0 for part in parts))
    if not isinstance(document, Mapping):
        return Usage()
    told = document.get("usage")
    if isinstance(told, Mapping):
        return Usage(_number(told.get("prompt_tokens")), _number(told.get("completion_tokens")))
    return Usage(
        _number(document.get("tokens_evaluated")), _number(document.get("tokens_predicted"))
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
