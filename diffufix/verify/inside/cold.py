# mypy: ignore-errors
"""A cold run: a new interpreter for one candidate. Touches the server's temporary directory."""

import json
import os
import subprocess
import sys
import tempfile

from . import processes
from .launch import COLD

START = 5.0  # seconds for an interpreter to start and import pytest


def own_sources():
    """{module: text} of this package, read before anybody could change it."""
    package = __name__.rpartition(".")[0]
    folder = os.path.dirname(os.path.abspath(__file__))
    sources = {}
    for entry in sorted(os.listdir(folder)):
        stem, kind = os.path.splitext(entry)
        if kind == ".py":
            with open(os.path.join(folder, entry), encoding="utf-8") as file:
                sources[package if stem == "__init__" else package + "." + stem] = file.read()
    return sources


def begin(config, request, sources, code):
    """(process, descriptor of its records): an interpreter that runs `server.main_cold`."""
    processes.spend_ids(request.get("pids", 0))
    reader, writer = os.pipe()
    config = dict(config, request=request, fd=writer)
    with tempfile.TemporaryFile(dir=config["temporary"]) as message:
        text = json.dumps({"sources": sources, "config": config})
        message.write(text.encode("utf-8"))
        message.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-c", COLD, str(message.fileno())],
            pass_fds=(writer, message.fileno()),
            env={**os.environ, **request["env"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **_as_code(code),
        )
    process.returncode = 0  # `supervise` reaps it
    os.close(writer)
    return process.pid, reader


def _as_code(code):
    """Before its interpreter starts, which may import what the project puts on its path."""
    if code is None:
        return {}
    return {"user": code, "group": code, "extra_groups": []}
