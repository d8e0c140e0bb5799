"""The HTTP client against a server that misbehaves on order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.adapters.http import (
    RETRY_CAP,
    RETRY_FLOOR,
    Policy,
    Response,
    is_loopback,
    parse_retry_after,
    retry_after,
    same_origin,
)
from disinto_tui.core.errors import BadInput, Unavailable
from tests.adapters.support_stub import FAST, Waits, answer, client, raw, serving
from tests.support.processes import free_port


def test_importing_the_adapters_does_not_import_aiohttp() -> None:
    code = (
        "import sys\n"
        "import disinto_tui.adapters.http, disinto_tui.adapters.registry, disinto_tui.adapters.forge\n"
        "import disinto_tui.adapters.dockerconfig\n"
        "print(sorted({'aiohttp', 'yarl', 'multidict', 'docker', 'textual'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("10.3ms", 0.0103),
        ("500µs", 0.0005),
        ("500us", 0.0005),
        ("250000000ns", 0.25),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("10 ms", None),
        ("1e9", None),
    ],
)
def test_every_form_of_retry_after(text: str, seconds: float | None) -> None:
    read = parse_retry_after(text, now="Wed, 21 Oct 2015 07:28:00 GMT")
    assert read == pytest.approx(seconds)


def test_a_retry_date_without_a_server_clock_is_read_against_ours() -> None:
    read = parse_retry_after(formatdate(time.time() + 100, usegmt=True))
    assert read is not None
    assert 97 < read < 101


@given(st.text(max_size=60))
def test_no_retry_after_text_breaks_it(text: str) -> None:
    read = retry_after(Response(429, {"retry-after": text}, b"", "http://h/"))
    assert read is None or RETRY_FLOOR <= read <= RETRY_CAP


def test_the_wait_asked_for_may_be_in_the_error_text() -> None:
    words = b'{"errors":[{"message":"retry-after: 250.3ms, allowed: 2000/minute"}]}'
    assert retry_after(Response(429, {}, words, "http://h/")) == pytest.approx(0.2503)
    assert retry_after(Response(200, {}, words, "http://h/")) is None
    micro = "retry-after: 900µs, allowed".encode()
    assert retry_after(Response(429, {}, micro, "http://h/")) == RETRY_FLOOR


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("2", 2.0, 2.5), ("10.3ms", 0.1, 0.125), ("86400", 30.0, 30.0), ("500µs", 0.1, 0.125)],
)
async def test_a_429_is_waited_for_and_repeated(header: str, least: float, most: float) -> None:
    seen: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.method)
        return answer({}, 429, Retry_After=header) if len(seen) < 3 else answer({"ok": True})

    waits = Waits()
    async with serving(handler) as url, client(waits, Policy(deadline=120)) as http:
        got = await http.request("POST", url)
        assert http.narrow(url)
    assert got.json() == {"ok": True}
    assert seen == ["POST"] * 3
    assert all(0 < wait <= most + 0.001 for wait in waits.seconds)
    assert [wait for wait in waits.seconds if wait >= least]


async def test_a_429_with_a_date() -> None:
    seen: list[int] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(1)
        if len(seen) > 1:
            return answer({})
        now = 1_700_000_000
        return answer(
            {}, 429, Retry_After=formatdate(now + 7, usegmt=True), Date=formatdate(now, usegmt=True)
        )

    waits = Waits()
    async with serving(handler) as url, client(waits, Policy(deadline=120)) as http:
        assert (await http.request("GET", url)).status == 200
    assert any(7.0 <= wait <= 8.75 for wait in waits.seconds)


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return answer({}, 429, Retry_After="20")

    waits = Waits()
    async with serving(handler) as url, client(waits) as http:
        assert (await http.request("GET", url)).status == 429
    assert waits.seconds == []


async def test_sixteen_in_flight_and_two_after_a_429() -> None:
    active = most = 0
    total = 0
    release = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal active, most, total
        active += 1
        total += 1
        most = max(most, active)
        if total == 16:
            release.set()
        await asyncio.wait_for(release.wait(), 3)
        await asyncio.sleep(0.01)
        active -= 1
        if total == 16 and request.path == "/1":
            return answer({}, 429, Retry_After="10ms")
        return answer({})

    async with serving(handler) as url, client() as http:
        first = await asyncio.gather(*[http.request("GET", f"{url}/{n}") for n in range(16)])
        assert {one.status for one in first} == {200}
        assert most == 16
        assert http.narrow(url)
        most = 0
        await asyncio.gather(*[http.request("GET", f"{url}/{n}") for n in range(20, 40)])
        assert most == 2


async def test_a_cancelled_request_gives_its_place_back() -> None:
    entered = asyncio.Event()
    go = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        entered.set()
        if request.path == "/held":
            await go.wait()
        return answer({})

    policy = Policy(deadline=3, wide=1)
    async with serving(handler) as url, client(policy=policy) as http:
        held = asyncio.create_task(http.request("GET", f"{url}/held"))
        await entered.wait()
        waiting = [asyncio.create_task(http.request("GET", f"{url}/{n}")) for n in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        held.cancel()
        await asyncio.gather(held, waiting[0], return_exceptions=True)
        rest = await asyncio.gather(*waiting[1:])
        assert {one.status for one in rest} == {200}
        go.set()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_tried_again(status: int) -> None:
    seen: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.method)
        return answer({}, status) if len(seen) < 3 else answer({})

    async with serving(handler) as url, client() as http:
        assert (await http.request("GET", url)).status == 200
        assert len(seen) == 3
        seen.clear()
        assert (await http.request("POST", url)).status == status
        assert len(seen) == 1, "a POST may have acted already"


async def test_a_server_that_stays_broken_is_given_up() -> None:
    seen: list[int] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(1)
        return answer({}, 503)

    async with serving(handler) as url, client() as http:
        assert (await http.request("GET", url)).status == 503
    assert len(seen) == FAST.attempts


async def test_a_cut_connection_is_tried_again() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if len(seen) == 1:
            return
        whole = b"0123456789"
        sent = whole if len(seen) > 2 else whole[:4]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + sent)
        await writer.drain()

    async with raw(talk) as url, client() as http:
        assert (await http.request("GET", url)).body == b"0123456789"
    assert len(seen) >= 3


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP ready\r\n" * 3)
    await writer.drain()


@pytest.mark.parametrize(("talk", "code"), [(_cut, "broken"), (_silent, "timeout"), (_babble, "broken")])
async def test_servers_that_give_no_answer(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], code: str
) -> None:
    policy = Policy(deadline=1, read=0.2, backoff=0.001)
    async with raw(talk) as url, client(policy=policy) as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", url)
    assert caught.value.code == f"test.{code}"
    _three_sentences(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection(host: str) -> None:
    async with client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", f"http://{host}:{free_port()}/x?token=abc")
    assert caught.value.code == "test.refused"
    assert "abc" not in str(caught.value)
    _three_sentences(caught.value)


async def test_a_name_that_does_not_resolve() -> None:
    async with client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", "http://nowhere.invalid/")
    assert caught.value.code == "test.dns"
    assert "nowhere.invalid" in caught.value.why
    _three_sentences(caught.value)


async def test_tls_spoken_to_a_plain_server() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return answer({})

    async with serving(handler) as url, client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", url.replace("http://", "https://"))
    assert caught.value.code == "test.tls"
    _three_sentences(caught.value)


async def test_a_certificate_nobody_signed(tls_server: str) -> None:
    async with client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", tls_server)
        assert caught.value.code == "test.tls"
        assert "not trusted" in caught.value.why
        _three_sentences(caught.value)
        assert (await http.request("GET", tls_server, verify=False)).status == 200


@pytest.mark.parametrize(
    "url", ["", "ghcr.io", "ftp://h/x", "http://", "http://h:99999/", "http://[::1/", "file:///etc/passwd"]
)
async def test_what_is_no_url(url: str) -> None:
    async with client() as http:
        with pytest.raises(BadInput) as caught:
            await http.request("GET", url)
    assert caught.value.code == "test.url"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_too_large(chunked: bool, packed: bool) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse()
        if packed:
            reply.enable_compression(web.ContentCoding.gzip)
        if not chunked and not packed:
            reply.content_length = 300_000
        await reply.prepare(request)
        with_body = b"x" * 1000
        try:
            for _ in range(300):
                await reply.write(with_body)
        except ConnectionError:
            pass
        return reply

    async with serving(handler) as url, client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", url, max_bytes=100_000)
        assert caught.value.code == "test.too-large"
        assert len((await http.request("GET", url, max_bytes=300_000)).body) == 300_000


async def test_redirects_to_another_host_drop_the_credentials() -> None:
    seen: dict[str, str | None] = {}

    async def storage(request: web.BaseRequest) -> web.Response:
        seen[request.path_qs] = request.headers.get("Authorization")
        return answer({"kept": True})

    async with serving(storage) as other:

        async def handler(request: web.BaseRequest) -> web.Response:
            seen[request.path_qs] = request.headers.get("Authorization")
            if request.path == "/start":
                return web.Response(status=307, headers={"Location": "/same?x=%2F"})
            return web.Response(status=302, headers={"Location": f"{other}/blob?sig=a%2Bb%3D&x=1"})

        async with serving(handler) as url, client() as http:
            got = await http.request("GET", f"{url}/start", headers={"Authorization": "Bearer t"})
    assert got.json() == {"kept": True}
    assert got.url.startswith(other)
    assert seen == {"/start": "Bearer t", "/same?x=%2F": "Bearer t", "/blob?sig=a%2Bb%3D&x=1": None}


async def test_redirects_in_circles_and_to_strange_places() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        if request.path == "/file":
            return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
        if request.method == "POST":
            return web.Response(status=307, headers={"Location": "/else"})
        return web.Response(status=301, headers={"Location": "/round"})

    async with serving(handler) as url, client() as http:
        for path in ("/round", "/file"):
            with pytest.raises(Unavailable) as caught:
                await http.request("GET", url + path)
            assert caught.value.code == "test.redirect"
        assert (await http.request("POST", url)).status == 307, "never sent to another place by itself"


async def test_no_redirect_from_https_to_http(tls_server: str) -> None:
    async with client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", f"{tls_server}/plain", verify=False)
    assert caught.value.code == "test.redirect"


@pytest.mark.parametrize(
    ("kind", "body", "html"),
    [
        ("text/html; charset=utf-8", b"", True),
        ("application/json", b"\n<!DOCTYPE html><title>Sign in</title>", True),
        ("application/json", b"<!-- x --><html>", True),
        ("application/json", b'{"a": "<html>"}', False),
        ("text/plain", b"<htmlx", False),
    ],
)
def test_web_pages_are_recognised(kind: str, body: bytes, html: bool) -> None:
    assert Response(200, {"content-type": kind}, body, "http://h/").is_html is html


async def test_connections_are_kept_and_headers_merged() -> None:
    ports: set[object] = set()

    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        reply = answer({})
        reply.headers.add("WWW-Authenticate", 'Basic realm="a"')
        reply.headers.add("WWW-Authenticate", 'Bearer realm="b"')
        return reply

    async with serving(handler) as url, client() as http:
        for _ in range(5):
            got = await http.request("GET", url)
        assert got.headers["www-authenticate"] == 'Basic realm="a", Bearer realm="b"'
    assert len(ports) == 1


async def test_a_proxy_is_not_asked_about_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)

    async def handler(request: web.BaseRequest) -> web.Response:
        return answer({})

    async with serving(handler) as url, client() as http:
        assert (await http.request("GET", url)).status == 200
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", "http://registry.example/")
    assert caught.value.code == "test.proxy"


async def test_a_proxy_is_used_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    async def proxy(request: web.BaseRequest) -> web.Response:
        seen.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return answer({})

    async with serving(proxy) as url, client() as http:
        monkeypatch.setenv("http_proxy", url.replace("http://", "http://user:pass@"))
        assert (await http.request("GET", "http://registry.example/v2/")).status == 200
    assert seen[0][0].startswith("http://registry.example")
    assert seen[0][1] == "Basic dXNlcjpwYXNz"


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST", "a.localhost"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example.com", "128.0.0.1", "10.0.0.1", "127.0.0.1.nip.io", "::2"]
)
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


def test_origins() -> None:
    assert same_origin("https://h/a", "https://H:443/b")
    assert not same_origin("https://h/", "http://h/")
    assert not same_origin("https://h/", "https://h:5000/")
    assert not same_origin("https://h/", "https://h.evil/")


def _three_sentences(error: Unavailable) -> None:
    for sentence in (error.what, error.why, error.now):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence.startswith(("127.", "localhost"))
