"""The registry client against real docker-registry processes: open, with passwords, with a token server."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from disinto_tui.adapters.dockerconfig import DockerConfig, docker_login_command
from disinto_tui.adapters.http import HttpClient, Policy
from disinto_tui.adapters.process import run
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, StaticCredentials
from disinto_tui.adapters.registry_types import OCI_INDEX, Platform
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.core.model import AGENT_VOLUMES
from disinto_tui.core.redact import Secret
from tests.support import token_server
from tests.support.registries import (
    Registry,
    open_registry,
    password_registry,
    push_samples,
    registry_binary,
    token_registry,
)

pytestmark = pytest.mark.engine
REPO = "disinto/agents"
PUBLIC = "pub/agents"
VERSIONS = ("v0.1.0", "v0.2.0", "v0.10.0")
FAST = Policy(deadline=20, backoff=0.01)
HERE = str(Platform.parse(platform.machine()))
OTHER = "arm64" if "amd64" in HERE else "amd64"


@pytest.fixture(scope="module", autouse=True)
def binary() -> None:
    if registry_binary() is None:
        pytest.skip("no Docker Engine answers")  # the ground is missing as a whole


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with open_registry(tmp_path_factory.mktemp("open")) as registry:
        push_samples(registry, VERSIONS)
        push_samples(registry, ["v1.0.0"], options=["--oci"])
        push_samples(registry, ["v1.1.0"], options=["--index"])
        push_samples(registry, ["v9.0.0"], options=["--arch", OTHER])
        yield registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with password_registry(tmp_path_factory.mktemp("basic")) as registry:
        push_samples(registry, VERSIONS)
        yield registry


@pytest.fixture(scope="module")
def tokened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with token_registry(tmp_path_factory.mktemp("token")) as registry:
        push_samples(registry, VERSIONS)
        push_samples(registry, VERSIONS, repository=PUBLIC)
        yield registry


def logged_in(registry: Registry, user: str, password: str) -> StaticCredentials:
    """A login as Docker has it stored."""
    stored = Credential(user, Secret(password), origin="~/.docker/config.json")
    return StaticCredentials({registry.address: stored})


def at(registry: Registry, credentials: CredentialSource | None = None) -> RegistryClient:
    return RegistryClient(registry.address, credentials=credentials, policy=FAST)


def open_uploads(registry: Registry) -> list[Path]:
    """Uploads that could go on; of dropped ones 2.8.2 leaves an empty hash state in its storage."""
    return list(registry.directory.glob("**/_uploads/*/startedat"))


@pytest.fixture
async def client(plain: Registry) -> AsyncIterator[RegistryClient]:
    async with at(plain) as one:
        yield one


async def test_what_each_registry_asks_for(plain: Registry, guarded: Registry, tokened: Registry) -> None:
    for registry, wanted in ((plain, ""), (guarded, "basic"), (tokened, "bearer")):
        async with at(registry) as client:
            assert await client.ping() == wanted


async def test_listing(client: RegistryClient) -> None:
    assert set(await client.tags(REPO)) == {*VERSIONS, "v1.0.0", "v1.1.0", "v9.0.0"}
    with pytest.raises(BadInput) as caught:
        await client.tags("disinto/nothing")
    assert caught.value.code == "image.repository"


@pytest.mark.parametrize("version", ["v0.1.0", "v1.0.0", "v1.1.0"])
async def test_an_image_in_each_format(client: RegistryClient, plain: Registry, version: str) -> None:
    """Docker's schema 2, an OCI manifest, an OCI index with an attestation."""
    options = {"v1.0.0": ["--oci"], "v1.1.0": ["--index"]}.get(version, [])
    pushed = push_samples(plain, [version], options=options)[version].partition("@")[2]
    top = await client.head(REPO, version)
    assert top.digest == pushed
    info = await client.image_info(REPO, version, HERE)
    assert info.digest == pushed
    assert (info.manifest_digest != pushed) == (version == "v1.1.0") == (top.media_type == OCI_INDEX)
    assert [str(one) for one in info.platforms] == [HERE]
    assert info.config.labels["org.opencontainers.image.version"] in {version, version.removeprefix("v")}
    assert info.config.volumes == tuple(sorted(AGENT_VOLUMES))
    assert info.config.healthcheck
    assert info.size > 0
    assert await client.image_info(REPO, pushed, HERE) == info
    assert (await client.head(REPO, pushed)).size == top.size


async def test_the_image_of_another_machine(client: RegistryClient) -> None:
    with pytest.raises(BadInput) as caught:
        await client.image_info(REPO, "v9.0.0", HERE)
    assert caught.value.code == "image.platform"
    assert f"linux/{OTHER}" in caught.value.why


async def test_a_tag_that_is_not_there(client: RegistryClient) -> None:
    for call in (client.head, client.manifest):
        with pytest.raises(BadInput) as caught:
            await call(REPO, "v0.1.1")
        assert caught.value.code == "image.missing"
        assert "v0.1.0" in caught.value.now
    with pytest.raises(BadInput) as caught:
        await client.manifest(REPO, "sha256:" + "0" * 64)
    assert caught.value.code == "image.missing"


