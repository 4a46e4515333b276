"""A small HTTP server that answers as the Hugging Face hub does, so that its real client can be run against it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # the first one
PIECE = 1 << 16  # bytes written at a time


@dataclass
class Hub:
    """What it serves and how it behaves; change it while it runs."""

    name: str  # of its only repository
    directory: Path  # its files
    url: str = ""
    refusal: tuple[int, str] | None = None  # status and X-Error-Code of every answer
    error_message: str = ""  # X-Error-Message of that
    breaks_after: dict[str, int] = field(default_factory=dict)  # bytes after which a file's download breaks off, once
    forbidden: set[str] = field(default_factory=set)  # files that nobody may have
    asked: list[str] = field(default_factory=list)  # method, path and range of each request
    claimed: dict[str, int] = field(default_factory=dict)  # sizes that are not those of the files
    commit: str = COMMIT  # the newest one
    changed: dict[str, int] = field(default_factory=dict)  # how often files have got another content

    def size(self, name: str) -> int:
        return self.claimed.get(name, (self.directory / name).stat().st_size)

    def fetched(self) -> set[str]:
        """The files whose content was asked for."""
        return {
            line.split("/resolve/")[1].split("/", 1)[1].split()[0]
            for line in self.asked
            if "GET /" in line
            if "/resolve/" in line
        }


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Runs it on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Answers,), {"hub": hub}))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        path = urlsplit(self.path).path
        if self.hub.refusal:
            status, code = self.hub.refusal
            self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": self.hub.error_message})
        elif found := re.fullmatch(rf"/api/models/{self.hub.name}(?:/revision/([^/]+))?", path):
            self._revision(found[1] or "main")
        elif path.startswith(f"/api/models/{self.hub.name}/tree/{self.hub.commit}"):
            self._json([{"type": "file", **each} for each in self._listed()])
        elif found := re.fullmatch(rf"/{self.hub.name}/resolve/[^/]+/(.+)", path):
            self._file(found[1])
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _listed(self) -> list[dict[str, object]]:
        names = sorted(path.name for path in self.hub.directory.iterdir())
        return [{"path": name, "size": self.hub.size(name), "oid": self._etag(name)} for name in names]

    def _revision(self, revision: str) -> None:
        if revision not in ("main", "v1", self.hub.commit):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": each["path"], "size": each["size"], "blobId": each["oid"]} for each in self._listed()]
        self._json({"id": self.hub.name, "sha": self.hub.commit, "siblings": siblings})

    def _file(self, name: str) -> None:
        path = self.hub.directory / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        if name in self.hub.forbidden:
            self._send(403, b"{}", {})
            return
        content, headers = path.read_bytes(), {"ETag": f'"{self._etag(name)}"', "X-Repo-Commit": self.hub.commit}
        status, start = 200, 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(found[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        limit = self.hub.breaks_after.pop(name, None) if self.command == "GET" else None
        self._send(status, content[start:], headers, limit)

    def _etag(self, name: str) -> str:
        changed = str(self.hub.changed.get(name, ""))
        return hashlib.sha1((name + changed).encode()).hexdigest()

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], limit: int | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if limit is None else body[:limit])
        if limit is not None:
            self.close_connection = True
