"""A small W&B service on loopback for the tests of tracking: answers what the SDK asks, and keeps what it sends.

Served: the GraphQL of runs (viewer, server features, resume status, upsert, files), of artifacts (made, filled,
committed, used; one of the same digest in a collection is the one that is there), of saved views and alerts, and the
file stream, with the service's rule that lines are placed by their offset. Not served: launch, stopping a run from the
web page, artifact downloads; a query for them is answered with nulls and kept in ``unknown``.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "lab"


class WandbServer:
    """What the service holds, and how it fails.

    Attributes:
        runs: id -> ``{name, project, group, config, state, exit, streams: {file: [line]}, files: {name: bytes}, …}``.
        artifacts: id -> ``{name, type, run, digest, state, client, metadata, files: {name: bytes}}``.
        used: (run id, name of an artifact's collection), in the order in which they were told.
        posts: every file-stream post, ``(run id, body)``, that was accepted.
        operations: names of the GraphQL operations asked for.
        refuse: answers whether a request, ``(what, body)``, is to fail; ``what`` is an operation, ``file_stream`` or
            ``put``.
        hang: answers whether a request is to have no answer for now.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.used: list[tuple[str, str]] = []
        self.alerts: list[dict[str, Any]] = []
        self.charts: list[dict[str, Any]] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.operations: list[str] = []
        self.unknown: list[str] = []
        self.refuse: Callable[[str, dict[str, Any]], bool] = lambda what, body: False
        self.hang: Callable[[str, dict[str, Any]], bool] = lambda what, body: False
        self.stopping = threading.Event()
        self.lock = threading.RLock()
        self.url = ""

    def history(self, run: str) -> list[dict[str, Any]]:
        """The rows of a run, in the order of their lines."""
        return [json.loads(line) for line in self.runs[run]["streams"].get("wandb-history.jsonl", [])]

    def summary(self, run: str) -> dict[str, Any]:
        """The summary of a run."""
        lines = self.runs[run]["streams"].get("wandb-summary.json", [])
        return dict(json.loads(lines[-1])) if lines else {}

    def config(self, run: str) -> dict[str, Any]:
        """The config of a run, without the SDK's own part."""
        return {k: v["value"] for k, v in json.loads(self.runs[run]["config"]).items() if k != "_wandb"}

    def rows_received(self, run: str) -> int:
        """How many history lines were sent, those sent again included."""
        return sum(
            len(body.get("files", {}).get("wandb-history.jsonl", {}).get("content", []))
            for name, body in self.posts
            if name == run
        )

    def answer(self, operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The ``data`` of a GraphQL answer."""
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if "viewer" in query and "mutation" not in query:
            teams = {"edges": [{"node": {"name": ENTITY}}]}
            return {
                "viewer": {"id": "me", "entity": ENTITY, "username": "me", "email": "", "flags": "{}", "teams": teams}
            }
        if "bucket(name" in query:
            return {"model": self._model(self.runs.get(given["name"]), given.get("files") or [])}
        if operation == "UpsertBucket":
            return {"upsertBucket": self._upsert(given)}
        if operation == "CreateRunFiles":
            run = given["run"]
            files = [{"name": n, "uploadUrl": f"{self.url}/storage/{run}/{n}"} for n in given["files"]]
            return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}
        told = given.get("input") or given
        if operation == "CreateArtifact":
            return {"createArtifact": {"artifact": self._artifact(told)}}
        if operation in ("CreateArtifactManifest", "UpdateArtifactManifest"):
            key = operation[0].lower() + operation[1:]
            return {key: {"artifactManifest": self._manifest(told.get("artifactID", ""))}}
        if operation == "CreateArtifactFiles":
            edges = [{"node": self._upload(f["artifactID"], f["name"])} for f in told["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if operation == "CommitArtifact":
            found = self.artifacts[told["artifactID"]]
            found["state"] = "COMMITTED"
            return {"commitArtifact": {"artifact": {"id": told["artifactID"], "digest": found["digest"]}}}
        if operation == "PacelineArtifact":
            name = given["artifact"].partition(":")[0]
            ids = [i for i, a in self.artifacts.items() if a["name"] == name and a["state"] == "COMMITTED"]
            return {"project": {"artifact": {"id": ids[-1]} if ids else None}}
        if operation == "ArtifactType":
            types = [a["type"] for a in self.artifacts.values() if a["name"] == given["name"].partition(":")[0]]
            return {"project": {"artifact": {"artifactType": {"name": types[0]}} if types else None}}
        if operation == "UseArtifact":
            self.used.append((given["runName"], self.artifacts[given["artifactID"]]["name"]))
            return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}
        if operation == "NotifyScriptableRunAlert":
            self.alerts.append(given)
            return {"notifyScriptableRunAlert": {"success": True}}
        if operation == "UpsertView2":
            key = given.get("id") or f"view-{len(self.views)}"
            self.views[key] = {**given, "spec": json.loads(given["spec"])}
            return {"upsertView": {"view": {"id": key, "name": given["name"]}, "inserted": "id" not in given}}
        if operation == "CreateCustomChart":
            self.charts.append(given)
            return {"createCustomChart": {"chart": {"id": f"{given['entity']}/{given['chartName']}"}}}
        self.unknown.append(operation)
        return {}

    def _sizes(self, run: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
        return [{"name": n, "sizeBytes": str(len(run["files"][n]))} for n in names if n in run["files"]]

    def _artifact(self, told: dict[str, Any]) -> dict[str, Any]:
        names = told.get("artifactCollectionNames") or [told.get("artifactCollectionName")]
        same = [i for i, a in self.artifacts.items() if (a["name"], a["digest"]) == (names[0], told["digest"])]
        key = same[0] if same else f"artifact-{len(self.artifacts)}"
        if not same:
            self.artifacts[key] = {
                "name": names[0],
                "type": told["artifactTypeName"],
                "run": told.get("runName"),
                "digest": told["digest"],
                "state": "PENDING",
                "client": told.get("clientID"),
                "metadata": json.loads(told.get("metadata") or "{}"),
                "files": {},
            }
        found = {"id": key, "state": self.artifacts[key]["state"], "digest": told["digest"]}
        return {**found, "artifactSequence": {"id": "sequence", "latestArtifact": None}}

    def _upload(self, artifact: str, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "name": name,
            "displayName": name,
            "uploadUrl": f"{self.url}/storage/{artifact}/{name}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "storagePath": name,
            "artifact": {"id": artifact},
        }

    def _manifest(self, artifact: str) -> dict[str, Any]:
        return {"id": "manifest", "file": self._upload(artifact or "manifests", "manifest.json")}

    def _model(self, run: dict[str, Any] | None, files: list[str]) -> dict[str, Any]:
        bucket = None
        if run is not None:
            streams = run["streams"]
            history, events = streams.get("wandb-history.jsonl", []), streams.get("wandb-events.jsonl", [])
            bucket = {
                "id": "storage-" + run["id"],
                "name": run["id"],
                "displayName": run["name"],
                "summaryMetrics": (streams.get("wandb-summary.json") or ["{}"])[-1],
                "logLineCount": len(streams.get("output.log", [])),
                "historyLineCount": len(history),
                "eventsLineCount": len(events),
                "historyTail": json.dumps(history[-1:]),
                "eventsTail": json.dumps(events[-1:]),
                "config": run["config"],
                "tags": run["tags"],
                "notes": run.get("notes"),
                "state": run["state"],
                "files": {"edges": [{"node": n} for n in self._sizes(run, files)]},
                "outputArtifacts": {
                    "edges": [
                        {"node": {"digest": a["digest"], "state": a["state"]}}
                        for a in self.artifacts.values()
                        if a["run"] == run["id"]
                    ]
                },
                "wandbConfig": json.dumps({"t": 1}),
            }
        return {"id": "model", "name": "paceline", "entity": {"id": ENTITY, "name": ENTITY}, "bucket": bucket}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        inserted = given["name"] not in self.runs
        run = self.runs.setdefault(
            given["name"],
            {"id": given["name"], "config": "{}", "tags": [], "name": "", "streams": {}, "files": {}, "preempted": []},
        )
        run["state"] = "running"
        for key, name in (
            ("project", "project"),
            ("displayName", "name"),
            ("groupName", "group"),
            ("jobType", "job_type"),
            ("config", "config"),
            ("tags", "tags"),
            ("notes", "notes"),
            ("entity", "entity"),
        ):
            if given.get(key) is not None:
                run[name] = given[key]
        entity = {"id": ENTITY, "name": run.get("entity") or ENTITY}
        bucket = {
            "id": "storage-" + run["id"],
            "name": run["id"],
            "displayName": run["name"],
            "description": None,
            "config": run["config"],
            "sweepName": None,
            "project": {"id": "project", "name": run["project"], "entity": entity},
            "historyLineCount": len(run["streams"].get("wandb-history.jsonl", [])),
        }
        return {"bucket": bucket, "inserted": inserted}

    def stream(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Take a file-stream post: every line has its place by the chunk's offset."""
        self.posts.append((name, body))
        run = self.runs[name]
        for file, chunk in body.get("files", {}).items():
            lines = run["streams"].setdefault(file, [])
            for place, line in enumerate(chunk["content"], start=chunk["offset"]):
                lines.extend([""] * (place + 1 - len(lines)))
                lines[place] = line
        if body.get("preempting"):
            run["preempted"].append(True)
        if body.get("complete"):
            run["exit"] = body.get("exitcode", 0)
            run["state"] = "finished" if run["exit"] == 0 else "failed"
        return {}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _reply(self, content: Any, code: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _fails(self, what: str, body: dict[str, Any]) -> bool:
            while server.hang(what, body) and not server.stopping.is_set():
                time.sleep(0.05)
            if server.stopping.is_set() or server.refuse(what, body):
                self._reply({"error": "out of order"}, 500)
                return True
            return False

        def do_POST(self) -> None:
            raw = self._body()
            if not self.path.endswith(("/graphql", "/file_stream")):  # the SDK's own telemetry
                self._reply({})
                return
            body = json.loads(raw)
            if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                if not self._fails("file_stream", body):
                    with server.lock:
                        answer = server.stream(found.group(1), body)
                    self._reply(answer)
                return
            query = body.get("query", "")
            named = re.search(r"(?:query|mutation)\s+(\w+)", query)
            operation = body.get("operationName") or (named.group(1) if named else "")
            if self._fails(operation, body):
                return
            with server.lock:
                server.operations.append(operation)
                answer = {"data": server.answer(operation, query, body.get("variables") or {})}
            self._reply(answer)

        def do_PUT(self) -> None:
            content = self._body()
            if self._fails("put", {"path": self.path}):
                return
            _, _, run, name = self.path.split("/", 3)
            with server.lock:
                holder = server.runs.get(run) or server.artifacts.get(run)
                if holder is not None:
                    holder["files"][name] = content
            self._reply({})

        def do_GET(self) -> None:
            if not self._fails("get", {}):
                self._reply({})

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what the tests want."""


@contextmanager
def serving() -> Iterator[WandbServer]:
    """A service on a free port of loopback."""
    server = WandbServer()
    with _Quiet(("127.0.0.1", 0), _handler(server)) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            http.shutdown()
            thread.join()
