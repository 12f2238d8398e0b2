"""A hub on this machine: what huggingface_hub asks for to fetch a model, and nothing more."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = "owner/gated"


@contextmanager
def small_hub(models: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders under the names of ``models``; yield the address and the paths asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(models, unquote(urlsplit(self.path).path))
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def answer(models: dict[str, Path], path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for ``path``."""
    parts = path.strip("/").split("/")
    is_api = parts[:2] == ["api", "models"]
    name = "/".join(parts[2:4] if is_api else parts[:2])
    if name == GATED:
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
    if name not in models:
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
    folder, rest = models[name], parts[4:] if is_api else parts[2:]
    if is_api and rest[:1] == ["tree"]:
        return 200, {"Content-Type": "application/json"}, json.dumps(tree(folder)).encode()
    revision = rest[1] if len(rest) > 1 else "main"
    if revision not in ("main", COMMIT):
        return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
    if is_api:
        facts = {"id": name, "modelId": name, "sha": COMMIT, "siblings": [], "tags": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(facts).encode()
    content = (folder / rest[2]).read_bytes()
    etag = hashlib.sha256(content).hexdigest()
    return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, content


def tree(folder: Path) -> list[dict[str, object]]:
    """The files of ``folder`` as the hub lists them."""
    return [
        {
            "type": "file",
            "path": file.name,
            "size": file.stat().st_size,
            "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.iterdir())
    ]
