"""A folder served as the objects of a bucket: list, head and ranged get, as S3 answers them."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from http_server import answering, send


@contextmanager
def bucket(folder: Path, name: str, log: list[str]) -> Iterator[str]:
    """Serve ``folder`` as bucket ``name``; ``log`` gets each request and who signed it."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        log.append(f"{handler.command} {handler.path} {handler.headers.get('Authorization', '')}")
        asked, _, key = unquote(url.path).lstrip("/").partition("/")
        query = parse_qs(url.query)
        if asked != name:
            send(handler, b"<Error><Code>NoSuchBucket</Code></Error>", 404)
        elif "list-type" in query:
            send(handler, _listing(folder, name, query.get("prefix", [""])[0]))
        else:
            _object(handler, folder / key)

    with answering(respond) as address:
        yield address


def _listing(folder: Path, name: str, prefix: str) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{path.stat().st_size}</Size>"
        f"<LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for path in files
        if (key := path.relative_to(folder).as_posix()).startswith(prefix)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{name}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(files)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ).encode()


def _object(handler: BaseHTTPRequestHandler, path: Path) -> None:
    if not path.is_file():
        send(handler, b"<Error><Code>NoSuchKey</Code></Error>", 404)
        return
    data, status = path.read_bytes(), 200
    more = {"last_modified": formatdate(path.stat().st_mtime, usegmt=True), "etag": '"1"'}
    wanted = handler.headers.get("Range")
    if wanted:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        more["content_range"] = f"bytes {start}-{end}/{len(data)}"
        data, status = data[start : end + 1], 206
    send(handler, data, status, **more)
