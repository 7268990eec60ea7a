"""As much of a model hub, on loopback, as its library needs to fetch: metadata, files by range; and its faults.

Not served: Xet's own protocol, redirects to a content network, sign-in, compressed answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".pth", ".model")


class Hub:
    """Models that are served, what was asked for, and what goes wrong.

    Attributes:
        models: hub id -> file name -> content.
        commit: the one commit of every model.
        gated: hub ids whose files are refused: 403 with a login, 401 without.
        cut: file name -> bytes after which the connection breaks; the next request for it finds the hub down.
        slow: file name -> bytes after which nothing more comes, without an end.
        spoiled: file names that come with another byte than listed.
        asked: (method, path) -> times.
        resumed: where in a file a request began that did not begin at its start.
        logins: Authorization headers that came.
    """

    commit = "c0ffee" * 6 + "c0ff"

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.cut: dict[str, int] = {}
        self.slow: dict[str, int] = {}
        self.spoiled: set[str] = set()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.resumed: list[int] = []
        self.logins: set[str] = set()
        self.url = ""

    def add(self, source: str, folder: Path) -> None:
        """Serve the files of a folder as a model."""
        self.models[source] = {
            str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
        }

    def downloads(self) -> int:
        """Requests for the content of files."""
        return sum(n for (method, path), n in self.asked.items() if method == "GET" and "/resolve/" in path)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Hub]:
        """Answer on a free port of this machine while the block runs."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def blob_id(content: bytes) -> str:
    """Git's sha1 of a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def sha256(content: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked[self.command, path] += 1
        if login := self.headers.get("Authorization"):
            self.hub.logins.add(login)
        words = path.split("/")
        if words[:2] == ["api", "models"] and len(words) >= 4:
            self._metadata("/".join(words[2:4]), words[4:])
        elif len(words) > 4 and words[2] == "resolve":
            self._file("/".join(words[:2]), words[3], "/".join(words[4:]))
        else:
            self._refuse(404, "RepoNotFound")

    def _metadata(self, source: str, rest: list[str]) -> None:
        files = self.hub.models.get(source)
        if files is None:  # whether it is private or not there, strangers are told the same
            self._refuse(401, "RepoNotFound")
        elif len(rest) > 1 and rest[1] not in (self.hub.commit, "main"):
            self._refuse(404, "RevisionNotFound")
        elif rest[:1] == ["tree"]:
            listed = [
                {"type": "file", "path": n, "size": len(c), "oid": blob_id(c)}
                | ({"lfs": {"oid": sha256(c), "size": len(c), "pointerSize": 130}} if n.endswith(LARGE) else {})
                for n, c in files.items()
            ]
            self._send(json.dumps(listed).encode(), {"Content-Type": "application/json"})
        else:
            siblings = [
                {"rfilename": n, "size": len(c), "blobId": blob_id(c)}
                | ({"lfs": {"sha256": sha256(c), "size": len(c), "pointerSize": 130}} if n.endswith(LARGE) else {})
                for n, c in files.items()
            ]
            told = {
                "id": source,
                "sha": self.hub.commit,
                "lastModified": "2024-11-05T12:00:00.000Z",
                "siblings": siblings,
                "gated": "manual" if source in self.hub.gated else False,
            }
            self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _file(self, source: str, revision: str, name: str) -> None:
        if source in self.hub.gated:
            self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
            return
        content = self.hub.models.get(source, {}).get(name)
        if content is None or revision not in (self.hub.commit, "main"):
            self._refuse(404, "EntryNotFound")
            return
        digest = sha256(content) if name.endswith(LARGE) else blob_id(content)
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": self.hub.commit, "Accept-Ranges": "bytes"}
        if self.hub.cut.get(name) == 0:
            self._refuse(503, "")
            return
        if name in self.hub.spoiled:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            self.hub.resumed.append(start)
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        slow = self.hub.slow.get(name) if self.command == "GET" else None
        self._send(content[start:], headers, 206 if start else 200, slow or self.hub.cut.get(name))
        while name in self.hub.slow and slow:
            time.sleep(0.05)
        if self.command == "GET" and name in self.hub.cut:
            self.hub.cut[name] = 0

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200, most: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if most is None else body[:most])
        if most is not None:
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": code} if code else {}, status)
