"""Runs the server until it is told to end, and then lets it finish what is open."""

from __future__ import annotations

import contextlib
from types import FrameType
from typing import TYPE_CHECKING

from diffufix.errors import PrerequisiteError, UsageError
from diffufix.sandbox.reap import reap_folders
from diffufix.serve.options import ServeOptions

if TYPE_CHECKING:
    from collections.abc import Callable

MARGIN = 5.0  # seconds after the grace in which the last answers go out


def serve(options: ServeOptions, told: Callable[[str], None] = lambda line: None) -> None:
    """Serve until SIGTERM or SIGINT; `told` hears where it listens.

    Raises UsageError (everybody could ask, the address is taken), PrerequisiteError without the
    extra `serve`.
    """
    options.check()
    try:
        import uvicorn

        from diffufix.serve.app import create_app
    except ImportError as error:
        raise PrerequisiteError(
            f"The server needs {error.name}.", "pip install 'diffufix[serve]'"
        ) from error
    reap_folders()  # of a server that was killed
    app = create_app(options)

    class Draining(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                app.state.service.drain()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets=sockets)  # type: ignore[arg-type]
            if self.started:
                port = self.servers[0].sockets[0].getsockname()[1]
                told(f"http://{options.host}:{port}")

    config = uvicorn.Config(
        app, host=options.host, port=options.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=round(options.grace + MARGIN), lifespan="on",
        server_header=False,
    )  # fmt: skip
    server = Draining(config)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands the signal on at its end
            server.run()
    except SystemExit:
        raise UsageError(
            f"{options.host}:{options.port} cannot be listened on.", "Choose another --port."
        ) from None
