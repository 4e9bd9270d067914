"""Servers that fill holes, as they behave towards a client: one class, a behaviour by name.

What a "model" writes is scripted: `answer(prompt, suffix)`. Behaviours, with what they are taken
from: `fim` (Mercury, Codestral), `suffix` (Ollama, DeepSeek), `ignores` (llama.cpp's completions:
suffix unread, status 200), `appends` (TGI PR 1527: suffix appended to the text), `refuses` (vLLM
issue 9976: "suffix is not currently supported"), `words` (a model to which the marks are words).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, str], str]


def sensible(prompt: str, suffix: str) -> str:
    """Of a model that reads both sides."""
    return "quantity_of_paint = width * height" if "quantity_of_paint" in suffix else "pass"


class FimServer:
    """On a port of this machine: `with FimServer("fim") as server: server.address`."""

    def __init__(self, behaviour: str, answer: Answer = sensible, key: str = "") -> None:
        self.behaviour, self.answer, self.key = behaviour, answer, key
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.statuses: list[tuple[int, dict[str, str]]] = []  # given before anything else
        self.usage = True
        outer = self

        class Handler(_Handler):
            standin = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FimServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    standin: FimServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.standin
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append((self.path, body, dict(self.headers)))
        if server.statuses:
            status, headers = server.statuses.pop(0)
            self._say({"error": {"message": f"status {status}"}}, status, headers)
        elif server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            self._say({"detail": "Invalid API key"}, 401)
        else:
            self._fill(body)

    def _fill(self, body: dict[str, Any]) -> None:
        server, path = self.standin, self.path
        kind, prompt, suffix = server.behaviour, body.get("prompt", ""), body.get("suffix")
        right = suffix or ""
        read = len(prompt) // 3
        if kind == "fim" and path == "/v1/fim/completions":
            text, read = server.answer(prompt, right), read + len(right) // 3
            message = {"role": "assistant", "content": text}
            self._choices([{"index": 0, "message": message}], read, len(text) // 3)
            return
        if path not in ("/v1/completions", "/completions") or kind == "fim":
            self._say({"error": {"message": "Not Found"}}, 404)
            return
        if suffix is not None and kind == "refuses":
            self._say({"object": "error", "message": "suffix is not currently supported"}, 400)
            return
        if suffix is not None:
            text = server.answer(prompt, suffix if kind == "suffix" else "")
            text += suffix if kind == "appends" else ""
            read += len(suffix) // 3 if kind == "suffix" else 0
        else:
            left, _, rest = prompt.removeprefix("<|fim_prefix|>").partition("<|fim_suffix|>")
            marks = prompt.count("<|fim_")
            bare = re.sub(r"<\|fim_\w+\|>", "", prompt)
            text = server.answer(left, rest.partition("<|fim_middle|>")[0])
            read = marks * (5 if kind == "words" else 1) + len(bare) // 3
        for stop in body.get("stop", ()):
            text = text.partition(stop)[0]
        choice: dict[str, Any] = {"index": 0, "text": text}
        if body.get("logprobs") and kind != "appends":
            choice["logprobs"] = {"tokens": [text], "token_logprobs": [-1.5]}
        self._choices([choice] * body.get("n", 1), read, len(text) // 3)

    def _choices(self, choices: list[Any], read: int, wrote: int) -> None:
        document: dict[str, Any] = {"object": "text_completion", "choices": choices}
        if self.standin.usage:
            document["usage"] = {"prompt_tokens": read, "completion_tokens": wrote}
        self._say(document)

    def _say(self, document: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)
