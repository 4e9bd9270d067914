"""The part of the Hugging Face hub's HTTP interface that pushing and pulling a model needs.

Repositories live in memory as {path: bytes} by commit. Weights take the large-file way (batch,
PUT, verify), as on the real hub; the rest travels inside the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """A hub on a port of this machine: `with Hub() as hub: ... hub.address`."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}  # name -> commit -> files
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.tokens: list[str | None] = []
        hub = self

        class Handler(_Handler):
            standin = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, name: str) -> dict[str, bytes]:
        """What the newest commit holds."""
        commits = self.repositories[name]
        return commits[list(commits)[-1]]

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        commits = self.repositories.setdefault(name, {})
        sha = hashlib.sha1(f"{name}{len(commits)}".encode()).hexdigest()
        commits[sha] = files
        return sha


class _Handler(BaseHTTPRequestHandler):
    standin: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, document: Any, code: int = 200, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self) -> None:
        self._answer(
            {"error": "Repository not found"}, 404,
            X_Error_Code="RepoNotFound", X_Error_Message="Repository not found",
        )  # fmt: skip

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_POST(self) -> None:
        hub, body = self.standin, self._body()
        hub.tokens.append(self.headers.get("Authorization"))
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization") or "me", asked["name"]]))
            if hub.repositories.setdefault(name, {}) == {}:
                hub.commit(name, {})
            hub.private[name] = asked.get("private", asked.get("visibility") == "private")
            self._answer({"url": f"{hub.address}/{name}", "name": name, "id": name})
        elif parts == ["api", "validate-yaml"]:  # of the model card
            self._answer({"errors": [], "warnings": []})
        elif parts[:2] == ["api", "models"] and parts[4] == "preupload":
            files = json.loads(body)["files"]
            self._answer({"files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]})  # fmt: skip
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            objects = [
                {**item, "actions": {"upload": {"href": f"{hub.address}/blob/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif parts[:2] == ["api", "models"] and parts[4] == "commit":
            self._commit("/".join(parts[2:4]), body)
        else:
            self._answer({"error": self.path}, 404)

    def _commit(self, name: str, body: bytes) -> None:
        files = dict(self.standin.files(name))
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.standin.blobs[value["oid"]]
        sha = self.standin.commit(name, files)
        url = f"{self.standin.address}/{name}/commit/{sha}"
        self._answer({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def do_PUT(self) -> None:
        body = self._body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.standin.blobs[oid] = body
        self._answer({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.standin
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
            if name not in hub.repositories:
                self._missing()
                return
            sha = list(hub.repositories[name])[-1]
            files = hub.files(name)
            if rest[:1] == ["tree"]:
                self._answer([
                    {"type": "file", "path": path, "size": len(data), "oid": _git(data)}
                    for path, data in files.items()
                ])  # fmt: skip
                return
            siblings = [{"rfilename": path} for path in files]
            self._answer({"id": name, "modelId": name, "sha": sha, "siblings": siblings,
                          "tags": [], "private": hub.private.get(name, False)})  # fmt: skip
        elif len(parts) >= 5 and parts[2] == "resolve":
            name, path = "/".join(parts[:2]), "/".join(parts[4:])
            data = hub.repositories[name][parts[3]].get(path)
            if data is None:
                self._answer({}, 404, X_Error_Code="EntryNotFound")
                return
            self._answer(data, ETag=f'"{_git(data)}"', X_Repo_Commit=parts[3])
        else:
            self._answer({"error": self.path}, 404)


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
