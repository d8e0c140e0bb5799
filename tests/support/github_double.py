"""What GitHub's API says about tokens: `GET /user` with its headers, and 401 for a token it does not know.

Shapes and headers as GitHub documents them; the base URL goes into GITHUB_API_URL.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.support.json_server import Answer, JsonServer


@dataclass
class Token:
    """One token. `scopes` is None for other kinds than classic ones, `expires` unix seconds or None for never;
    `status` is what `/user` answers (403 to the token of an app)."""

    login: str = "octo-releaser"
    scopes: str | None = "repo, write:packages"
    expires: float | None = None
    status: int = 200


class GitHubDouble(JsonServer):
    """`tokens` by value; `down` makes every answer a 503; `asked` counts requests."""

    def __init__(self, tokens: dict[str, Token] | None = None) -> None:
        super().__init__()
        self.tokens = {} if tokens is None else tokens
        self.down = False
        self.asked = 0

    def answer(self, path: str, authorization: str) -> Answer:
        """As GitHub answers."""
        self.asked += 1
        if self.down:
            return 503, {}, {"message": "Service unavailable"}
        token = self.tokens.get(authorization.removeprefix("Bearer "))
        if token is None:
            return 401, {}, {"message": "Bad credentials"}
        if path != "/user":
            return 404, {}, {"message": "Not Found"}
        headers = {}
        if token.scopes is not None:
            headers["X-OAuth-Scopes"] = token.scopes
        if token.expires is not None:
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(token.expires))
            headers["GitHub-Authentication-Token-Expiration"] = at
        if token.status != 200:
            return token.status, headers, {"message": "Resource not accessible by integration"}
        return 200, headers, {"login": token.login}
