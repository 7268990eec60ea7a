"""A service of chat completions on this machine, which answers as a test says, and counts what it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: Body

    @property
    def text(self) -> str:
        """The text of the last turn."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        number = self.server.came(asked)
        try:
            self.server.behave(self, number, asked)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.server.went()

    def reply(self, status: int, content: bytes, kind: str = "application/json", **headers: str) -> None:
        """Send a whole reply; ``retry_after`` names the header Retry-After."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def say(self, text: str | None, finish: str = "stop", **message: Any) -> None:
        """Send an answer."""
        self.reply(200, json.dumps(answer(text, finish, **message)).encode())

    def fail(self, status: int, message: str = "no", code: str = "", **headers: str) -> None:
        """Send an error as these services write it."""
        self.reply(status, json.dumps({"error": {"message": message, "code": code}}).encode(), **headers)

    def log_message(self, *args: Any) -> None:
        pass


def answer(text: str | None, finish: str = "stop", **message: Any) -> Body:
    """The JSON of an answer."""
    return {
        "model": "served-model-2",
        "system_fingerprint": "fp_1",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


Behaviour = Callable[[Handler, int, Asked], None]


@dataclass
class ChatServer(ThreadingHTTPServer):
    """Answers as ``behave`` says, which is told the number of the request, from 0.

    Attributes:
        asked: every request, in the order in which they came.
        most: most requests that were under way at the same time.
    """

    behave: Behaviour
    asked: list[Asked] = field(default_factory=list)
    most: int = 0

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._now = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    __hash__ = object.__hash__

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def came(self, asked: Asked) -> int:
        """Count a request in."""
        with self._lock:
            self.asked.append(asked)
            self._now += 1
            self.most = max(self.most, self._now)
            return len(self.asked) - 1

    def went(self) -> None:
        """Count a request out."""
        with self._lock:
            self._now -= 1

    def hang(self) -> None:
        """Keep a request waiting until the test is over."""
        self.over.wait(60)

    def close(self) -> None:
        """End it, and let go of those that hang."""
        self.over.set()
        self.shutdown()
        self.server_close()
