"""The forge's REST API (Forgejo 11, `/api/v1`): who we are, what is there, and plain calls for the rest.

The token travels in the Authorization header alone, never in a URL, and only to the forge's own address.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from disinto_tui.adapters.http import HttpClient, Policy, Response, same_origin
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable
from disinto_tui.core.redact import Redactor, Secret

PAGE = 50
"""The most entries Forgejo gives per page."""
_MAX_PAGES = 200
_SLUG = re.compile(r"\A[A-Za-z0-9._-]+/[A-Za-z0-9._-]+\Z")


@dataclass(frozen=True, slots=True)
class ForgeUser:
    """Whose token it is. `email` may be empty: the user can hide it."""

    login: str
    id: int
    email: str
    is_admin: bool


@dataclass(frozen=True, slots=True)
class ForgeRepo:
    """A repository as the token sees it; `admin`, `push`, `pull` are its rights there."""

    full_name: str
    default_branch: str
    private: bool
    empty: bool
    archived: bool
    admin: bool
    push: bool
    pull: bool


class ForgeClient:
    """A forge, as an async context manager.

    `base_url` is what the operator calls the forge's address (`http://localhost:3000`, also with a path).
    Raises BadInput `forge.url` when that is no http or https URL, or holds credentials.

    Every call raises Unavailable `forge.dns|refused|route|tls|proxy|timeout|broken|too-large|redirect` when
    no answer comes and `forge.failing` for a 5xx; BadInput `forge.url` when what answers is not a Forgejo.
    """

    def __init__(self, base_url: str, token: Secret | None = None, *, policy: Policy | None = None) -> None:
        self.base_url = base_url.strip().rstrip("/")
        parts = _parts(self.base_url)
        if parts is None:
            raise BadInput(
                "The forge's address cannot be used.",
                "It is not an http or https URL of a host, without a login in it.",
                "Give it like http://localhost:3000.",
                code="forge.url",
            )
        self.host = parts
        self._api = f"{self.base_url}/api/v1"
        self._token = token
        self._redactor = Redactor([token] if token else [])
        self._http = HttpClient(area="forge", peer="The forge", policy=policy)

    def address(self, path: str) -> str:
        """The URL that a path of the API stands for."""
        return f"{self._api}{path}"

    async def __aenter__(self) -> ForgeClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.close()

    # -- who and what ------------------------------------------------------------------------------------

    async def version(self) -> str | None:
        """The forge's version (`11.0.3+gitea-1.22.0`); None when it is alive but tells only users (401 or
        403 under REQUIRE_SIGNIN_VIEW, from Forgejo's source)."""
        answer = await self.call("GET", "/version")
        if answer.status in {401, 403} and not answer.is_html:
            return None
        data = self._data(answer)
        version = data.get("version") if isinstance(data, dict) else None
        if not isinstance(version, str):
            raise self._not_a_forge("It answers, but names no version.")
        return version

    async def whoami(self) -> ForgeUser:
        """Whose token it is. Raises BadInput `forge.token` when the forge does not accept the token,
        `forge.scope` when the token may not even say whose it is."""
        data = self._data(await self.call("GET", "/user"))
        login = data.get("login") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(login, str) or not login:
            raise self._not_a_forge("It answers, but does not say whose token it is.")
        number, email = data.get("id"), data.get("email")
        return ForgeUser(
            login=login,
            id=number if isinstance(number, int) else 0,
            email=email if isinstance(email, str) else "",
            is_admin=data.get("is_admin") is True,
        )

    async def scopes(self, login: str) -> tuple[str, ...] | None:
        """What this token of `login` may do, from the list of that user's tokens, where it is told from the others by
        its last eight characters; None when it may not see the list, or is not in it.

        The list is asked for with the token, and where that will not do with the token in the place of the password.
        """
        if self._token is None:
            return None
        last = self._token.reveal().strip()[-8:]
        path = f"/users/{quoted(login)}/tokens"
        answer = await self.call("GET", path, query={"limit": PAGE})
        if answer.status in {401, 403} and not answer.is_html:
            answer = await self.call("GET", path, query={"limit": PAGE}, basic=login)
        if answer.status in {401, 403, 404}:
            return None
        listed = self._data(answer)
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict) and item.get("token_last_eight") == last:
                return tuple(str(scope) for scope in item.get("scopes") or ())
        return None

    async def repo(self, slug: str) -> ForgeRepo | None:
        """A repository `owner/name`; None when there is none, or none this token may see (both are 404).

        Raises BadInput `forge.slug` for a text that is not owner/name, `forge.token`.
        """
        data = await self.get_or_none(repo_path(slug))
        if data is None:
            return None
        if not isinstance(data, dict) or not isinstance(data.get("full_name"), str):
            raise self._not_a_forge(f"Its answer about {slug} is not a repository.")
        rights = data.get("permissions")
        rights = rights if isinstance(rights, dict) else {}
        branch = data.get("default_branch")
        return ForgeRepo(
            full_name=data["full_name"],
            default_branch=branch if isinstance(branch, str) else "",
            private=data.get("private") is True,
            empty=data.get("empty") is True,
            archived=data.get("archived") is True,
            admin=rights.get("admin") is True,
            push=rights.get("push") is True,
            pull=rights.get("pull") is True,
        )

    # -- plain calls -------------------------------------------------------------------------------------

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """GET `/api/v1` + path as JSON; raises what `answer_of` says."""
        return self._data(await self.call("GET", path, query=query))

    async def get_or_none(self, path: str, query: Mapping[str, str | int] | None = None) -> Any | None:
        """`get`, with None for a 404 of the API."""
        answer = await self.call("GET", path, query=query)
        return None if answer.status == 404 and not answer.is_html else self._data(answer)

    async def get_all(self, path: str, query: Mapping[str, str | int] | None = None) -> list[Any]:
        """All pages of a list: 50 entries each until X-Total-Count are there, or a page is not full."""
        found: list[Any] = []
        for page in range(1, _MAX_PAGES + 1):
            answer = await self.call("GET", path, query={**(query or {}), "limit": PAGE, "page": page})
            data = self._data(answer)
            if not isinstance(data, list):
                raise self._not_a_forge("It answers with something else where a list is due.")
            found += data
            total = answer.headers.get("x-total-count", "")
            done = len(found) >= int(total) if total.isdecimal() else len(data) < PAGE
            if done or not data:
                return found
        return found

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST JSON; the answer's JSON, or None when it has no body. Not repeated when the connection breaks:
        the forge may have acted already."""
        return self._data(await self.call("POST", path, body=body))

    async def put(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """PUT JSON, like `post`."""
        return self._data(await self.call("PUT", path, body=body))

    async def patch(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """PATCH JSON, like `post`."""
        return self._data(await self.call("PATCH", path, body=body))

    async def delete(self, path: str) -> bool:
        """DELETE; False when there was nothing (404)."""
        answer = await self.call("DELETE", path, retry=False)
        if answer.status == 404 and not answer.is_html:
            return False
        self._data(answer)
        return True

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        retry: bool | None = None,
        basic: str = "",
    ) -> Response:
        """One call of the API; any status is an answer. `path` begins with a slash and is quoted already
        (`repo_path`, `quoted`). `basic` is the user whose password the token stands for, where a forge wants one."""
        headers = {"Accept": "application/json"}
        if self._token and basic:
            pair = f"{basic}:{self._token.reveal().strip()}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        elif self._token:
            headers["Authorization"] = f"token {self._token.reveal().strip()}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = await self._http.request(
            method,
            f"{self._api}{path}" + (f"?{urlencode(query)}" if query else ""),
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            max_bytes=16 << 20,
            retry=retry if method != "PUT" else False,
        )
        location = answer.headers.get("location", answer.url)
        if 300 <= answer.status < 400 or not same_origin(answer.url, self._api):
            other = urlsplit(location)
            raise self._not_a_forge(f"It redirects to {other.scheme}://{other.netloc}.")
        return answer

    # -- answers -----------------------------------------------------------------------------------------

    def _data(self, answer: Response) -> Any:
        """The JSON of a good answer; a bad one as an error in words."""
        if answer.status >= 400:
            raise self.error_of(answer)
        if not answer.body.strip():
            return None
        try:
            return answer.json()
        except ValueError:
            page = "a web page" if answer.is_html else "something that is not JSON"
            raise self._not_a_forge(f"It answers with {page} instead of data.") from None

    def error_of(self, answer: Response) -> DisintoError:
        """A status of 400 or more in words.

        401: BadInput `forge.token`. 403: BadInput `forge.scope` when the token lacks a scope, else
        Unavailable `forge.forbidden`. 404: BadInput `forge.missing`, or `forge.url` when it is not the API's.
        409: Failed `forge.conflict`. 429: Unavailable `forge.busy`. 5xx: Unavailable `forge.failing`. Others:
        Failed `forge.answer`. The forge's own words are the details.
        """
        said = self._words(answer)
        details = [said] if said else []
        name = f"The forge {self.host}"
        if answer.status >= 500:
            return Unavailable(
                f"{name} is not working.",
                f"It answered with HTTP {answer.status}.",
                "Look at its log; when it works again, try again.",
                code="forge.failing",
                details=details,
            )
        if answer.status == 429:
            return Unavailable(
                f"{name} says there were too many requests.",
                "It still said so after waiting.",
                "Try again in a few minutes.",
                code="forge.busy",
                details=details,
            )
        if answer.is_html or (answer.status == 404 and not said):
            return self._not_a_forge("Its API is not there.")
        if answer.status == 401 or (answer.status == 403 and "scope" in said.lower()):
            return self._bad_token(answer.status, details)
        if answer.status == 403:
            return Unavailable(
                f"{name} does not allow that.",
                "The token's user has no right to it.",
                "Give that user the right, or use the token of one who has it.",
                code="forge.forbidden",
                details=details,
            )
        if answer.status == 404:
            return BadInput(
                f"{name} does not have that.",
                "It does not exist, or the token's user may not see it.",
                "Check the name and the user's rights.",
                code="forge.missing",
                details=details,
            )
        conflict = answer.status == 409
        return Failed(
            f"{name} refused that.",
            "It conflicts with what is there." if conflict else f"It answered with HTTP {answer.status}.",
            "Read what it says, mend that, then try again.",
            code="forge.conflict" if conflict else "forge.answer",
            details=details,
        )

    def _bad_token(self, status: int, details: list[str]) -> BadInput:
        page = f"{self.base_url}/user/settings/applications"
        if self._token is None:
            what, why = f"The forge {self.host} wants a token.", "None was given."
        elif status == 401:
            what = f"The forge {self.host} does not accept the token."
            why = "It is mistyped, revoked, expired, or of another forge."
        else:
            what = f"The token for the forge {self.host} may not do that."
            why = "It lacks a scope."
        code = "forge.scope" if status == 403 else "forge.token"
        return BadInput(what, why, f"Make a new one at {page} and give that.", code=code, details=details)

    def _not_a_forge(self, why: str) -> BadInput:
        return BadInput(
            f"There is no Forgejo at {self.base_url}.",
            why,
            "Check the forge's address, with its path if it has one.",
            code="forge.url",
        )

    def _words(self, answer: Response) -> str:
        """The forge's message on one line, without the token should it echo it."""
        try:
            data = answer.json() if answer.body else None
        except ValueError:
            return ""
        message = data.get("message") if isinstance(data, dict) else None
        if not isinstance(message, str):
            return ""
        line = "".join(char if char.isprintable() else " " for char in self._redactor.redact(message))
        return line if len(line) <= 300 else line[:299] + "…"


def quoted(part: str) -> str:
    """One component of an API path: a branch or tag name with its slashes quoted."""
    return quote(part, safe="")


def repo_path(slug: str) -> str:
    """`/repos/owner/name`. Raises BadInput `forge.slug` when the text is not owner/name."""
    owner, _, name = slug.partition("/")
    if not _SLUG.match(slug) or {owner, name} & {".", ".."}:
        raise BadInput(
            f"{slug[:100]!a} is not a repository.",
            "A repository is written owner/name.",
            "Correct it and try again.",
            code="forge.slug",
        )
    return f"/repos/{slug}"


def _parts(url: str) -> str | None:
    """host[:port] of a usable base URL, else None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    sound = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and port != 0
    sound = sound and not parts.query and not parts.fragment and url.isprintable() and " " not in url
    return parts.netloc if sound else None
