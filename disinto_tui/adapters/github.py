"""What GitHub says about a token: whose it is, what it may do, and when it expires.

GitHub answers every request with the expiry of the token it came with, in `GitHub-Authentication-Token-Expiration`, and
with the scopes of a classic one in `X-OAuth-Scopes`. One request, `GET /user`, tells all three.
"""

from __future__ import annotations

import os
import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from time import strptime
from urllib.parse import urlsplit

from disinto_tui.adapters.http import HttpClient, Policy, Response, is_loopback
from disinto_tui.core.errors import Refused, Unavailable
from disinto_tui.core.redact import Redactor, Secret

API = "https://api.github.com"
PUSH_SCOPE = "write:packages"
"""What a classic token needs to push to GHCR; no other kind of personal token can."""
_SHAPE = re.compile(r"\A(?:gh[pousr]_|github_pat_)")
_EXPIRES = re.compile(r"\A(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)\s*(?:UTC|Z|([+-])(\d\d):?(\d\d))\Z")
_PATIENCE = Policy(deadline=12.0, connect=5.0, read=8.0, attempts=2, patience=2)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """`login` is whose token it is ("" when GitHub does not say), `scopes` those of a classic token (None for other
    kinds), `expires` unix seconds (None: never). `valid` is False when GitHub does not know the token."""

    valid: bool
    login: str = ""
    scopes: frozenset[str] | None = None
    expires: float | None = None


def is_github_token(value: str) -> bool:
    """Whether a text has the shape of GitHub's tokens (their prefixes, since 2021)."""
    return bool(_SHAPE.match(value))


def is_fine_grained(value: str) -> bool:
    """Whether it is a fine-grained token, which GHCR does not take."""
    return value.startswith("github_pat_")


def is_github_host(host: str) -> bool:
    """Whether a registry or git host is GitHub's own."""
    name = host.partition(":")[0].lower()
    return name in ("ghcr.io", "github.com") or name.endswith((".github.com", ".ghe.com"))


def api_url(environment: Mapping[str, str] | None = None) -> str:
    """Where the API is: GITHUB_API_URL, as GitHub's own runners name it, else api.github.com.

    Raises Refused `github.api` for one that a token should not be sent to.
    """
    url = ((os.environ if environment is None else environment).get("GITHUB_API_URL") or API).rstrip("/")
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    ):
        return url
    raise Refused(
        "GitHub is not asked about the token.",
        "GITHUB_API_URL is no https address, and a token sent there could be read on the way.",
        "Unset it, or give it an https address.",
        code="github.api",
    )


async def token_facts(token: Secret, *, api: str = API) -> TokenFacts:
    """Ask GitHub about a token. Raises Unavailable `github.*` when it does not answer, or answers something else."""
    async with HttpClient(area="github", peer="GitHub", policy=_PATIENCE) as client:
        headers = {
            "Authorization": f"Bearer {token.reveal()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        answer = await client.request("GET", f"{api}/user", headers=headers)
    if answer.status == 401:
        return TokenFacts(False)
    # A token of an app is no user's and may not ask who it is: 403, and the expiry is told all the same.
    expires = parse_expiry(answer.headers.get("github-authentication-token-expiration", ""))
    if answer.status != 200 and not (answer.status == 403 and expires is not None):
        raise Unavailable(
            "GitHub did not say anything about the token.",
            f"It answered with HTTP {answer.status}: {Redactor([token]).redact(_words(answer))}.",
            "Try again later; the release does not depend on it.",
            code="github.answer",
        )
    listed = answer.headers.get("x-oauth-scopes")
    scopes = None if listed is None else frozenset(item.strip() for item in listed.split(",") if item.strip())
    return TokenFacts(True, _login(answer), scopes, expires)


def parse_expiry(text: str) -> float | None:
    """Unix seconds of `2026-12-01 10:00:00 UTC` or `2026-12-01 10:00:00 +0100`; None for anything else."""
    found = _EXPIRES.match(text.strip())
    if found is None:
        return None
    day, time, sign, hours, minutes = found.groups()
    try:
        at = timegm(strptime(f"{day} {time}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None
    offset = (int(hours) * 3600 + int(minutes) * 60) if sign else 0
    return float(at + offset if sign == "-" else at - offset)


def _login(answer: Response) -> str:
    try:
        data = answer.json()
    except ValueError:
        return ""
    name = data.get("login") if isinstance(data, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,100}", name) else ""


def _words(answer: Response) -> str:
    try:
        data = answer.json()
    except ValueError:
        return "no JSON"
    message = data.get("message") if isinstance(data, dict) else None
    return str(message)[:200].rstrip(".") if message else "it does not say why"
