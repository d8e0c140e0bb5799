"""What Woodpecker (v3) says about a token: whose it is, and when it ends."""

from __future__ import annotations

import base64
import json

from disinto_tui.adapters.http import HttpClient, Policy
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.core.redact import Secret

_PATIENCE = Policy(deadline=4.0, connect=2.0, read=3.0, attempts=1)


async def login_of(server: str, token: Secret) -> str:
    """Whose token it is. `server` is the address that a browser uses.

    Raises BadInput `woodpecker.token` for one that is not accepted, `woodpecker.url` when what answers is no
    Woodpecker (unknown paths get its web page, with 200), Unavailable `woodpecker.*` when nothing does.
    """
    base = server.rstrip("/")
    async with HttpClient(area="woodpecker", peer="Woodpecker", policy=_PATIENCE) as client:
        headers = {"Authorization": f"Bearer {token.reveal()}", "Accept": "application/json"}
        answer = await client.request("GET", f"{base}/api/user", headers=headers)
    if answer.status in (401, 403):
        raise BadInput(
            "Woodpecker does not accept it.",
            "It is revoked, or was that of a session, which ends after three days.",
            f"Make one at {base}/user (CLI and API), put it into .env, then `disinto up`.",
            code="woodpecker.token",
        )
    if answer.status >= 500:
        raise Unavailable(
            "Woodpecker is not working.",
            f"It answered with HTTP {answer.status}.",
            "Look at its log: `disinto logs woodpecker`.",
            code="woodpecker.failing",
        )
    try:
        data = answer.json()
    except ValueError:
        data = None
    login = data.get("login") if isinstance(data, dict) else None
    if answer.status != 200 or not isinstance(login, str) or not login:
        raise BadInput(
            f"There is no Woodpecker at {base}.",
            "What answers there does not say whose token it is.",
            "Check WOODPECKER_SERVER and WOODPECKER_HOST in .env.",
            code="woodpecker.url",
        )
    return login


def end_of(token: Secret) -> float | None:
    """When a token ends, unix seconds, as it says itself (a JSON Web Token's `exp`); None when it does not say."""
    parts = token.reveal().split(".")
    if len(parts) != 3:  # head, claims, signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    at = claims.get("exp") if isinstance(claims, dict) else None
    return float(at) if isinstance(at, (int, float)) and at > 0 else None
