"""Who may ask, and how much: a token compared in constant time, bodies of bounded size.

ASGI middleware; touches nothing but the request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

OPEN = frozenset({"/health", "/ready"})  # asked by whoever watches the server


class TokenRequired:
    """Lets requests pass that bring the token: `Authorization: Bearer TOKEN`, or Basic with the
    token as password, which clients send for https://user:TOKEN@host."""

    def __init__(self, app: _App, token: str, open_paths: Collection[str] = OPEN) -> None:
        self._app, self._token, self._open = app, token.encode(), open_paths

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open:
            given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
            if not hmac.compare_digest(_token_of(given), self._token):
                await _refuse(send, 401, "this needs a token", b"Bearer")
                return
        await self._app(scope, receive, send)


class BoundedBody:
    """Ends requests whose body is larger than `most` bytes, whatever they say of its length."""

    def __init__(self, app: _App, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = f"a body has at most {self._most} bytes here"
        said = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if said.isdigit() and int(said) > self._most:
            await _refuse(send, 413, too_large)
            return
        came = 0

        async def bounded() -> MutableMapping[str, Any]:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise HTTPException(413, too_large, {"connection": "close"})
            return message

        await self._app(scope, bounded, send)


def _token_of(header: bytes) -> bytes:
    scheme, _, value = header.partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


async def _refuse(send: _Send, status: int, message: str, challenge: bytes = b"") -> None:
    body = json.dumps({"error": "refused", "message": message, "retry": False}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(b"content-length", str(len(body)).encode())]
    headers += [(b"www-authenticate", challenge)] if challenge else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
