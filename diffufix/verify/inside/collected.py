# mypy: ignore-errors
"""The fork server's last stage: the tests are collected, and live functions get their new code in
children. Touches nothing by itself."""

import gc
import os
import threading
import time

from . import child, frames, processes
from .swap import Live, exchange


def stay(server, session, ready):
    """Answer requests until the stream ends; `ready` are the collected tests."""
    server.role = "collected"
    processes.adopt_orphans()
    server.calls.stop()
    live = Live(server.config["tree"], server.calls)
    gc.collect()
    gc.freeze()
    frames.send(server.stream[1], {"ids": list(ready.items), "cpu": time.process_time()})
    while True:
        request = frames.receive(server.stream[0])
        if request is None:
            server.end()
        reply = _swap(server, request, live, ready)
        child.forget_output(session.config)
        frames.send(server.stream[1], dict(reply, way="swap", whole=server.whole))


def _swap(server, request, live, ready):
    if request["swaps"] is None or request["way"] not in (None, "swap"):
        return {"refused": "more than function bodies changed"}
    if threading.active_count() > 1:
        return {"refused": "threads are running"}
    found = live.find(request["swaps"], request["hasty"])
    if isinstance(found, str):
        return {"refused": found}
    ready.twin(request)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        server.enter_child(request, writer)
        server.witness.ignore(live.codes_of({path for path, *_ in found}))
        _run_swapped(server, live, found, ready)
    os.close(writer)
    return dict(server.watch(pid, reader, request), hasty=live.were_called(found))


def _run_swapped(server, live, found, ready):
    try:
        refusal = exchange(live, found)
    except Exception as error:
        server.emit("error", reason=f"{type(error).__name__}: {error}")
        os._exit(4)
    if refusal:
        server.emit("refused", reason=refusal)
        os._exit(5)
    child.run_tests(ready, server.request, server.emit, server.witness)
