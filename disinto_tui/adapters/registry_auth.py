"""Who we are to a registry: challenges, tokens, and where credentials may go.

The flow is the distribution specification's token authentication, as the engine does it: a 401 names a
realm; the realm gives a token for one scope; the token goes with each request until it is refused. What is
decided here and nowhere else: credentials go to the registry itself (basic), or to the realm it names if
that is https, or plain http on the very same host.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from disinto_tui.adapters.http import HttpClient, Response, is_loopback
from disinto_tui.adapters.tape import probing
from disinto_tui.core.errors import Refused, Unavailable
from disinto_tui.core.redact import Redactor, Secret

if TYPE_CHECKING:
    import asyncio

_DEFAULT_LIFETIME = 60.0
"""Seconds a token lives when the server does not say (distribution specification)."""
_CLIENT_ID = "disinto"
_TOKEN_BYTES = 1 << 20
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9+.-]*)(?=\s|,|$)(?!\s*=)")
_PARAMETER = re.compile(r"\s*,?\s*([A-Za-z0-9_.-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")


@dataclass(frozen=True, slots=True)
class Credential:
    """A login for one registry. `identity` marks an identity token (a refresh token of OAuth 2) instead of a
    password. `origin` is where Docker has it stored, "" for one that was handed over: `name` is what that one is
    called, in messages."""

    username: str
    secret: Secret
    identity: bool = False
    origin: str = ""
    name: str = ""

    @property
    def handed(self) -> str:
        """What one that was handed over is called; "" for one that Docker has stored."""
        return "" if self.origin else self.name or "the login that was handed over"


class CredentialSource(Protocol):
    """Where logins come from: Docker's configuration, the operator, nowhere."""

    async def credential(self, host: str) -> Credential | None:
        """The login for a registry (`ghcr.io`, `docker.io`, `127.0.0.1:5000`); None when there is none."""

    def remark(self, host: str) -> str:
        """One sentence on why there is none for that host, if there is something to say; else empty."""


