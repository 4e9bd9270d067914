"""The server's routes. Infrastructure that failed is a status that says "again", never a verdict.

| status | what it says |
|---|---|
| 200 | the answer |
| 401, 413, 422 | not allowed, too large, cannot be answered: asking again does not help |
| 404 | no such project here: send it |
| 429, 503, 504 | the queue is full, something failed, no time left: ask again with the same id |
"""

# No `from __future__ import annotations`: FastAPI reads the types of the routes, which are local.

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

import diffufix
from diffufix.errors import DiffufixError, SandboxUnavailable
from diffufix.serve import fusion
from diffufix.serve.access import BoundedBody, TokenRequired
from diffufix.serve.jobs import Jobs, Late
from diffufix.serve.metrics import Metrics
from diffufix.serve.options import MIB, ServeOptions
from diffufix.serve.protocol import Busy, UnknownProject, VerifyAnswer, VerifyRequest
from diffufix.serve.shelf import Shelf
from diffufix.serve.verifiers import WarmVerifiers

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")
RequestId = Annotated[str, Header(alias="X-Request-Id", max_length=200)]


class VerifyBody(BaseModel):
    """What `VerifyRequest` holds, and how long to wait."""

    project: str
    files: dict[str, str]
    tests: list[str] = []
    args: list[str] = []
    stop: bool = True
    confirm: bool = False
    timeout: float | None = None

    @property
    def request(self) -> VerifyRequest:
        return VerifyRequest(
            self.project, self.files, tuple(self.tests), tuple(self.args), self.stop, self.confirm
        )


class Service:
    """What the routes share."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.verifiers = WarmVerifiers(
            Shelf(options.folder, options.stored), options.settings, options.warm,
            options.memory * MIB,
        )  # fmt: skip
        self.jobs = Jobs(options.slots, options.waiting)
        self.metrics = Metrics(
            lambda: self.jobs.waiting, lambda: self.jobs.running, lambda: self.verifiers.workers
        )
        self.runner = fusion.CodeRunner(options)

    def drain(self) -> None:
        self.jobs.drain(self.options.grace)

    def seconds(self, wanted: float | None) -> float:
        most = self.options.seconds
        return most if wanted is None else max(0.0, min(wanted, most))

    async def verify(self, request: VerifyRequest) -> VerifyAnswer:
        answer = await asyncio.wrap_future(self.verifiers.ask(request))
        self.metrics.verdicts.labels(str(answer.verdict.state)).inc()
        return answer

    def close(self) -> None:
        self.runner.close()
        self.verifiers.close()


def create_app(options: ServeOptions) -> FastAPI:
    """The application; `app.state.service` is what its routes share."""
    service = Service(options)

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(title="diffufix", version=diffufix.__version__, lifespan=life)
    app.state.service = service
    _guard(app, options)
    _errors(app)

    @app.middleware("http")
    async def measured(
        request: Request, go_on: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        began = time.monotonic()
        response = await go_on(request)
        route = getattr(request.scope.get("route"), "path", "none")
        service.metrics.requests.labels(route, str(response.status_code)).inc()
        if response.status_code == 200:
            service.metrics.seconds.labels(route).observe(time.monotonic() - began)
        return response

    @app.get("/health")
    async def health() -> Response:
        return _json({"status": "ok", "version": diffufix.__version__})

    @app.get("/ready")
    async def ready() -> Response:
        jobs = service.jobs
        state = "draining" if jobs.draining else "full" if jobs.full else "ready"
        return _json({"status": state}, 200 if state == "ready" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4")

    @app.get("/projects/{hash}")
    async def known(hash: str) -> Response:
        if service.verifiers.shelf.find(hash) is None:
            raise UnknownProject(f"There is no project {hash} here.", "Send it.")
        return _json({"project": hash})

    @app.put("/projects/{hash}")
    async def add(hash: str, request: Request) -> Response:
        with tempfile.TemporaryFile() as archive:
            async for chunk in request.stream():
                archive.write(chunk)
            archive.seek(0)
            shelf, in_use = service.verifiers.shelf, service.verifiers.in_use
            new = await asyncio.to_thread(shelf.add, hash, archive, in_use)
        return _json({"project": hash}, 201 if new else 200)

    @app.post("/verify")
    async def verify(body: VerifyBody, id: RequestId = "") -> Response:
        asked = body.request
        answer = await service.jobs.answer(
            id, asked.digest, lambda: service.verify(asked), service.seconds(body.timeout)
        )
        return _json({"project": asked.project, **answer.document()})

    @app.post("/run_code")
    async def run_code(body: fusion.RunCodeRequest, id: RequestId = "") -> Response:
        def run() -> Awaitable[fusion.RunCodeResponse]:
            return asyncio.to_thread(service.runner.run, body)

        seconds = service.seconds(None)
        found = await service.jobs.answer(id, body.model_dump_json(), run, seconds)
        return _json(found.model_dump())

    return app


def _guard(app: FastAPI, options: ServeOptions) -> None:
    """The last one added is asked first."""
    app.add_middleware(BoundedBody, most=options.body * MIB)
    if options.token:
        app.add_middleware(TokenRequired, token=options.token)
    else:  # a page in a browser reaches this address, too, but under another name
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_NAMES, options.host])


def _errors(app: FastAPI) -> None:
    @app.exception_handler(DiffufixError)
    async def told(request: Request, error: DiffufixError) -> Response:
        retry = isinstance(error, SandboxUnavailable)
        status = 422
        if isinstance(error, UnknownProject):
            status = 404
        elif isinstance(error, Busy):
            status = 429
        elif retry:
            # Of all statuses, verl's client of this route asks again after 504 alone.
            late = isinstance(error, Late) or request.url.path == "/run_code"
            status = 504 if late else 503
        after = getattr(error, "after", 1.0)
        kind = type(error).__name__
        said = {"error": kind, "message": error.message, "hint": error.hint, "retry": retry}
        return _json(said, status, {"retry-after": f"{after:.0f}"} if retry else {})

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        said = {"error": "refused", "message": str(error.detail), "hint": "", "retry": False}
        return _json(said, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{where}: {first['msg']}"
        return _json({"error": "UsageError", "message": said, "hint": "", "retry": False}, 422)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        said = {"error": "internal", "message": type(error).__name__, "hint": "", "retry": True}
        return _json(said, 503, {"retry-after": "1"})


def _json(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """In ASCII: what tests print may hold characters that UTF-8 has no place for."""
    body = json.dumps(document, separators=(",", ":"))
    return Response(body, status, dict(headers or {}), "application/json")
