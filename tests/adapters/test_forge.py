"""The forge client against the double, and against what is no forge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiohttp import web

from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable
from disinto_tui.core.redact import Secret
from tests.adapters.support_stub import FAST, answer, serving
from tests.support.forge_double import ADMIN_TOKEN, USER_TOKEN, ForgeDouble
from tests.support.forge_state import default_state
from tests.support.processes import free_port


@pytest.fixture
def double() -> Iterator[ForgeDouble]:
    with ForgeDouble() as running:
        yield running


def at(url: str, token: str = ADMIN_TOKEN) -> ForgeClient:
    return ForgeClient(url, Secret(token) if token else None, policy=FAST)


def sound(error: DisintoError, *secrets: str) -> None:
    for sentence in (error.what, error.why, error.now):
        assert sentence.endswith(".")
    for secret in secrets:
        assert secret not in str(error.to_json())


async def test_who_we_are(double: ForgeDouble) -> None:
    async with at(double.url) as forge:
        assert await forge.version() == double.state.version
        user = await forge.whoami()
        assert (user.login, user.is_admin) == ("disinto-admin", True)
    async with at(f"{double.url}/", USER_TOKEN) as forge:
        user = await forge.whoami()
        assert (user.login, user.is_admin) == ("dev-bot", False)
        assert user.id > 0
        assert "@" in user.email


async def test_a_forge_that_shows_nothing_to_strangers() -> None:
    with ForgeDouble(default_state(require_signin=True)) as double:
        async with at(double.url, "") as forge:
            assert await forge.version() is None
            with pytest.raises(DisintoError) as caught:
                await forge.whoami()
            sound(caught.value)
        async with at(double.url, "wrong-token-0123") as forge:
            assert await forge.version() is None


async def test_a_token_that_is_not_accepted(double: ForgeDouble) -> None:
    token = "n0t-a-token-of-this-forge"
    async with at(double.url, token) as forge:
        for call in (forge.whoami(), forge.repo("acme/shop"), forge.post("/repos/acme/shop/issues", {})):
            with pytest.raises(BadInput) as caught:
                await call
            assert caught.value.code == "forge.token"
            assert caught.value.exit_code == 2
            sound(caught.value, token)
    async with at(double.url, "") as forge:
        with pytest.raises(BadInput) as caught:
            await forge.whoami()
        assert caught.value.code == "forge.token"
        assert "None was given" in caught.value.why


async def test_a_token_without_the_scope() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        message = "token does not have at least one of required scope(s): [read:user] " + USER_TOKEN
        return answer({"message": message, "url": ""}, 403)

    async with serving(handler) as url, at(url, USER_TOKEN) as forge:
        assert await forge.version() is None
        with pytest.raises(BadInput) as caught:
            await forge.whoami()
    assert caught.value.code == "forge.scope"
    assert "read:user" in caught.value.details[0]
    sound(caught.value, USER_TOKEN)


async def test_repositories(double: ForgeDouble) -> None:
    async with at(double.url, USER_TOKEN) as forge:
        repo = await forge.repo("acme/shop")
        assert repo is not None
        assert repo.full_name == "acme/shop"
        assert repo.push
        assert not repo.admin
        assert repo.default_branch == "main"
        assert await forge.repo("acme/absent") is None
    double.state.repos["acme/shop-ops"].private = True
    double.state.repos["acme/shop-ops"].collaborators.clear()
    async with at(double.url, USER_TOKEN) as forge:
        assert await forge.repo("acme/shop-ops") is None
    async with at(double.url) as forge:
        repo = await forge.repo("acme/shop-ops")
        assert repo is not None
        assert repo.private
        assert repo.admin


@pytest.mark.parametrize(
    "slug", ["", "acme", "acme/", "/x", "a/b/c", "../x", "a/..", "a b/c", "a/b?x", "a/b\n"]
)
async def test_what_is_no_repository(slug: str) -> None:
    with pytest.raises(BadInput) as caught:
        repo_path(slug)
    assert caught.value.code == "forge.slug"


async def test_plain_calls_and_their_errors(double: ForgeDouble) -> None:
    async with at(double.url) as forge:
        made = await forge.post("/repos/acme/shop/tags", {"tag_name": "v1.0.0", "target": "main"})
        assert made["name"] == "v1.0.0"
        assert (await forge.get(f"/repos/acme/shop/tags/{quoted('v1.0.0')}"))["name"] == "v1.0.0"
        with pytest.raises(Failed) as conflict:
            await forge.post("/repos/acme/shop/tags", {"tag_name": "v1.0.0", "target": "main"})
        assert conflict.value.code == "forge.conflict"
        assert await forge.get_or_none("/repos/acme/shop/tags/v9") is None
        with pytest.raises(BadInput) as missing:
            await forge.get("/repos/acme/shop/tags/v9")
        assert missing.value.code == "forge.missing"
        with pytest.raises(Failed) as invalid:
            await forge.post("/admin/users", {"email": "x@y.z"})
        assert invalid.value.code == "forge.answer"
        assert "Required" in invalid.value.details[0]
        assert await forge.delete("/repos/acme/shop/tags/v1.0.0") is True
        assert await forge.delete("/repos/acme/shop/tags/v1.0.0") is False
    async with at(double.url, USER_TOKEN) as forge:
        with pytest.raises(Unavailable) as forbidden:
            await forge.get("/admin/users", {"limit": 1})
        assert forbidden.value.code == "forge.forbidden"
    for error in (conflict.value, missing.value, invalid.value, forbidden.value):
        sound(error, ADMIN_TOKEN, USER_TOKEN)


async def test_all_pages_of_a_list(double: ForgeDouble) -> None:
    for number in range(123):
        double.state.add_user(f"user-{number:03}", "password-1")
    async with at(double.url) as forge:
        users = await forge.get_all("/admin/users")
    assert len(users) == 123 + 2
    assert len({user["login"] for user in users}) == 125
    queries = [path for method, path, _ in double.state.calls if path.startswith("/api/v1/admin/users")]
    assert len(queries) == 3


async def test_lists_without_a_total() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        page = int(request.rel_url.query["page"])
        return answer(list(range({1: 50, 2: 50}.get(page, 0))))

    async with serving(handler) as url, at(url) as forge:
        assert len(await forge.get_all("/x")) == 100


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", "<!doctype html><title>shop</title>"),
        (404, "text/html", "<html>no such page</html>"),
        (404, "text/plain", "404 page not found"),
        (200, "application/json", '{"hello": "world"}'),
        (200, "application/json", "[]"),
        (200, "text/plain", "OK"),
        (200, "text/plain", ""),
    ],
)
async def test_what_is_no_forge(status: int, kind: str, body: str) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body, content_type=kind)

    async with serving(handler) as url, at(url) as forge:
        for call in (forge.version, forge.whoami):
            with pytest.raises(BadInput) as caught:
                await call()
            assert caught.value.code == "forge.url"
            assert url in caught.value.what
            sound(caught.value, ADMIN_TOKEN)


async def test_a_forge_that_is_elsewhere_is_named_and_gets_no_token() -> None:
    seen: list[str | None] = []

    async def other(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return answer({"message": "token is required"}, 401)

    async with serving(other) as elsewhere:

        async def handler(request: web.BaseRequest) -> web.Response:
            return web.Response(status=301, headers={"Location": f"{elsewhere}{request.path}"})

        async with serving(handler) as url, at(url) as forge:
            with pytest.raises(BadInput) as caught:
                await forge.whoami()
            assert caught.value.code == "forge.url"
            assert elsewhere in caught.value.why
            with pytest.raises(BadInput) as caught:
                await forge.post("/repos/a/b/issues", {})
            assert caught.value.code == "forge.url"
    assert seen == [None]


async def test_a_forge_that_does_not_work(double: ForgeDouble) -> None:
    double.state.broken["/api/v1/user"] = 500
    async with at(double.url) as forge:
        with pytest.raises(Unavailable) as caught:
            await forge.whoami()
        assert caught.value.code == "forge.failing"
    async with at(f"http://127.0.0.1:{free_port()}") as forge:
        with pytest.raises(Unavailable) as caught:
            await forge.version()
        assert caught.value.code == "forge.refused"
        assert caught.value.what.startswith("The forge 127.0.0.1:")
        sound(caught.value, ADMIN_TOKEN)


async def test_the_token_travels_in_one_header_only() -> None:
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.path_qs, dict(request.headers), await request.read()))
        return answer({"login": "x", "version": "11"})

    async with serving(handler) as url, at(url, f"{USER_TOKEN}\n") as forge:
        await forge.whoami()
        await forge.post("/x", {"a": 1})
        await forge.put("/x", {"a": 1})
        await forge.patch("/x", {"a": 1})
    for path, headers, body in seen:
        assert USER_TOKEN not in path
        assert USER_TOKEN.encode() not in body
        assert [name for name, value in headers.items() if USER_TOKEN in value] == ["Authorization"]
        assert headers["Authorization"] == f"token {USER_TOKEN}"
    assert [path for path, _, _ in seen] == ["/api/v1/user", "/api/v1/x", "/api/v1/x", "/api/v1/x"]


async def test_a_forge_below_a_path(double: ForgeDouble) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        good = request.path == "/forgejo/api/v1/version"
        return answer({"version": "11.0"} if good else {}, 200 if good else 404)

    async with serving(handler) as url, at(f"{url}/forgejo/") as forge:
        assert await forge.version() == "11.0"


async def test_changes_are_not_repeated_by_themselves() -> None:
    seen: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.method)
        return answer({}, 502)

    async with serving(handler) as url, at(url) as forge:
        for call in (forge.post("/x"), forge.put("/x"), forge.patch("/x"), forge.delete("/x")):
            with pytest.raises(Unavailable):
                await call
    assert seen == ["POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "forge.example",
        "ftp://h",
        "http://",
        "https://user:pw@h",
        "http://h?x=1",
        "http://h#x",
        "http://a b",
        "http://h:99999",
        "http://[::1",
        "http://h\n.evil",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        ForgeClient(url, None)
    assert caught.value.code == "forge.url"
    assert "user:pw" not in str(caught.value)
