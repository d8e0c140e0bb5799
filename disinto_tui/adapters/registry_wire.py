"""How a registry is reached: its address, our Authorization, and answers told from refusals."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from disinto_tui.adapters import registry_errors as errors
from disinto_tui.adapters.http import HttpClient, Policy, Response, is_loopback, same_origin
from disinto_tui.adapters.registry_auth import Authorizer, CredentialSource, DeniedError
from disinto_tui.core.errors import DisintoError, Unavailable
from disinto_tui.core.image import DEFAULT_REGISTRY

if TYPE_CHECKING:
    import asyncio

_HUB_API = "registry-1.docker.io"
_HTTPS_WANTED = re.compile(rb"(?i)http request (?:to an https|was sent to https)")


@dataclass(frozen=True, slots=True)
class _Question:
    """A request without its Authorization. `path` may be a whole URL of the registry's own."""

    method: str
    path: str
    scope: str
    accept: tuple[str, ...]
    max_bytes: int
    retry: bool | None


class Wire:
    """The connection of one registry client. Errors are those named at `RegistryClient`.

    No request is spent on finding out what the registry wants: the first real one tells. It goes alone, the
    others of that moment wait for it, so that sixteen do not all meet the same 401.
    """

    def __init__(
        self, host: str, credentials: CredentialSource, insecure_hosts: Collection[str], policy: Policy | None
    ) -> None:
        self.host = host
        self._credentials = credentials
        self._insecure = is_listed(host, insecure_hosts)
        self._http = HttpClient(area="registry", peer="The registry", policy=policy)
        self._settled = False
        self._auth = self._authorizer(self.bases()[0])
        self._settling: asyncio.Lock | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    def bases(self) -> list[str]:
        """Where the registry may be, likeliest first. https alone, unless plain http is allowed."""
        if self.host == DEFAULT_REGISTRY:
            return [f"https://{_HUB_API}"]
        if is_loopback(urlsplit(f"//{self.host}").hostname or ""):
            return [f"http://{self.host}", f"https://{self.host}"]
        if self._insecure:
            return [f"https://{self.host}", f"http://{self.host}"]
        return [f"https://{self.host}"]

    async def ping(self) -> str:
        """Ask `/v2/`: raises when no registry answers there, returns "", "basic" or "bearer"."""
        async with self._alone():
            await self._discover()
        return self._auth.scheme

    async def has_login(self) -> bool:
        """Whether a login for this registry was found."""
        return await self._auth.login() is not None

    async def send(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        accept: Iterable[str] = (),
        max_bytes: int = 1 << 20,
        retry: bool | None = None,
        auth: Authorizer | None = None,
    ) -> Response:
        """One request with our Authorization, renewed once when it is refused; any status is an answer.

        `auth` stands in for our own. Raises DeniedError when the token server refuses.
        """
        question = _Question(method, path, scope, tuple(accept), max_bytes, retry)
        if not self._settled:
            async with self._alone():
                if not self._settled:
                    answer = await self._first(question)
                    if answer is not None:
                        return answer
        return await self._ask(question, auth or self._auth)

    async def read(
        self,
        path: str,
        repository: str,
        *,
        method: str = "GET",
        accept: Iterable[str] = (),
        max_bytes: int = 1 << 20,
    ) -> Response:
        """Read something; the answer is a 200 or a 404, everything else is raised in words."""
        scope = f"repository:{repository}:pull"

        async def ask(auth: Authorizer | None = None) -> Response:
            return await self.send(method, path, scope, accept=accept, max_bytes=max_bytes, auth=auth)

        try:
            answer = await ask()
        except DeniedError as denial:
            answer, refused = denial.response, True
        else:
            ours = same_origin(answer.url, self._auth.base)
            if answer.status == 200 or (answer.status == 404 and ours):
                return answer
            refused = ours and answer.status in {401, 403}
        said = self._auth.redact(errors.words_of(answer))
        if not refused:
            raise errors.unexpected(self.host, answer, said)
        login = await self._auth.login()
        open_to_all = False
        if login is not None:
            with contextlib.suppress(DisintoError, DeniedError):
                open_to_all = (await ask(self._auth.without_login())).status == 200
        raise errors.denied(
            errors.Denial(
                self.host,
                repository,
                answer.status,
                with_login=login is not None,
                handed=login.handed if login is not None else "",
                open_to_all=open_to_all,
                basic=self._auth.scheme == "basic",
                remark=self._credentials.remark(self.host) if login is None else "",
                said=said,
            )
        )

    def own(self, url: str) -> str:
        """A URL the registry gave, on our way of reaching it; empty when it leads to another host.

        A registry behind a TLS proxy often names itself with http: only its path and query are used.
        """
        try:
            theirs, ours = urlsplit(url), urlsplit(self._auth.base)
            port = theirs.port
        except ValueError:
            return ""
        if theirs.hostname != ours.hostname or (port != ours.port and port not in {None, 80, 443}):
            return ""
        return f"{self._auth.base}{theirs.path}" + (f"?{theirs.query}" if theirs.query else "")

    # -- inside ------------------------------------------------------------------------------------------

    def _authorizer(self, base: str) -> Authorizer:
        return Authorizer(self.host, base, self._credentials, self._http, insecure=self._insecure)

    def _alone(self) -> asyncio.Lock:
        if self._settling is None:
            import asyncio

            self._settling = asyncio.Lock()
        return self._settling

    async def _first(self, question: _Question) -> Response | None:
        """Send the first request where the registry likeliest is; None when that was the wrong place and the
        right one is known now."""
        bases = self.bases()
        if len(bases) == 1 or bases[0].startswith("http:"):
            try:
                answer = await self._ask(question, self._auth)
            except DeniedError:
                self._settled = True
                raise
            except Unavailable as error:
                if len(bases) == 1 or error.code != "registry.broken":
                    raise
            else:
                if not (answer.status == 400 and _HTTPS_WANTED.search(answer.body)):
                    self._settled = True
                    return answer
        await self._discover()
        return None

    async def _discover(self) -> None:
        trouble: Unavailable | None = None
        for base in self.bases():
            try:
                answer = await self._http.request("GET", f"{base}/v2/", verify=not self._insecure)
            except Unavailable as error:
                trouble = trouble or error
                continue
            if answer.status == 400 and _HTTPS_WANTED.search(answer.body):
                trouble = trouble or errors.unexpected(self.host, answer)
                continue
            if answer.status not in {200, 401, 403} or (answer.status == 200 and answer.is_html):
                raise errors.unexpected(self.host, answer, errors.words_of(answer))
            if base != self._auth.base:
                self._auth = self._authorizer(base)
            if answer.status == 401:
                self._auth.learn(answer)
            self._settled = True
            return
        if trouble is not None:
            raise trouble

    async def _ask(self, question: _Question, auth: Authorizer) -> Response:
        async def once(authorization: str | None) -> Response:
            headers = {"Accept": ", ".join(question.accept) or "*/*"}
            if question.accept:  # digests and sizes are about the bytes themselves: no compression on the way
                headers["Accept-Encoding"] = "identity"
            if authorization:
                headers["Authorization"] = authorization
            whole = question.path.startswith("http")
            return await self._http.request(
                question.method,
                question.path if whole else auth.base + question.path,
                headers=headers,
                max_bytes=question.max_bytes,
                retry=question.retry,
                verify=not self._insecure,
            )

        used = await auth.header(question.scope)
        answer = await once(used)
        if answer.status == 401 and same_origin(answer.url, auth.base):
            better = await auth.again(answer, used, question.scope)
            if better is not None:
                answer = await once(better)
        return answer


def is_listed(host: str, listed: Collection[str]) -> bool:
    """Whether the engine lists that host as insecure: by name, or by a network its address is in."""
    if host in listed:
        return True
    name = (urlsplit(f"//{host}").hostname or "").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    for entry in listed:
        with contextlib.suppress(ValueError):
            if "/" in entry and address in ipaddress.ip_network(entry, strict=False):
                return True
    return False
