"""The one HTTP client: keep-alive, bounded, patient, and careful with credentials.

Every request of this program goes through `HttpClient.request`: at most 16 at a time per host (2 once the
host has answered 429), retries for what passes by itself, one deadline over everything, answers capped in
size, redirects followed by hand so that credentials never reach another host. aiohttp is imported only when
a request is made: it costs a quarter of a second and upwards.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import random
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from disinto_tui import __version__
from disinto_tui.adapters.http_errors import connection_trouble, timeout_trouble, unavailable
from disinto_tui.adapters.tape import note_request
from disinto_tui.core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    import asyncio

    import aiohttp

RETRY_FLOOR = 0.1
RETRY_CAP = 30.0
"""Seconds: the least and the most a Retry-After is obeyed."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_PASSING = frozenset({500, 502, 503, 504})
_DEFAULT_MAX_BYTES = 4 << 20
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_RETRY_TEXT = re.compile(rb"retry-after:\s*([0-9][0-9a-z.\xb5\xc2\xce\xbc]*)", re.IGNORECASE)
_HTML = re.compile(
    rb"\A\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. `headers` has lower-case keys (repeated headers are joined with ", ");
    `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def is_html(self) -> bool:
        """A web page where data was asked for: a login page, a proxy's notice, the wrong address."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind in {"text/html", "application/xhtml+xml"} or bool(_HTML.match(self.body[:2048]))

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not (also for an HTML page)."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the client is. Times in seconds."""

    deadline: float = 60.0
    """Over everything one request does: waiting for a place, retries, redirects, the body."""
    connect: float = 10.0
    read: float = 20.0
    """The longest silence of the other side."""
    attempts: int = 4
    """Tries of one request when connections break or the server fails."""
    patience: int = 12
    """Tries of one request when the server says 429."""
    backoff: float = 0.25
    """The first wait; doubled each time, with jitter."""
    wide: int = 16
    narrow: int = 2
    """Requests in flight per host: normally, and after a 429."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One request to one host; `until` is loop time."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    until: float
    retry: bool
    verify: bool


class _Gate:
    """Lets so many requests at a time through to one host, and none before a time it asked for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.active = 0
        self.not_before = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def passing(self, until: float) -> AsyncIterator[None]:
        """A place, given back at the end. `until` is loop time; raises asyncio.TimeoutError after it."""
        await self._enter(until)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, until: float) -> None:
        import asyncio

        if self.active < self.limit and not self._waiting:
            self.active += 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)

        def too_late() -> None:
            if not turn.done():
                turn.set_exception(asyncio.TimeoutError())

        alarm = loop.call_at(until, too_late)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()  # it was our turn already when we were cancelled
            raise
        finally:
            alarm.cancel()

    def _leave(self) -> None:
        self.active -= 1
        while self._waiting and self.active < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)


class HttpClient:
    """An async context manager holding one keep-alive session.

    `area` is the first word of error codes and `peer` the noun of error messages: with ("registry", "The
    registry") a refused connection raises Unavailable `registry.refused`, "The registry HOST did not
    answer. ...". `sleep` is for tests.
    """

    def __init__(
        self,
        *,
        area: str = "http",
        peer: str = "The server",
        policy: Policy | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.area = area
        self.peer = peer
        self.policy = policy or Policy()
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._gates: dict[str, _Gate] = {}

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. The client may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int = _DEFAULT_MAX_BYTES,
        deadline: float | None = None,
        retry: bool | None = None,
        verify: bool = True,
    ) -> Response:
        """Send a request and read the whole answer; any status is an answer.

        `retry` (default: for idempotent methods) allows repeating after a broken connection or a 5xx; a 429
        is always repeated, since such a request was not processed. Redirects of GET and HEAD are followed,
        without Authorization once scheme, host or port change, and never from https to http. `verify=False`
        accepts any TLS certificate of this host: only for those the engine lists as insecure.
        Raises Unavailable `<area>.dns|refused|route|tls|proxy|timeout|broken|too-large|redirect`, BadInput
        `<area>.url` for a URL that is none.
        """
        import asyncio

        self._check(url)
        note_request(method, url)
        until = asyncio.get_running_loop().time() + (deadline or self.policy.deadline)
        retry = method in _IDEMPOTENT if retry is None else retry
        sent = {"User-Agent": f"disinto/{__version__}", "Accept": "*/*", **(headers or {})}
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._patiently(_Call(method, url, sent, body, max_bytes, until, retry, verify))
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or method not in {"GET", "HEAD"} or not location:
                return answer
            before, (url, sent) = url, self._redirected(url, location, sent)
            verify = verify or not same_origin(before, url)
        raise Unavailable(
            f"{self._name(url)} sent this program in circles.",
            f"It redirected more than {_MAX_REDIRECTS} times.",
            "Check the address; the server or a proxy before it is set up wrongly.",
            code=f"{self.area}.redirect",
        )

    def narrow(self, url: str) -> bool:
        """Whether that URL's host has answered 429, so that only two requests at a time go to it."""
        gate = self._gates.get(urlsplit(url).netloc)
        return gate is not None and gate.limit == self.policy.narrow

    # -- inside ------------------------------------------------------------------------------------------

    def _name(self, url: str) -> str:
        return f"{self.peer} {urlsplit(url).netloc.rpartition('@')[2]}"

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise BadInput(
                "The address of a server cannot be used.",
                f"`{url.partition('?')[0][:200]!a}` is not an http or https URL.",
                "Correct it and try again.",
                code=f"{self.area}.url",
            )

    def _redirected(self, url: str, location: str, sent: dict[str, str]) -> tuple[str, dict[str, str]]:
        try:
            target = urljoin(url, location)
            self._check(target)
        except (ValueError, BadInput):
            target = ""
        if not target or (url.startswith("https:") and not target.startswith("https:")):
            raise Unavailable(
                f"{self._name(url)} redirected to an address that is not followed.",
                "It leads from https to plain http, or is no http address at all.",
                "Check the address; the server or a proxy before it is set up wrongly.",
                code=f"{self.area}.redirect",
            )
        if not same_origin(url, target):
            sent = {name: value for name, value in sent.items() if name.lower() != "authorization"}
        return target, sent

    async def _patiently(self, call: _Call) -> Response:
        """Try, wait and try again within the policy; the last answer or error counts."""
        import asyncio

        loop = asyncio.get_running_loop()
        policy = self.policy
        gate = self._gates.setdefault(urlsplit(call.url).netloc, _Gate(policy.wide))
        attempt = 0
        while True:
            attempt += 1
            try:
                async with gate.passing(call.until):
                    if (pause := gate.not_before - loop.time()) > 0:
                        await self._wait(min(pause, max(0.0, call.until - loop.time())))
                    answer = await self._once(call)
            except (BadInput, Unavailable):
                raise
            except Exception as error:
                trouble = connection_trouble(error, urlsplit(call.url).hostname or call.url)
                if trouble is None:
                    raise
                wait = self._backoff(attempt)
                last = attempt >= policy.attempts or loop.time() + wait >= call.until
                if last or not (call.retry and trouble.transient):
                    raise unavailable(self.area, self._name(call.url), trouble) from None
            else:
                asked = retry_after(answer)
                if answer.status == 429:
                    gate.limit = policy.narrow
                    gate.not_before = max(gate.not_before, loop.time() + (asked or 0.0))
                    again = attempt < policy.patience
                else:
                    again = answer.status in _PASSING and call.retry and attempt < policy.attempts
                wait = self._backoff(attempt) if asked is None else _jitter(asked, 1.0, 1.25)
                if not again or loop.time() + wait >= call.until:
                    return answer
            await self._wait(wait)

    def _backoff(self, attempt: int) -> float:
        return _jitter(self.policy.backoff * 2.0 ** (attempt - 1), 0.5, 1.0)

    async def _wait(self, seconds: float) -> None:
        import asyncio

        await (self._sleep or asyncio.sleep)(seconds)

    async def _once(self, call: _Call) -> Response:
        import asyncio

        import aiohttp

        left = call.until - asyncio.get_running_loop().time()
        if left <= 0:
            raise unavailable(self.area, self._name(call.url), timeout_trouble())
        timeout = aiohttp.ClientTimeout(
            total=left, sock_connect=self.policy.connect, sock_read=self.policy.read
        )
        proxy, login = _proxy_for(call.url)
        headers = dict(call.headers)
        if login and call.url.startswith("http:"):
            headers["Proxy-Authorization"] = login
        async with self._open().request(
            call.method,
            _as_given(call.url),
            headers=headers,
            data=call.body,
            allow_redirects=False,
            timeout=timeout,
            ssl=call.verify,
            proxy=proxy,
            proxy_headers={"Proxy-Authorization": login} if login else None,
        ) as answer:
            content = b"" if call.method == "HEAD" else await self._read(answer, call)
            merged: dict[str, str] = {}
            for name, value in answer.headers.items():
                key = name.lower()
                merged[key] = f"{merged[key]}, {value}" if key in merged else value
            return Response(answer.status, merged, content, call.url)

    async def _read(self, answer: aiohttp.ClientResponse, call: _Call) -> bytes:
        """The body, never more than `max_bytes` of it (counted after decompression)."""
        size, max_bytes = answer.content_length, call.max_bytes
        if size is not None and size <= max_bytes and "Content-Encoding" not in answer.headers:
            return await answer.read()
        content = bytearray()
        if size is None or size <= max_bytes:
            async for chunk in answer.content.iter_any():
                content += chunk
                if len(content) > max_bytes:
                    break
            else:
                return bytes(content)
        answer.close()
        raise Unavailable(
            f"{self._name(call.url)} sent too large an answer.",
            f"More than {max_bytes >> 10} KiB came where much less is expected.",
            "Check the address: this may be another kind of server.",
            code=f"{self.area}.too-large",
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=self.policy.wide, keepalive_timeout=30.0, ttl_dns_cache=300
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=1 << 15,
                max_field_size=1 << 15,
            )
        return self._session


def _as_given(url: str) -> Any:
    """The URL object of aiohttp, not quoted again: a signed address must arrive as it was signed."""
    from yarl import URL

    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)


def _proxy_for(url: str) -> tuple[Any, str]:
    """The proxy of HTTP_PROXY, HTTPS_PROXY and NO_PROXY for a URL (None: direct, always for this machine),
    and its Proxy-Authorization."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname or ""
    found = getproxies().get(parts.scheme)
    if not found or is_loopback(host) or proxy_bypass(host):
        return None, ""
    from yarl import URL

    proxy = URL(found if "://" in found else f"http://{found}")
    if proxy.user is None:
        return proxy, ""
    pair = f"{proxy.user}:{proxy.password or ''}"
    return proxy.with_user(None), "Basic " + base64.b64encode(pair.encode()).decode()


def _jitter(seconds: float, low: float, high: float) -> float:
    """So that many clients told to wait do not come back all at once."""
    return min(seconds * random.uniform(low, high), RETRY_CAP)  # noqa: S311 no secret depends on it


def is_loopback(host: str) -> bool:
    """Whether a host name (no port, no brackets needed) is this machine: 127.0.0.0/8, ::1, localhost."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port (default ports filled in)."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def retry_after(answer: Response) -> float | None:
    """Seconds an answer asks to wait, between RETRY_FLOOR and RETRY_CAP; None when it does not say.

    The header counts; GHCR says it in the error text instead (`retry-after: 10.3ms, allowed: 2000/minute`).
    A date is read against the server's own clock when it sends one, so a wrong clock here does not matter.
    """
    text = answer.headers.get("retry-after", "")
    if not text and answer.status in {429, 503}:
        found = _RETRY_TEXT.search(answer.body[:4096])
        text = found[1].decode("utf-8", "replace") if found else ""
    seconds = parse_retry_after(text, answer.headers.get("date", ""))
    return None if seconds is None else min(max(seconds, RETRY_FLOOR), RETRY_CAP)


def parse_retry_after(text: str, now: str = "") -> float | None:
    """Seconds meant by a Retry-After text, not clamped; None when it is unreadable.

    Read are plain seconds (`7`, `0.5`), Go durations (`10.3ms`, `1m30s`, `500µs`) and HTTP dates, the
    latter against `now`, itself an HTTP date (empty: this machine's clock).
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text and len(text) < 40:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    wanted = _http_date(text)
    if wanted is None:
        return None
    import time

    reference = _http_date(now)
    return max(0.0, wanted - (time.time() if reference is None else reference))


def _http_date(text: str) -> float | None:
    from email.utils import parsedate_tz

    try:
        parts = parsedate_tz(text) if text else None
        if parts is None:
            return None
        from email.utils import mktime_tz

        return mktime_tz(parts)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
