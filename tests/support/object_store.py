"""A small object store that speaks the S3 requests that delta-rs and polars send, over one thread.

Objects are in memory. What is there: PUT (with If-None-Match), GET (with ranges), HEAD, DELETE,
multipart uploads, listing. Signatures are not checked.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web

from tests.support.candle_venue import run_app

STAMP = "2026-01-01T00:00:00.000Z"
HTTP_STAMP = "Thu, 01 Jan 2026 00:00:00 GMT"


@dataclass
class ObjectStore:
    """The objects by path (bucket first), and how many requests of each kind came."""

    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    refuse_writes: bool = False
    requests: int = 0

    async def serve(self, request: web.Request) -> web.Response:
        self.requests += 1
        path, query = request.path.lstrip("/"), request.query
        if request.method in {"PUT", "POST", "DELETE"} and self.refuse_writes:
            return _error(403, "AccessDenied")
        if request.method == "GET" and query.get("list-type") == "2":
            return self._listed(path, query)
        if request.method == "POST" or "uploadId" in query:
            return await self._multipart(request, path)
        if request.method == "PUT":
            if request.headers.get("If-None-Match") == "*" and path in self.objects:
                return _error(412, "PreconditionFailed")
            self.objects[path] = await request.read()
            return web.Response(headers={"ETag": _tag(self.objects[path])})
        if request.method == "DELETE":
            self.objects.pop(path, None)
            return web.Response(status=204)
        return self._got(request, path)

    def _got(self, request: web.Request, path: str) -> web.Response:
        body = self.objects.get(path)
        if body is None:
            return _error(404, "NoSuchKey")
        headers = {"ETag": _tag(body), "Last-Modified": HTTP_STAMP, "Accept-Ranges": "bytes"}
        span = request.headers.get("Range")
        if span is None:
            return web.Response(body=body, headers=headers)
        first, _, last = span.removeprefix("bytes=").partition("-")
        start = int(first) if first else len(body) - int(last)
        stop = min(int(last) + 1, len(body)) if first and last else len(body)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    def _listed(self, bucket: str, query: Mapping[str, str]) -> web.Response:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        rows, folders = [], set()
        root = f"{bucket.strip('/')}/"
        for path in sorted(self.objects):
            key = path.removeprefix(root)
            if path == key or not key.startswith(prefix) or key <= query.get("start-after", ""):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            body = self.objects[path]
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{STAMP}</LastModified>"
                f"<ETag>{escape(_tag(body))}</ETag><Size>{len(body)}</Size></Contents>"
            )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders
        )
        return _xml(
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>"
            f"<KeyCount>{len(rows)}</KeyCount>{''.join(rows)}{common}</ListBucketResult>"
        )

    async def _multipart(self, request: web.Request, path: str) -> web.Response:
        query = request.query
        if "delete" in query:
            text = (await request.read()).decode()
            for piece in text.split("<Key>")[1:]:
                self.objects.pop(f"{path.strip('/')}/{piece.partition('</Key>')[0]}", None)
            return _xml("<DeleteResult></DeleteResult>")
        if "uploads" in query:
            self.parts[path] = {}
            return _xml(
                f"<InitiateMultipartUploadResult><UploadId>{len(self.parts)}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        if request.method == "PUT":
            body = await request.read()
            self.parts[path][int(query["partNumber"])] = body
            return web.Response(headers={"ETag": _tag(body)})
        parts = self.parts.pop(path, {})
        self.objects[path] = b"".join(parts[number] for number in sorted(parts))
        tag = _tag(self.objects[path])
        return _xml(
            f"<CompleteMultipartUploadResult><ETag>{escape(tag)}</ETag>"
            "</CompleteMultipartUploadResult>"
        )


@contextmanager
def object_store() -> Iterator[tuple[dict[str, str], ObjectStore]]:
    """Serve a store; yield the environment variables that lead to it, and the store."""
    store = ObjectStore()
    with run_app(store.serve) as url:
        yield (
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_REGION": "us-east-1",
                "AWS_CONDITIONAL_PUT": "etag",
            },
            store,
        )


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _xml(body: str, status: int = 200) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>{body}'
    return web.Response(text=text, status=status, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    return _xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)
