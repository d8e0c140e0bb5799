"""The registry client against a stub: pages, rate limits, answers that make no sense."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from disinto_tui.adapters import registry as module
from disinto_tui.adapters.registry_tags import nearest_tags, next_link
from disinto_tui.core.errors import Unavailable
from tests.adapters.support_stub import (
    OCI_MANIFEST,
    OLDEST_FIRST,
    REPO,
    StubRegistry,
    answer,
    at,
    host_of,
    pages,
    registry_error,
    serving,
)


async def test_pages_of_a_hundred_oldest_first_through_relative_links() -> None:
    async with serving(pages(OLDEST_FIRST, lambda path: path)) as url, at(url) as registry:
        assert await registry.tags(REPO) == OLDEST_FIRST


async def test_a_large_page_is_used_where_it_is_honoured() -> None:
    seen: list[str] = []
    inner = pages(OLDEST_FIRST, lambda path: path, cap=10_000)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.path_qs)
        return await inner(request)

    async with serving(handler) as url, at(url) as registry:
        assert await registry.tags(REPO) == OLDEST_FIRST
    assert seen == [f"/v2/{REPO}/tags/list?n=1000"]


@pytest.mark.parametrize(
    "form", ["{url}{path}", "//{host}{path}", "http://{name}{path}", "https://{name}:443{path}"]
)
async def test_absolute_links_to_the_same_host(form: str) -> None:
    """Also as a registry behind a TLS proxy writes them: another scheme, no port."""
    base = ""

    def link(path: str) -> str:
        return form.format(url=base, host=host_of(base), name=urlsplit(base).hostname, path=path)

    async with serving(pages(OLDEST_FIRST, link)) as url, at(url) as registry:
        base = url
        assert await registry.tags(REPO) == OLDEST_FIRST


async def test_links_to_another_host_are_not_followed() -> None:
    foreign: list[str] = []

    async def other(request: web.BaseRequest) -> web.Response:
        foreign.append(request.path)
        return answer({})

    async with serving(other) as elsewhere:
        for target in (elsewhere, "http://evil.example", "http://127.0.0.2"):
            async with (
                serving(pages(OLDEST_FIRST, lambda path, to=target: to + path)) as url,
                at(url) as registry,
            ):
                with pytest.raises(Unavailable) as caught:
                    await registry.tags(REPO)
                assert caught.value.code == "registry.paging"
    assert foreign == []


@pytest.mark.parametrize("kind", ["same", "nonce", "empty"])
async def test_lists_that_never_end(kind: str) -> None:
    count = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal count
        count += 1
        path = f"/v2/{REPO}/tags/list?n=1000" + (f"&x={count}" if kind != "same" else "")
        tags = [] if kind == "empty" else ["v1", "v2"]
        return answer({"tags": tags}, Link=f'<{path}>; rel="next"')

    async with serving(handler) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.paging"
    assert count < 50


async def test_a_list_with_ever_new_tags_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAGES", 7)
    count = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal count
        count += 1
        return answer({"tags": [f"v{count}"]}, Link=f'</v2/{REPO}/tags/list?last=v{count}>; rel="next"')

    async with serving(handler) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.paging"


async def test_an_empty_page_in_the_middle_is_allowed() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        last = parse_qs(request.query_string).get("last", ["start"])[0]
        tags, after = {"start": (["a"], "b"), "b": ([], "c"), "c": (["d"], "")}[last]
        headers = {"Link": f'</v2/{REPO}/tags/list?last={after}>; rel="next"'} if after else {}
        return answer({"tags": tags}, **headers)

    async with serving(handler) as url, at(url) as registry:
        assert await registry.tags(REPO) == ["a", "d"]


@pytest.mark.parametrize(
    ("body", "tags"),
    [
        ({"tags": None}, []),
        ({"name": REPO}, []),
        ({"tags": ["v1", "v1", "v2"]}, ["v1", "v2"]),
        ({"tags": ["v1", 3, None, "a b", "\x1b[2Jv2", "v3\n", "-x", "x" * 129]}, ["v1"]),
    ],
)
async def test_what_is_in_a_page(body: object, tags: list[str]) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return answer(body)

    async with serving(handler) as url, at(url) as registry:
        assert await registry.tags(REPO) == tags


@pytest.mark.parametrize("body", ["[]", '"x"', '{"tags": {}}', "{", "[" * 100_000])
async def test_pages_that_make_no_sense(body: str) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return (
            answer({}) if request.path == "/v2/" else web.Response(text=body, content_type="application/json")
        )

    async with serving(handler) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.answer"


def test_link_headers() -> None:
    assert next_link('</a?x=1>; rel="next"') == "/a?x=1"
    assert next_link('</z>; rel="prev", </a,b;c>; title="x, y; z"; rel=next') == "/a,b;c"
    assert next_link('</z>; rel="prev next"') == "/z"
    assert next_link('</z>; rel="nextish"') == ""
    assert next_link("garbage") == ""


def test_the_nearest_tags() -> None:
    tags = [f"v0.{minor}.{patch}" for minor in range(40) for patch in range(40)] + ["latest"]
    assert "v0.3.1" in nearest_tags("v0.3.1x", tags)
    assert nearest_tags("0.3.1", tags)[0] == "v0.3.1"
    assert nearest_tags("qqqqqq", tags) == []
    assert len(nearest_tags("v0.3", tags)) == 3


# -- waiting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["0.1", "10.3ms", "500µs", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_rate_limits_are_waited_for(header: str) -> None:
    stub = StubRegistry()
    stub.image("v1")
    left = 2

    def fault(request: web.BaseRequest) -> web.Response | None:
        nonlocal left
        if left and "tags" in request.path:
            left -= 1
            return registry_error("TOOMANYREQUESTS", 429, Retry_After=header)
        return None

    stub.faults.append(fault)
    async with serving(stub) as url, at(url) as registry:
        assert await registry.tags(REPO) == ["v1"]


@pytest.mark.parametrize(
    ("status", "code"), [(429, "registry.busy"), (503, "registry.failing"), (418, "registry.answer")]
)
async def test_what_stays_wrong_is_said(status: int, code: str) -> None:
    stub = StubRegistry()
    stub.faults.append(lambda request: None if request.path == "/v2/" else registry_error("X", status))
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == code
    assert f"HTTP {status} X: x" in caught.value.details


async def test_a_server_error_in_the_middle_is_tried_again() -> None:
    left = 2
    inner = pages(OLDEST_FIRST, lambda path: path)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal left
        if left and "last" in request.query_string:
            left -= 1
            return registry_error("UNKNOWN", 502)
        return await inner(request)

    async with serving(handler) as url, at(url) as registry:
        assert await registry.tags(REPO) == OLDEST_FIRST


@pytest.mark.parametrize("where", ["/v2/", "tags"])
async def test_a_web_page_instead_of_data(where: str) -> None:
    stub = StubRegistry()
    page = "<!doctype html><title>Sign in to the network</title>"
    stub.faults.append(
        lambda request: (
            web.Response(text=page, content_type="text/html")
            if request.path.endswith(where) or where in request.path
            else None
        )
    )
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.tags(REPO)
    assert caught.value.code == "registry.html"


async def test_an_oversized_manifest() -> None:
    stub = StubRegistry()
    stub.tags["v1"] = stub.add(b" " * (5 << 20), OCI_MANIFEST)
    async with serving(stub) as url, at(url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.manifest(REPO, "v1")
    assert caught.value.code == "registry.too-large"
