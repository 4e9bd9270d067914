"""A stand-in for E2B on loopback: the HTTP protocol of its SDK, answered by real processes.

REST for the machines (create, list, info, timeout, kill; the API key is checked), and for each
machine what envd answers: commands over Connect-RPC in JSON (start with a stream of events, input,
signals), files over HTTP. A machine is a folder; each of its commands runs in a bubblewrap of its
own as root, with the system's programs, the machine's /work and /tmp, and without a network. Other
than in a real machine, two commands do not see each other's processes.

    with standin() as make:          # real SDK, real processes
        sandbox = make(tree)         # an E2BSandbox, not yet started
        make.server.faults.create = [429, 502]
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from diffufix.sandbox.e2b import E2BSandbox

KEY = "e2b_0123456789abcdef"
ENVD = "0.6.7"


@functools.cache
def missing() -> str:
    """Why there can be no stand-in here; "" where there can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    if os.getuid() != 0:
        return "machines with several users need root"
    probe = [*_wrapping(Path("/var/empty"), probe=True), "python3", "-c", ""]
    done = subprocess.run(probe, capture_output=True)
    return "" if done.returncode == 0 else f"bubblewrap: {done.stderr.decode().strip()}"


def _wrapping(folder: Path, probe: bool = False) -> list[str]:
    words = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    words += ["--die-with-parent", "--new-session", "--cap-add", "ALL", "--clearenv"]
    words += ["--tmpfs", "/", "--dev", "/dev", "--proc", "/proc", "--dir", "/root"]
    for name in ("usr", "etc", "opt"):
        if os.path.isdir(f"/{name}"):
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            words += ["--ro-bind", f"/{name}", f"/{name}"]
    if not probe:
        words += ["--bind", str(folder / "work"), "/work", "--bind", str(folder / "tmp"), "/tmp"]
    return [*words, "--"]


@dataclass
class Faults:
    """What goes wrong. `create`: statuses that the next requests for a machine are answered with;
    `vanish`: how many of the next machines are gone as soon as a command starts; `slow`: seconds
    before every message of a command; `input`: statuses for the next inputs."""

    create: list[int] = field(default_factory=list)
    input: list[int] = field(default_factory=list)
    vanish: int = 0
    slow: float = 0.0


@dataclass
class Machine:
    id: str
    token: str
    template: str
    metadata: dict[str, str]
    internet: bool
    until: float
    folder: Path
    doomed: bool = False
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def end(self) -> None:
        for process in list(self.processes.values()):
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Server:
    """The service: its machines, its faults, and how often each route was asked for."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.machines: dict[str, Machine] = {}
        self.created: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"service": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._closing = threading.Event()
        for work in (self._http.serve_forever, self._expire):
            threading.Thread(target=work, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def options(self) -> dict[str, Any]:
        """What the SDK needs to come here."""
        return {"api_key": KEY, "api_url": self.url, "sandbox_url": self.url}

    def create(self, body: dict[str, Any]) -> Machine:
        folder = Path(tempfile.mkdtemp(prefix="e2b-standin-"))
        folder.chmod(0o755)
        for name, mode in (("work", 0o755), ("tmp", 0o1777)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        with self.lock:
            doomed = self.faults.vanish > 0
            self.faults.vanish -= doomed
            machine = Machine(
                "i" + uuid.uuid4().hex[:19], uuid.uuid4().hex, body["templateID"],
                body.get("metadata", {}), body.get("allow_internet_access", True),
                time.time() + body.get("timeout", 15), folder, doomed,
            )  # fmt: skip
            self.machines[machine.id] = machine
            self.created.append(body)
        return machine

    def kill(self, machine_id: str) -> bool:
        with self.lock:
            machine = self.machines.pop(machine_id, None)
        if machine is not None:
            machine.end()
        return machine is not None

    def _expire(self) -> None:
        while not self._closing.wait(0.2):
            for machine in list(self.machines.values()):
                if machine.until < time.time():
                    self.kill(machine.id)

    def close(self) -> None:
        self._closing.set()
        for machine_id in list(self.machines):
            self.kill(machine_id)
        self._http.shutdown()
        self._http.server_close()


class Factory:
    """Makes sandboxes that live on `server`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._made: list[E2BSandbox] = []

    def __call__(self, tree: Path, **options: Any) -> E2BSandbox:
        sandbox = E2BSandbox(tree, **{**self.server.options, **options})
        self._made.append(sandbox)
        return sandbox

    def close(self) -> None:
        for sandbox in self._made:
            sandbox.close()


