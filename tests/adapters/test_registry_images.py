"""What the registry client makes of manifests, indexes and configurations."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_types import (
    ImageConfig,
    ImageInfo,
    Platform,
    choose,
    parse_manifest,
    parse_time,
)
from disinto_tui.core.errors import BadInput, Unavailable
from tests.adapters.support_stub import (
    OCI_MANIFEST,
    REPO,
    StubRegistry,
    answer,
    at,
    digest,
    registry_error,
    serving,
)


async def test_a_single_image() -> None:
    stub = StubRegistry()
    entry = stub.image("v1", Volumes={"/data/": {}, "/a": {}}, Entrypoint=["/e"], Cmd=None, User="1000")
    async with serving(stub) as url, at(url) as registry:
        top = await registry.head(REPO, "v1")
        info = await registry.image_info(REPO, "v1", "linux/amd64")
    assert (top.digest, top.media_type, top.size) == (entry["digest"], OCI_MANIFEST, entry["size"])
    assert info.digest == info.manifest_digest == entry["digest"]
    assert info.platforms == (Platform("linux", "amd64"),)
    assert info.size == 100
    assert info.config.volumes == ("/a", "/data")
    assert info.config.entrypoint == ("/e",)
    assert info.config.cmd == ()
    assert info.config.labels == {"org.opencontainers.image.version": "v1"}
    assert info.config.created_at is not None
    assert info.config.created_at.isoformat() == "2026-05-06T07:08:09.123456+00:00"
    assert ImageInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


async def test_an_index_with_attestations() -> None:
    stub = StubRegistry()
    entries = [stub.image(), stub.image(architecture="arm64", variant="v8"), stub.image(architecture="s390x")]
    noise = {**entries[0], "platform": {"os": "unknown", "architecture": "unknown"}}
    top = stub.index("v1", noise, *entries)
    async with serving(stub) as url, at(url) as registry:
        for platform, entry in (("linux/arm64", entries[1]), ("x86_64", entries[0]), ("aarch64", entries[1])):
            info = await registry.image_info(REPO, "v1", platform)
            assert info.digest == top
            assert info.manifest_digest == entry["digest"]
        assert [str(one) for one in info.platforms] == ["linux/amd64", "linux/arm64/v8", "linux/s390x"]
        by_digest = await registry.image_info(REPO, top, "linux/amd64")
        assert by_digest.digest == top


@pytest.mark.parametrize("indexed", [False, True])
async def test_the_wrong_processor(indexed: bool) -> None:
    stub = StubRegistry()
    entry = stub.image("v1", architecture="arm64", variant="v8")
    if indexed:
        stub.index("v1", entry, stub.image(architecture="ppc64le"))
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(BadInput) as caught:
            await registry.image_info(REPO, "v1", "linux/amd64")
    assert caught.value.code == "image.platform"
    assert "linux/arm64/v8" in caught.value.why
    assert "linux/amd64" in caught.value.why


async def test_a_missing_tag_comes_with_the_nearest() -> None:
    stub = StubRegistry()
    for tag in ("v0.1.0", "v0.2.0", "v0.3.0", "latest"):
        stub.image(tag)
    async with serving(stub) as url, at(url) as registry:
        for call in (registry.head, registry.manifest):
            with pytest.raises(BadInput) as caught:
                await call(REPO, "v0.4.0")
            assert caught.value.code == "image.missing"
            assert "v0.3.0" in caught.value.now
        with pytest.raises(BadInput) as caught:
            await registry.manifest(REPO, digest(b"nothing"))
        assert caught.value.code == "image.missing"
        with pytest.raises(BadInput) as caught:
            await registry.head("disinto/other", "v0.4.0")
        assert caught.value.code == "image.repository"
        with pytest.raises(BadInput) as caught:
            await registry.tags("disinto/other")
        assert caught.value.code == "image.repository"


async def test_a_missing_tag_where_listing_is_not_allowed() -> None:
    stub = StubRegistry()
    stub.faults.append(lambda request: registry_error("DENIED", 403) if "tags" in request.path else None)
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(BadInput) as caught:
            await registry.head(REPO, "v9")
    assert caught.value.code == "image.missing"


async def test_content_that_is_not_what_its_digest_says() -> None:
    stub = StubRegistry()
    entry = stub.image("v1")
    good = stub.documents[entry["digest"]]
    config = json.loads(good[1])["config"]["digest"]
    async with serving(stub) as url, at(url) as registry:
        stub.documents[entry["digest"]] = (good[0], good[1] + b" ")
        for reference in ("v1", entry["digest"]):
            with pytest.raises(Unavailable) as caught:
                await registry.manifest(REPO, reference)
            assert caught.value.code == "registry.digest"
        stub.documents[entry["digest"]] = good
        stub.documents[config] = ("x", stub.documents[config][1] + b" ")
        with pytest.raises(Unavailable) as caught:
            await registry.image_info(REPO, "v1", "linux/amd64")
        assert caught.value.code == "registry.digest"


async def test_a_registry_without_digest_headers() -> None:
    stub = StubRegistry()
    entry = stub.image("v1")

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        reply = await stub(request)
        reply.headers.popall("Docker-Content-Digest", None)
        return reply

    async with serving(handler) as url, at(url) as registry:
        assert (await registry.head(REPO, "v1")).digest == entry["digest"]


async def test_all_four_types_are_asked_for_and_schema_one_is_refused() -> None:
    accepted: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.path == "/v2/":
            return answer({})
        accepted.append(request.headers["Accept"])
        body = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
        kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        headers = {"Docker-Content-Digest": digest(b"another one")}
        return web.Response(body=body, content_type=kind, headers=headers)

    async with serving(handler) as url, at(url) as registry:
        for call in (registry.head, registry.manifest):
            with pytest.raises(BadInput) as caught:
                await call(REPO, "v1")
            assert caught.value.code == "image.schema1"
    for one in accepted:
        for kind in ("image.index.v1", "manifest.list.v2", "image.manifest.v1", "distribution.manifest.v2"):
            assert kind in one


@pytest.mark.parametrize(
    "data",
    [
        {"schemaVersion": 2, "manifests": [], "layers": [], "config": {}},
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": []},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "layers": [], "config": {"digest": "sha256:short"}},
        {"schemaVersion": 2, "layers": [1], "config": None},
        [],
    ],
)
def test_manifests_that_are_neither_one_thing_nor_the_other(data: object) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        parse_manifest(json.dumps(data).encode(), OCI_MANIFEST, digest(b""))


async def test_a_chart_is_not_an_image() -> None:
    stub = StubRegistry()
    blob = stub.add(b'{"name": "chart"}')
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": blob, "size": 17}
    stub.tags["v1"] = stub.add(json.dumps({**body, "config": config}).encode(), OCI_MANIFEST)
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(BadInput) as caught:
            await registry.image_info(REPO, "v1", "linux/amd64")
    assert caught.value.code == "image.kind"


@pytest.mark.parametrize(
    ("wanted", "offered", "index"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1),
        ("linux/arm/v5", ["linux/arm/v7", "linux/arm/v6"], None),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v3"], 1),
        ("linux/amd64", ["windows/amd64", "linux/386"], None),
    ],
)
def test_which_entry_of_an_index_is_taken(wanted: str, offered: list[str], index: int | None) -> None:
    from disinto_tui.adapters.registry_types import Descriptor

    entries = [Descriptor(digest(text.encode()), OCI_MANIFEST, 1, Platform.parse(text)) for text in offered]
    chosen = choose(entries, Platform.parse(wanted))
    assert chosen == (None if index is None else entries[index])


def test_times_as_builders_write_them() -> None:
    def iso(text: str) -> str | None:
        moment = parse_time(text)
        return moment.isoformat() if moment else None

    assert iso("2026-01-02T03:04:05Z") == "2026-01-02T03:04:05+00:00"
    assert iso("2026-01-02T03:04:05.123456789+02:00") == "2026-01-02T01:04:05.123456+00:00"
    for nothing in ("", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday", "2026-13-01T00:00:00Z"):
        assert iso(nothing) is None
    assert ImageConfig("amd64", "linux").created_at is None


@pytest.mark.parametrize(
    ("repository", "reference"),
    [
        ("Disinto/Agents", "v1"),
        ("../secret", "v1"),
        ("a//b", "v1"),
        ("a/b", "v1/../x"),
        ("a/b", "-x"),
        ("", "v1"),
        ("a/b", "sha256:abc"),
        ("a/b?x=1", "v1"),
        ("a/b", "v1\n"),
    ],
)
async def test_names_are_checked_before_anything_is_sent(repository: str, reference: str) -> None:
    stub = StubRegistry()
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(BadInput) as caught:
            await registry.head(repository, reference)
    assert caught.value.code == "image.grammar"
    assert stub.requests == []


@pytest.mark.parametrize("host", ["", "a b", "ghcr.io/x", "http://ghcr.io", "[::", "user@host", "host:port"])
def test_what_is_no_registry(host: str) -> None:
    with pytest.raises(BadInput) as caught:
        RegistryClient(host)
    assert caught.value.code == "image.grammar"
