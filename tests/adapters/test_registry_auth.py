"""Who the registry client says it is, to whom, and what it says when that is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_auth import (
    Authorizer,
    Credential,
    NoCredentials,
    StaticCredentials,
    parse_challenges,
)
from disinto_tui.adapters.registry_errors import Denial, denied, words_of
from disinto_tui.adapters.tape import Tape, recording
from disinto_tui.core.errors import Refused, Unavailable
from disinto_tui.core.redact import Secret
from tests.adapters.support_stub import (
    FAST,
    OLDEST_FIRST,
    PASSWORD,
    REPO,
    StubRegistry,
    answer,
    at,
    client,
    host_of,
    pages,
    registry_error,
    serving,
)


class TokenGuard:
    """A registry that wants tokens, and the server that gives them, on another port."""

    def __init__(self, stub: StubRegistry) -> None:
        self.stub = stub
        self.realm = ""
        self.valid: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.refuse: Callable[[str], bool] = lambda authorization: False
        self.answer: dict[str, Any] = {"expires_in": 300}
        self.counter = 0

    async def tokens(self, request: web.BaseRequest) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        if request.method == "POST":
            form = parse_qs((await request.read()).decode())
            self.asked.append((form["scope"][0], "identity " + form["refresh_token"][0]))
        else:
            self.asked.append((request.query_string, authorization))
        if self.refuse(authorization):
            return registry_error("DENIED", 401)
        self.counter += 1
        token = f"opaque-{self.counter}"
        self.valid.add(token)
        return answer({"token": token, **self.answer})

    def challenge(self, request: web.BaseRequest) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.valid:
            return None
        error = ',error="invalid_token"' if token else ""
        header = f'Bearer realm="{self.realm}",service="registry.test",scope="x:y:z"{error}'
        return registry_error("UNAUTHORIZED", 401, WWW_Authenticate=header)


async def test_the_bearer_flow_and_its_token_cache() -> None:
    stub = StubRegistry()
    stub.image("v1")
    guard = TokenGuard(stub)
    stub.faults.append(guard.challenge)
    async with serving(guard.tokens) as tokens, serving(stub) as url, at(url, login=True) as registry:
        guard.realm = f"{tokens}/token?account=x"
        assert await registry.ping() == "bearer"
        await asyncio.gather(*[registry.head(REPO, "v1") for _ in range(8)])
        await registry.tags(REPO)
    assert len(guard.asked) == 1
    query, authorization = guard.asked[0]
    assert parse_qs(query) == {
        "account": ["x"],
        "service": ["registry.test"],
        "scope": [f"repository:{REPO}:pull"],
    }
    assert authorization == "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    assert PASSWORD not in "".join(str(one) for one in stub.requests)


async def test_a_token_that_expires_in_the_middle_of_a_list() -> None:
    guard = TokenGuard(StubRegistry())
    inner = pages(OLDEST_FIRST, lambda path: path)
    served = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal served
        refusal = guard.challenge(request)
        if refusal is not None:
            return refusal
        served += 1
        if served == 2:
            guard.valid.clear()  # from here on the first token is old
        return await inner(request)

    async with serving(guard.tokens) as tokens, serving(handler) as url, at(url) as registry:
        guard.realm = f"{tokens}/token"
        assert await registry.tags(REPO) == OLDEST_FIRST
    assert len(guard.asked) == 2


@pytest.mark.parametrize("lifetime", [{"expires_in": 1}, {}, {"expires_in": "soon"}, {"expires_in": -5}])
async def test_tokens_are_renewed_before_they_expire(
    lifetime: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubRegistry()
    stub.image("v1")
    guard = TokenGuard(stub)
    guard.answer = lifetime
    stub.faults.append(guard.challenge)
    async with serving(guard.tokens) as tokens, serving(stub) as url, at(url) as registry:
        guard.realm = f"{tokens}/token"
        await registry.head(REPO, "v1")
        stub.requests.clear()
        loop = asyncio.get_running_loop()
        now = loop.time
        seconds = 0.95 if lifetime == {"expires_in": 1} else 56
        with monkeypatch.context() as patch:
            patch.setattr(loop, "time", lambda: now() + seconds)
            await registry.head(REPO, "v1")
    assert len(guard.asked) == 2
    assert len(stub.requests) == 1, "no request with an old token"


async def test_a_token_never_accepted_is_not_fetched_for_ever() -> None:
    stub = StubRegistry()
    guard = TokenGuard(stub)
    stub.faults.append(lambda request: (guard.valid.clear(), guard.challenge(request))[1])
    async with serving(guard.tokens) as tokens, serving(stub) as url, at(url) as registry:
        guard.realm = f"{tokens}/token"
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.denied"
    assert len(guard.asked) == 1


async def test_granted_less_than_needed_is_a_denial_without_another_token() -> None:
    stub = StubRegistry()
    guard = TokenGuard(stub)

    def fault(request: web.BaseRequest) -> web.Response | None:
        refusal = guard.challenge(request)
        if refusal is None:
            header = f'Bearer realm="{guard.realm}",service="registry.test",error="insufficient_scope"'
            return registry_error("UNAUTHORIZED", 401, WWW_Authenticate=header)
        return refusal

    stub.faults.append(fault)
    async with serving(guard.tokens) as tokens, serving(stub) as url, at(url) as registry:
        guard.realm = f"{tokens}/token"
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
        assert caught.value.code == "registry.denied"
        assert len(guard.asked) == 1
        assert not await registry.can_push(REPO)


async def test_a_stale_login_that_breaks_a_public_pull() -> None:
    stub = StubRegistry()
    stub.image("v1")
    guard = TokenGuard(stub)
    guard.refuse = bool
    stub.faults.append(guard.challenge)
    for handed in ("", "GITHUB_TOKEN"):
        async with (
            serving(guard.tokens) as tokens,
            serving(stub) as url,
            at(url, login=True, handed=handed) as registry,
        ):
            guard.realm = f"{tokens}/token"
            with pytest.raises(Unavailable) as caught:
                await registry.head(REPO, "v1")
        error, host = caught.value, host_of(url)
        assert error.code == "registry.denied"
        if handed:
            assert (error.what, error.now) == (
                f"{host} refused GITHUB_TOKEN.",
                "Go without it, then try again.",
            )
        else:
            assert error.what == f"{host} refused the login that Docker has stored for it."
            assert f"docker logout {host}" in error.now
        assert PASSWORD not in str(error.to_json())


async def test_an_identity_token_is_exchanged() -> None:
    stub = StubRegistry()
    stub.image("v1")
    guard = TokenGuard(stub)
    stub.faults.append(guard.challenge)
    async with serving(guard.tokens) as tokens, serving(stub) as url:
        guard.realm = f"{tokens}/token"
        login = Credential("<token>", Secret("identity-secret"), identity=True)
        source = StaticCredentials({host_of(url): login})
        async with RegistryClient(host_of(url), credentials=source, policy=FAST) as registry:
            with recording(Tape(reads_only=True)) as tape:  # as every release is planned
                await registry.head(REPO, "v1")
    assert guard.asked == [(f"repository:{REPO}:pull", "identity identity-secret")]
    assert [item.text for item in tape.asked if item.kind == "probe"] == [f"POST {guard.realm}"]


@pytest.mark.parametrize(
    "body", ["<html></html>", "{}", "[]", '{"token": 3}', '{"token": "a b"}', '{"token": "a\\r\\nX: y"}', ""]
)
async def test_token_servers_that_give_no_token(body: str) -> None:
    stub = StubRegistry()
    guard = TokenGuard(stub)
    stub.faults.append(guard.challenge)

    async def tokens(request: web.BaseRequest) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with serving(tokens) as server, serving(stub) as url, at(url) as registry:
        guard.realm = f"{server}/token"
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.token"


@pytest.mark.parametrize(
    ("base", "realm", "login"),
    [
        ("https://ghcr.io", "https://ghcr.io/token", True),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", True),
        ("https://ghcr.io", "http://ghcr.io/token", None),
        ("https://ghcr.io", "http://127.0.0.1/token", None),
        ("https://ghcr.io", "file:///token", None),
        ("https://ghcr.io", "https:///token", None),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", True),
        ("http://127.0.0.1:5000", "http://localhost:5001/token", True),
        ("http://127.0.0.1:5000", "http://tokens.example/token", False),
        ("http://127.0.0.1:5000", "https://tokens.example/token", True),
        ("http://10.0.0.1:5000", "http://10.0.0.1:5001/token", True),
        ("http://10.0.0.1:5000", "http://10.0.0.2:5001/token", None),
    ],
)
def test_where_credentials_may_go(base: str, realm: str, login: bool | None) -> None:
    auth = Authorizer("registry.test", base, NoCredentials(), client())
    if login is None:
        with pytest.raises(Refused) as caught:
            auth._check_realm(realm)
        assert caught.value.code == "registry.realm"
    else:
        auth._check_realm(realm)
        assert auth._may_have_credentials(realm) is login


async def test_basic_credentials_go_only_where_they_are_asked_for() -> None:
    stub = StubRegistry()
    stub.image("v1")
    wanted = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    stub.faults.append(
        lambda request: (
            None
            if request.headers.get("Authorization") == wanted
            else registry_error("UNAUTHORIZED", 401, WWW_Authenticate='Basic realm="r"')
        )
    )
    async with serving(stub) as url:
        async with at(url, login=True) as registry:
            assert await registry.ping() == "basic"
            assert (await registry.head(REPO, "v1")).size > 0
        async with at(url) as registry:
            with pytest.raises(Unavailable) as caught:
                await registry.tags(REPO)
            assert caught.value.code == "registry.denied"
            assert f"docker login {host_of(url)}" in caught.value.now
    assert stub.requests[0][2] == "", "nothing is sent before a challenge"


async def test_a_blob_elsewhere_gets_no_credentials() -> None:
    stub = StubRegistry()
    entry = stub.image("v1")
    wanted = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    storage: list[str | None] = []

    async def store(request: web.BaseRequest) -> web.Response:
        storage.append(request.headers.get("Authorization"))
        kind, body = stub.documents[request.path.removeprefix("/")]
        return web.Response(body=body, content_type=kind)

    async with serving(store) as elsewhere:

        def fault(request: web.BaseRequest) -> web.Response | None:
            if request.headers.get("Authorization") != wanted:
                return registry_error("UNAUTHORIZED", 401, WWW_Authenticate='Basic realm="r"')
            if "/blobs/" in request.path:
                where = f"{elsewhere}/{request.path.rpartition('/')[2]}"
                return web.Response(status=307, headers={"Location": where})
            return None

        stub.faults.append(fault)
        async with serving(stub) as url, at(url, login=True) as registry:
            info = await registry.image_info(REPO, "v1", "linux/amd64")
    assert info.digest == entry["digest"]
    assert storage == [None]


async def test_a_storage_that_says_401_is_not_given_the_login() -> None:
    stub = StubRegistry()
    stub.image("v1")
    seen: list[str | None] = []

    async def store(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return registry_error("X", 401, WWW_Authenticate='Basic realm="steal"')

    async with serving(store) as elsewhere, serving(stub) as url, at(url, login=True) as registry:
        stub.faults.append(
            lambda request: (
                web.Response(status=302, headers={"Location": f"{elsewhere}/x"})
                if "/blobs/" in request.path
                else None
            )
        )
        with pytest.raises(Unavailable) as caught:
            await registry.image_info(REPO, "v1", "linux/amd64")
    assert caught.value.code == "registry.answer"
    assert seen == [None]


@pytest.mark.parametrize(
    ("post", "delete", "may"),
    [(202, 204, True), (202, 405, True), (202, 500, True), (403, 0, False), (405, 0, False)],
)
async def test_asking_whether_we_may_push(post: int, delete: int, may: bool) -> None:
    seen: list[tuple[str, str]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.method, request.path_qs))
        if request.method == "POST":
            return answer({}, post, Location=f"/v2/{REPO}/blobs/uploads/abc?_state=x%3D")
        return answer({}, delete) if request.method == "DELETE" else answer({})

    async with serving(handler) as url, at(url) as registry:
        with recording(Tape(reads_only=True)) as tape:
            assert await registry.can_push(REPO) is may
    # Said as what it is, and nothing but that is let through.
    assert [item.text for item in tape.asked if item.kind == "probe"] == [
        f"{what} {url}{path}" for what, path in seen[-(1 + may) :]
    ]
    asked = [("POST", f"/v2/{REPO}/blobs/uploads/")]
    assert seen == asked + ([("DELETE", f"/v2/{REPO}/blobs/uploads/abc?_state=x%3D")] if may else [])


async def test_which_scheme_is_spoken(tls_server: str) -> None:
    """Plain http to this machine, https when that is what answers, and never plain http elsewhere."""
    async with RegistryClient(host_of(tls_server), insecure_hosts=["127.0.0.0/8"], policy=FAST) as registry:
        assert await registry.ping() == ""
    assert RegistryClient("ghcr.io")._wire.bases() == ["https://ghcr.io"]
    assert RegistryClient("docker.io")._wire.bases() == ["https://registry-1.docker.io"]
    assert RegistryClient("10.1.2.3:5000")._wire.bases() == ["https://10.1.2.3:5000"]
    both = ["https://10.1.2.3:5000", "http://10.1.2.3:5000"]
    for listed in (["10.1.2.3:5000"], ["10.1.0.0/16"]):
        assert RegistryClient("10.1.2.3:5000", insecure_hosts=listed)._wire.bases() == both
    assert RegistryClient("reg.lan", insecure_hosts=["10.1.0.0/16", "x/y"])._wire.bases() == [
        "https://reg.lan"
    ]
    assert RegistryClient("[::1]:5000")._wire.bases()[0] == "http://[::1]:5000"
    assert RegistryClient("docker.io")._name("busybox") == "library/busybox"


async def test_a_certificate_nobody_signed_is_accepted_only_when_listed(tls_server: str) -> None:
    async with RegistryClient(host_of(tls_server), policy=FAST) as registry:
        with pytest.raises(Unavailable):
            await registry.ping()


@pytest.mark.parametrize(
    ("denial", "cure"),
    [
        (Denial("ghcr.io", REPO, 401, with_login=True, open_to_all=True), "docker logout ghcr.io"),
        (Denial("ghcr.io", REPO, 401, with_login=True), "read:packages"),
        (Denial("ghcr.io", REPO, 403, with_login=True), "read:packages"),
        (Denial("ghcr.io", REPO, 403, with_login=True, write=True), "write:packages"),
        (Denial("ghcr.io", REPO, 401, with_login=False), "docker login ghcr.io"),
        (Denial("docker.io", REPO, 401, with_login=False), "`docker login`"),
        (Denial("docker.io", REPO, 401, with_login=True), "`docker login`"),
        (Denial("docker.io", REPO, 401, with_login=True, open_to_all=True), "`docker logout`"),
        (Denial("r.example:5000", REPO, 401, with_login=True, basic=True), "docker login r.example:5000"),
        (Denial("r.example:5000", REPO, 401, with_login=False, basic=True), "docker login r.example:5000"),
        (Denial("r.example:5000", REPO, 401, with_login=True), "docker login r.example:5000"),
        (Denial("r.example:5000", REPO, 403, with_login=True), "whoever runs r.example:5000"),
        (
            Denial("r.example:5000", REPO, 401, with_login=False, remark="The helper x is missing."),
            "docker login",
        ),
    ],
)
def test_every_denial_has_its_cure(denial: Denial, cure: str) -> None:
    error = denied(denial)
    assert error.code == "registry.denied"
    assert error.exit_code == 3
    assert cure in error.now
    for sentence in (error.what, error.why, error.now):
        assert sentence.endswith(".")
        assert ". " not in sentence, "one sentence each"
    if denial.remark:
        assert denial.remark in error.details
    if denial.with_login:
        assert "that Docker has stored" in error.what
        given = denied(replace(denial, handed="the login that was typed in"))
        assert "the login that was typed in" in given.what
        assert "docker log" not in given.now and "stored" not in f"{given.what} {given.why}", (
            "Docker has no part in it"
        )
        assert all(said.endswith(".") and ". " not in said for said in (given.what, given.why, given.now))


def test_the_other_sides_words_are_one_harmless_line() -> None:
    from disinto_tui.adapters.http import Response

    body = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b[31m\nway " + "x" * 500}]}).encode()
    said = words_of(Response(403, {}, body, "http://h/"))
    assert said.startswith("HTTP 403 DENIED: no")
    assert said.isprintable()
    assert len(said) < 230
    assert words_of(Response(403, {}, b"<html>", "http://h/")) == "HTTP 403"


def test_challenges_in_every_spelling() -> None:
    def read(header: str) -> list[tuple[str, dict[str, str]]]:
        return [(one.scheme, dict(one.parameters)) for one in parse_challenges(header)]

    assert read('Bearer realm="https://g/token",service="g",scope="repository:a/b:pull,push"') == [
        ("bearer", {"realm": "https://g/token", "service": "g", "scope": "repository:a/b:pull,push"})
    ]
    assert read('Basic realm="a \\"b\\"", Bearer Realm=x , service="y"') == [
        ("basic", {"realm": 'a "b"'}),
        ("bearer", {"realm": "x", "service": "y"}),
    ]
    assert read("Negotiate, Basic realm=r") == [("negotiate", {}), ("basic", {"realm": "r"})]
    assert read("") == []
    assert read(",,,=") == []