@contextlib.contextmanager
def standin() -> Iterator[Factory]:
    """A service with a factory of sandboxes; all of it ends with the block."""
    server = Server()
    factory = Factory(server)
    try:
        yield factory
    finally:
        factory.close()
        server.close()


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str | int | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code or status


class _Handler(BaseHTTPRequestHandler):
    service: Server
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> None:
        try:
            self._route()
        except _Refused as refusal:
            self._json(refusal.status, {"code": refusal.code, "message": str(refusal)})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self) -> None:
        self.body = self._read_body()
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        words = parts.path.strip("/").split("/")
        if words[0] in ("health", "files", "process.Process"):
            self._envd(words)
        else:
            self._control(words)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # -- the control plane -----------------------------------------------------------------

    def _control(self, words: list[str]) -> None:
        if self.headers.get("X-API-KEY") != KEY:
            raise _Refused(401, "Invalid API key")
        words = words[1:] if words[0] in ("v2", "v3") else words
        if words == ["sandboxes"] and self.command == "POST":
            self._create()
        elif words == ["sandboxes"]:
            self._list()
        elif words[0] == "sandboxes" and len(words) > 1:
            self._one(words[1], words[2:])
        else:
            raise _Refused(404, f"no route {self.command} {self.path}")

    def _create(self) -> None:
        faults = self.service.faults
        with self.service.lock:
            status = faults.create.pop(0) if faults.create else 0
        if status:
            raise _Refused(status, "as ordered")
        body = json.loads(self.body)
        if body["templateID"].startswith("no-such"):
            raise _Refused(404, f"template '{body['templateID']}' not found")
        machine = self.service.create(body)
        document = {"clientID": "standin", "envdVersion": ENVD, "envdAccessToken": machine.token}
        self._json(201, document | {"templateID": machine.template, "sandboxID": machine.id})

    def _list(self) -> None:
        wanted = {
            name: values[0] for name, values in parse_qs(self.query.get("metadata", "")).items()
        }
        found = [m for m in self.service.machines.values() if wanted.items() <= m.metadata.items()]
        self._json(200, [self._info(machine) for machine in found])

    def _info(self, machine: Machine) -> dict[str, Any]:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(machine.until))
        document: dict[str, Any] = {
            "sandboxID": machine.id,
            "templateID": machine.template,
            "state": "running",
        }
        document |= {"startedAt": moment, "endAt": moment, "metadata": machine.metadata}
        return document | {
            "clientID": "standin", "cpuCount": 2, "memoryMB": 512, "diskSizeMB": 1024,
            "envdVersion": ENVD,
        }  # fmt: skip

    def _one(self, machine_id: str, rest: list[str]) -> None:
        machine = self.service.machines.get(machine_id)
        if machine is None:
            raise _Refused(404, f"Sandbox {machine_id} not found")
        if self.command == "DELETE":
            self.service.kill(machine_id)
            self._empty()
        elif rest == ["timeout"]:
            machine.until = time.time() + json.loads(self.body)["timeout"]
            self._empty()
        else:
            self._json(200, self._info(machine))

    # -- a machine's envd ------------------------------------------------------------------

    def _envd(self, words: list[str]) -> None:
        machine_id = self.headers.get("E2b-Sandbox-Id", "")
        machine = self.service.machines.get(machine_id)
        if machine is None:
            raise _Refused(502, f"The sandbox {machine_id} was not found")
        if words[0] == "health":
            return self._empty()
        if self.headers.get("X-Access-Token") != machine.token:
            raise _Refused(401, "unauthorized access", "unauthenticated")
        if words[0] == "files":
            return self._files(machine)
        method = words[1]
        if method == "Start":
            return self._start(machine)
        request = json.loads(self.body)
        process = machine.processes.get(int(request["process"]["pid"]))
        if process is None:
            raise _Refused(404, "process not found", "not_found")
        getattr(self, f"_{method.lower()}")(process, request)
        return self._json(200, {})

    def _files(self, machine: Machine) -> None:
        path = machine.folder / os.path.normpath("/" + self.query["path"]).lstrip("/")
        if self.command == "GET":
            if not path.is_file():
                raise _Refused(404, f"path '{self.query['path']}' does not exist")
            return self._send(200, path.read_bytes(), "application/octet-stream")
        kind = self.headers.get("Content-Type", "")
        data = self.body
        if kind.startswith("multipart/form-data"):
            boundary = b"--" + kind.split("boundary=")[1].strip('"').encode()
            data = data.split(boundary)[1].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        entry = {"name": path.name, "path": self.query["path"], "type": "file"}
        return self._json(200, [entry])

    def _sendinput(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        faults = self.service.faults
        with self.service.lock:
            status = faults.input.pop(0) if faults.input else 0
        if status:
            raise _Refused(status, "as ordered")
        assert process.stdin is not None
        try:
            process.stdin.write(base64.b64decode(request["input"]["stdin"]))
            process.stdin.flush()
        except (OSError, ValueError) as error:
            raise _Refused(500, str(error), "internal") from error

    def _sendsignal(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        number = getattr(signal, request["signal"].removeprefix("SIGNAL_"))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def _closestdin(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _start(self, machine: Machine) -> None:
        size = struct.unpack(">xI", self.body[:5])[0]
        request = json.loads(self.body[5 : 5 + size])
        config = request["process"]
        wrapped = _wrapping(machine.folder)
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        for name, value in {**variables, **config.get("envs", {})}.items():
            wrapped[-1:-1] = ["--setenv", name, value]
        wrapped[-1:-1] = ["--chdir", config.get("cwd") or "/root"]
        process = subprocess.Popen(
            [*wrapped, config["cmd"], *config.get("args", [])],
            stdin=subprocess.PIPE if request.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0,
        )  # fmt: skip
        machine.processes[process.pid] = process
        self.send_response(200)
        self.send_header("Content-Type", "application/connect+json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = _Events(self, self.service.faults)
        events.send({"start": {"pid": process.pid}})
        if machine.doomed:
            threading.Thread(target=self.service.kill, args=[machine.id]).start()
        pumps = [
            threading.Thread(target=events.pump, args=[stream, name], daemon=True)
            for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr"))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        code = process.wait()
        machine.processes.pop(process.pid, None)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if machine.id not in self.service.machines:
            events.end({"code": "unavailable", "message": "the connection to the sandbox ended"})
            return
        status = f"exit status {code}" if code >= 0 else f"signal: {-code}"
        events.send({"end": {"exitCode": max(code, -1), "exited": code >= 0, "status": status}})
        events.end(None)

    # -- answers ---------------------------------------------------------------------------

    def _json(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _empty(self) -> None:
        self._send(204, b"", "")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Events:
    """A stream of Connect messages: a flag, the length, JSON; the last one has flag 2."""

    def __init__(self, handler: _Handler, faults: Faults) -> None:
        self._handler, self._faults = handler, faults
        self._lock = threading.Lock()

    def pump(self, stream: Any, name: str) -> None:
        while data := stream.read(1 << 15):
            if self._faults.slow:
                time.sleep(self._faults.slow)
            self.send({"data": {name: base64.b64encode(data).decode()}})

    def send(self, event: dict[str, Any]) -> None:
        self._write(0, {"event": event})

    def end(self, error: dict[str, str] | None) -> None:
        self._write(2, {"error": error} if error else {})
        with contextlib.suppress(OSError):
            self._handler.wfile.write(b"0\r\n\r\n")

    def _write(self, flag: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        message = struct.pack(">BI", flag, len(data)) + data
        with self._lock, contextlib.suppress(OSError):  # the client may be gone: drain on
            self._handler.wfile.write(f"{len(message):x}\r\n".encode() + message + b"\r\n")