async def test_the_schema_one_trap_is_real_and_avoided(client: RegistryClient, plain: Registry) -> None:
    url = f"http://{plain.address}/v2/{REPO}/manifests/v0.1.0"
    async with HttpClient(policy=FAST) as http:
        bare = await http.request("GET", url)
        oci_only = await http.request("GET", url, headers={"Accept": OCI_INDEX})
    for answer in (bare, oci_only):
        assert "manifest.v1+" in answer.headers["content-type"]
        assert answer.headers["docker-content-digest"] != (await client.head(REPO, "v0.1.0")).digest


async def test_many_at_once(client: RegistryClient) -> None:
    infos = await asyncio.gather(*[client.image_info(REPO, VERSIONS[n % 3], HERE) for n in range(60)])
    assert len({info.digest for info in infos}) == 3


async def test_passwords(guarded: Registry) -> None:
    async with at(guarded, logged_in(guarded, guarded.user, guarded.password)) as client:
        assert set(await client.tags(REPO)) == set(VERSIONS)
        assert await client.can_push(REPO)
        assert await client.can_push("new/one")
    for credentials, cure in (
        (None, "docker login"),
        (logged_in(guarded, "alice", "wr0ng-pw"), "the right ones"),
    ):
        async with at(guarded, credentials) as client:
            with pytest.raises(Unavailable) as caught:
                await client.head(REPO, "v0.1.0")
            assert caught.value.code == "registry.denied"
            assert cure in caught.value.now
            assert "wr0ng-pw" not in json.dumps(caught.value.to_json())
            assert not await client.can_push(REPO)
    assert open_uploads(guarded) == [], "a push probe leaves nothing behind"


async def test_tokens(tokened: Registry) -> None:
    assert tokened.tokens is not None
    async with at(tokened, logged_in(tokened, "alice", tokened.password)) as client:
        assert set(await client.tags(REPO)) == set(VERSIONS)
        before = len(tokened.tokens.grants)
        await asyncio.gather(*[client.image_info(REPO, "v0.1.0", HERE) for _ in range(20)])
        assert len(tokened.tokens.grants) == before, "one token for all requests of a repository"
        assert await client.can_push(REPO)
    async with at(tokened, logged_in(tokened, "reader", "r3ad")) as client:
        assert (await client.head(REPO, "v0.1.0")).size > 0
        assert not await client.can_push(REPO)
    async with at(tokened) as client:
        assert set(await client.tags(PUBLIC)) == set(VERSIONS)
        assert not await client.can_push(PUBLIC)
        with pytest.raises(Unavailable) as caught:
            await client.tags(REPO)
        assert caught.value.code == "registry.denied"
        assert f"docker login {tokened.address}" in caught.value.now
    assert open_uploads(tokened) == []


async def test_a_stale_login_and_a_public_image(tokened: Registry) -> None:
    async with at(tokened, logged_in(tokened, "alice", "0ld-password")) as client:
        with pytest.raises(Unavailable) as caught:
            await client.head(PUBLIC, "v0.1.0")
        assert f"docker logout {tokened.address}" in caught.value.now
        with pytest.raises(Unavailable) as caught:
            await client.head(REPO, "v0.1.0")
        assert f"docker login {tokened.address}" in caught.value.now
        assert "0ld-password" not in json.dumps(caught.value.to_json())


async def test_a_token_that_is_refused_is_replaced(tokened: Registry) -> None:
    """The registry allows an expired token a minute of grace, so a damaged one stands in for it."""
    assert tokened.tokens is not None
    async with at(tokened, logged_in(tokened, "alice", tokened.password)) as client:
        await client.tags(REPO)
        auth = client._wire._auth
        (key, held), before = next(iter(auth._tokens.items())), len(tokened.tokens.grants)
        auth._tokens[key] = type(held)(Secret(held.value.reveal()[:-8] + "AAAAAAAA"), held.until)
        assert set(await client.tags(REPO)) == set(VERSIONS)
        assert len(tokened.tokens.grants) == before + 1


async def test_a_token_server_that_refuses_strangers(tmp_path: Path) -> None:
    with token_registry(tmp_path, token_server.Policy(strict=True)) as registry:
        async with at(registry) as client:
            with pytest.raises(Unavailable) as caught:
                await client.tags(REPO)
    assert caught.value.code == "registry.denied"


async def test_what_docker_login_stores_is_read_back(
    guarded: Registry, tokened: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for registry in (guarded, tokened):
        done = await run(docker_login_command(registry.address, registry.user, Secret(registry.password)))
        assert done.ok, done.stderr
        async with at(registry, DockerConfig.load()) as client:
            assert set(await client.tags(REPO)) == set(VERSIONS)
    refused = await run(docker_login_command(guarded.address, "alice", Secret("wrong")))
    assert not refused.ok
    found = await DockerConfig.load().credential(guarded.address)
    assert found is not None
    assert found.secret.reveal() == guarded.password


async def test_a_registry_that_has_gone(tmp_path: Path) -> None:
    with open_registry(tmp_path) as registry:
        push_samples(registry, ["v0.1.0"])
        client = at(registry)
        async with client:
            assert await client.tags(REPO) == ["v0.1.0"]
    async with client:
        with pytest.raises(Unavailable) as caught:
            await client.tags(REPO)
    assert caught.value.code == "registry.refused"
