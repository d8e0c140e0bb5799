"""A server on loopback whose every answer the test decides, and a registry made of it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from aiohttp.test_utils import RawTestServer

from disinto_tui.adapters.http import HttpClient, Policy
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import Credential, StaticCredentials
from disinto_tui.core.redact import Secret

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Json = dict[str, Any]
REPO = "disinto/agents"
PASSWORD = "pa55-w0rd-xyz"
FAST = Policy(deadline=5.0, connect=2.0, read=2.0, backoff=0.001)


class Waits:
    """Stands in for asyncio.sleep: notes the seconds and goes on at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """`http://127.0.0.1:PORT` for the length of a `with`."""
    server = RawTestServer(handler, host="127.0.0.1")
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def raw(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that speaks bytes: for answers that are not HTTP, or break off."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def client(waits: Waits | None = None, policy: Policy = FAST) -> HttpClient:
    return HttpClient(area="test", peer="The server", policy=policy, sleep=waits or Waits())


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def answer(data: Any, status: int = 200, **headers: str) -> web.Response:
    """JSON; underscores in header names are dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        body=json.dumps(data).encode(), status=status, headers=named, content_type="application/json"
    )


def registry_error(code: str, status: int, **headers: str) -> web.Response:
    return answer({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}, status, **headers)


OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class StubRegistry:
    """Blobs, manifests and tags in memory; `faults` are asked first for every request."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.faults: list[Callable[[web.BaseRequest], web.StreamResponse | None]] = []

    def add(self, body: bytes, kind: str = "application/octet-stream") -> str:
        name = digest(body)
        self.documents[name] = (kind, body)
        return name

    def image(
        self, tag: str = "", architecture: str = "amd64", variant: str = "", **config: Any
    ) -> dict[str, Any]:
        """Store an image; its descriptor with a platform, for an index."""
        whole = {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-05-06T07:08:09.123456789Z",
            "config": {"Labels": {"org.opencontainers.image.version": tag}, **config},
        }
        if variant:
            whole["variant"] = variant
        blob = json.dumps(whole).encode()
        layers = [{"mediaType": "x", "digest": digest(b"layer"), "size": 100}]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": "c", "digest": self.add(blob), "size": len(blob)},
                "layers": layers,
            }
        ).encode()
        name = self.add(manifest, OCI_MANIFEST)
        if tag:
            self.tags[tag] = name
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        return {"mediaType": OCI_MANIFEST, "digest": name, "size": len(manifest), "platform": platform}

    def index(self, tag: str, *entries: Json) -> str:
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}).encode()
        self.tags[tag] = self.add(body, OCI_INDEX)
        return self.tags[tag]

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, request.headers.get("Authorization", "")))
        for fault in self.faults:
            given = fault(request)
            if given is not None:
                return given
        if request.path == "/v2/":
            return answer({})
        _, _, rest = request.path.partition("/v2/")
        if rest == "disinto/agents/tags/list":
            return answer({"name": "disinto/agents", "tags": sorted(self.tags)})
        for kind in ("manifests", "blobs"):
            name, found, reference = rest.partition(f"/{kind}/")
            if found and name == "disinto/agents":
                return self._document(kind, reference)
        return registry_error("NAME_UNKNOWN", 404)

    def _document(self, kind: str, reference: str) -> web.Response:
        name = self.tags.get(reference, reference)
        if name not in self.documents:
            return registry_error("MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN", 404)
        media, body = self.documents[name]
        return web.Response(body=body, content_type=media, headers={"Docker-Content-Digest": name})


def host_of(url: str) -> str:
    return urlsplit(url).netloc


def at(url: str, login: bool = False, *, handed: str = "") -> RegistryClient:
    """The client for a stub; `login` is alice's, as Docker has it stored, or `handed` over under that name."""
    host = host_of(url)
    origin = "" if handed else "/home/alice/.docker/config.json"
    logins = {host: Credential("alice", Secret(PASSWORD), origin=origin, name=handed)} if login else {}
    return RegistryClient(host, credentials=StaticCredentials(logins), policy=FAST)


def pages(tags: list[str], link: Callable[[str], str], cap: int = 100) -> Handler:
    """A registry that gives at most `cap` tags a page, in the order given, as GHCR does: oldest first."""

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.path == "/v2/":
            return answer({})
        query = parse_qs(request.query_string)
        start = tags.index(query["last"][0]) + 1 if "last" in query else 0
        page = tags[start : start + min(cap, int(query["n"][0]))]
        more = start + len(page) < len(tags)
        path = f"/v2/{REPO}/tags/list?last={page[-1]}&n={query['n'][0]}"
        headers = {"Link": f'<{link(path)}>; rel="next"'}
        return answer({"name": REPO, "tags": page}, **(headers if more else {}))

    return handler


OLDEST_FIRST = [f"v0.{n}.0" for n in range(250)]
