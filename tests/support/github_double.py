"""What GitHub's API says about tokens: `GET /user` with its headers, and 401 for a token it does not know.

Shapes and headers as GitHub documents them; the base URL goes into GITHUB_API_URL.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass
class Token:
    """One token. `scopes` is None for other kinds than classic ones, `expires` unix seconds or None for never;
    `status` is what `/user` answers (403 to the token of an app)."""

    login: str = "octo-releaser"
    scopes: str | None = "repo, write:packages"
    expires: float | None = None
    status: int = 200


@dataclass
class GitHubDouble:
    """`tokens` by value; `down` makes every answer a 503; `asked` counts requests."""

    tokens: dict[str, Token] = field(default_factory=dict)
    down: bool = False
    asked: int = 0

    def __post_init__(self) -> None:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                status, headers, data = double.answer(self.path, self.headers.get("Authorization", ""))
                body = json.dumps(data).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, str], dict[str, str]]:
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

    def __enter__(self) -> GitHubDouble:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)