class NoCredentials:
    """A source without any login."""

    async def credential(self, host: str) -> Credential | None:
        """None."""
        return None

    def remark(self, host: str) -> str:
        """Nothing to say."""
        return ""


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Logins held in memory, by registry host; `then` is asked for the other hosts."""

    by_host: Mapping[str, Credential]
    then: CredentialSource = field(default_factory=NoCredentials)

    async def credential(self, host: str) -> Credential | None:
        """The login for that host, or what `then` has."""
        return self.by_host.get(host) or await self.then.credential(host)

    def remark(self, host: str) -> str:
        """What `then` says."""
        return self.then.remark(host)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header: `scheme` lower-case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """A parameter, or an empty text."""
        return self.parameters.get(name, "")


def parse_challenges(header: str) -> list[Challenge]:
    """All challenges of a WWW-Authenticate header (RFC 9110 11.6.1); unreadable rests are dropped."""
    found: list[Challenge] = []
    at = 0
    while at < len(header) and (scheme := _SCHEME.match(header, at)):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, at):
            quoted, plain = parameter[2], parameter[3]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(parameter[1].lower(), value)
            at = parameter.end()
        found.append(Challenge(scheme[1].lower(), parameters))
    return found


class DeniedError(Exception):
    """The token server said no (`response`), with a login or without. Turned into words by the caller."""

    def __init__(self, response: Response, with_login: bool) -> None:
        super().__init__(response.status)
        self.response = response
        self.with_login = with_login


@dataclass(frozen=True, slots=True)
class _Token:
    value: Secret
    until: float


class Authorizer:
    """The Authorization header for requests to one registry.

    `host` is the registry's name as operators write it, `base` the URL it is reached at. `insecure`: the
    engine lists it as such, so any certificate of that host is accepted.
    """

    def __init__(
        self,
        host: str,
        base: str,
        credentials: CredentialSource,
        http: HttpClient,
        *,
        insecure: bool = False,
    ) -> None:
        self._host = host
        self.base = base
        self._credentials = credentials
        self._http = http
        self._insecure = insecure
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._login: Credential | None = None
        self._asked = False
        self._redactor = Redactor()

    @property
    def scheme(self) -> str:
        """What the registry wants: "" (nothing), "basic" or "bearer"."""
        return self._challenge.scheme if self._challenge else ""

    async def login(self) -> Credential | None:
        """The login in use; asked of the source once."""
        if not self._asked:
            self._login = await self._credentials.credential(self._host)
            self._asked = True
            if self._login is not None:
                self._redactor = self._redactor.with_secrets([self._login.secret])
        return self._login

    def redact(self, text: str) -> str:
        """Text of the other side without any secret of ours, should it echo one."""
        return self._redactor.redact(text)

    def without_login(self) -> Authorizer:
        """The same registry seen by nobody in particular; to tell a bad login from a private image."""
        other = Authorizer(self._host, self.base, NoCredentials(), self._http, insecure=self._insecure)
        other._challenge = self._challenge
        return other

    def learn(self, response: Response) -> Challenge | None:
        """Note the challenge of a 401; bearer is preferred. None when it has none that we can answer."""
        challenges = parse_challenges(response.headers.get("www-authenticate", ""))
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme and (scheme == "basic" or challenge.get("realm")):
                    self._challenge = challenge
                    return challenge
        return None

    async def header(self, scope: str) -> str | None:
        """The Authorization for a scope (`repository:NAME:pull`); None when the registry asks for none or we
        have none.

        Raises DeniedError when the token server refuses, Refused `registry.realm` when the realm would
        expose credentials, Unavailable when it does not answer.
        """
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            login = await self.login()
            return None if login is None else _basic(login)
        return f"Bearer {(await self._token(scope)).reveal()}"

    async def again(self, response: Response, used: str | None, scope: str) -> str | None:
        """A better Authorization after a 401 of the registry; None when there is none.

        A token that was refused is fetched anew; one that was granted less than needed is not.
        """
        challenge = self.learn(response)
        if challenge is None:
            return None
        if used and used.startswith("Bearer ") and challenge.scheme == "bearer":
            if challenge.get("error").lower() == "insufficient_scope":
                return None
            self._forget(scope, used.removeprefix("Bearer "))
        better = await self.header(scope)
        return better if better != used else None

    # -- inside ------------------------------------------------------------------------------------------

    def _key(self, scope: str) -> tuple[str, str, str]:
        challenge = self._challenge or Challenge("")
        return challenge.get("realm"), challenge.get("service"), scope

    def _forget(self, scope: str, value: str) -> None:
        """Drop a token, unless another request has replaced it already."""
        key = self._key(scope)
        held = self._tokens.get(key)
        if held is not None and held.value.reveal() == value:
            del self._tokens[key]

    async def _token(self, scope: str) -> Secret:
        import asyncio

        loop = asyncio.get_running_loop()
        key = self._key(scope)
        async with self._locks.setdefault(key, asyncio.Lock()):
            held = self._tokens.get(key)
            if held is None or held.until <= loop.time():
                value, lifetime = await self._fetch(scope)
                # A tenth less, so that it is not under way when it expires.
                held = _Token(value, loop.time() + lifetime - min(5.0, lifetime / 10))
                self._tokens[key] = held
                self._redactor = self._redactor.with_secrets([value])
            return held.value

    async def _fetch(self, scope: str) -> tuple[Secret, float]:
        realm, service, _ = self._key(scope)
        self._check_realm(realm)
        login = await self.login() if self._may_have_credentials(realm) else None
        if login is not None and login.identity:
            response = await self._exchange(realm, service, scope, login)
        else:
            response = await self._http.request(
                "GET",
                _with_query(realm, {"service": service, "scope": scope}),
                headers={"Accept": "application/json"}
                | ({"Authorization": _basic(login)} if login is not None else {}),
                max_bytes=_TOKEN_BYTES,
                verify=self._verified(realm),
            )
        if response.status in {400, 401, 403}:
            raise DeniedError(response, login is not None)
        if response.status != 200:
            raise self._no_token(realm, f"It answered with HTTP {response.status}.")
        return self._read(realm, response)

    async def _exchange(self, realm: str, service: str, scope: str, login: Credential) -> Response:
        """OAuth 2 refresh, what identity tokens are for (distribution specification, token/oauth)."""
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": _CLIENT_ID,
            "scope": scope,
            "refresh_token": login.secret.reveal(),
        }
        with probing():  # it asks for a token, as the GET of the others does
            return await self._http.request(
                "POST",
                realm,
                headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode({name: value for name, value in form.items() if value}).encode(),
                max_bytes=_TOKEN_BYTES,
                retry=True,
                verify=self._verified(realm),
            )

    def _read(self, realm: str, response: Response) -> tuple[Secret, float]:
        try:
            data = response.json()
        except ValueError:
            page = "a web page" if response.is_html else "something else"
            raise self._no_token(realm, f"It answered with {page} instead of a token.") from None
        data = data if isinstance(data, dict) else {}
        value = data.get("token") or data.get("access_token")
        # Into a header it goes: printable ASCII without blanks.
        if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
            raise self._no_token(realm, "Its answer holds no token.")
        lifetime = data.get("expires_in")
        if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or lifetime <= 0:
            lifetime = _DEFAULT_LIFETIME
        return Secret(value), min(float(lifetime), 86_400.0)

    def _no_token(self, realm: str, why: str) -> Unavailable:
        return Unavailable(
            f"The token server {urlsplit(realm).netloc} of {self._host} gave no token.",
            why,
            "Try again later; if it stays so, tell whoever runs that registry.",
            code="registry.token",
        )

    def _verified(self, realm: str) -> bool:
        return not (self._insecure and urlsplit(realm).hostname == urlsplit(self.base).hostname)

    def _check_realm(self, realm: str) -> None:
        parts, base = urlsplit(realm), urlsplit(self.base)
        if parts.scheme == "https" and parts.hostname:
            return
        plain_here = base.scheme == "http" and (
            is_loopback(base.hostname or "") or parts.hostname == base.hostname
        )
        if parts.scheme == "http" and parts.hostname and plain_here:
            return
        raise Refused(
            f"The registry {self._host} wants a token from an insecure place.",
            f"It names the realm {realm[:200]!a}, which is not https.",
            "Tell whoever runs the registry to serve tokens over https.",
            code="registry.realm",
        )

    def _may_have_credentials(self, realm: str) -> bool:
        """https, or plain http on the registry's own host (any name of this machine is one host)."""
        parts, base = urlsplit(realm), urlsplit(self.base)
        if parts.scheme == "https":
            return True
        theirs, ours = parts.hostname or "", base.hostname or ""
        return theirs == ours or (is_loopback(theirs) and is_loopback(ours))


def _basic(login: Credential) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.secret.reveal()}".encode()).decode()


def _with_query(url: str, query: Mapping[str, str]) -> str:
    """The URL with more query parameters; what the realm brings along stays."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True) + [item for item in query.items() if item[1]]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(pairs, safe="/:"), ""))
