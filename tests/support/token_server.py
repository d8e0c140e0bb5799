"""A registry's token server: RS256 tokens for users, passwords and repositories that the test names.

In a test:      with TokenServer(directory) as tokens: tokens.realm, tokens.certificate
The key and each signature come from the openssl command: no crypto package is needed for one algorithm.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

ISSUER = "disinto-test"
SERVICE = "registry.test"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Policy:
    """Who may do what. `writers` may pull and push all, `readers` pull all, everybody pulls `public`."""

    passwords: dict[str, str] = field(default_factory=lambda: {"alice": "s3cret", "reader": "r3ad"})
    writers: set[str] = field(default_factory=lambda: {"alice"})
    readers: set[str] = field(default_factory=lambda: {"reader"})
    public: set[str] = field(default_factory=lambda: {"pub/agents"})
    lifetime: int = 300
    # 401 for an anonymous question about what is not public, as some registries do; else an empty grant
    strict: bool = False

    def granted(self, user: str, name: str, actions: list[str]) -> list[str]:
        may = {"pull"} if name in self.public or user in self.readers else set()
        if user in self.writers:
            may = {"pull", "push", "delete", "*"}
        return [action for action in actions if action in may]


class TokenServer:
    """The server in a thread; `grants` records (user, scope, actions granted)."""

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.grants: list[tuple[str, str, list[str]]] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._key = directory / "token-key.pem"
        self.certificate = directory / "token-cert.pem"
        if not self.certificate.exists():
            self._make_key()
        lines = self.certificate.read_text().split("-----")[2].split()
        self._chain = "".join(lines)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                status, answer = server.answer(self.path, self.headers.get("Authorization", ""))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/token"

    def _make_key(self) -> None:
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650"]
        argv += ["-subj", f"/CN={ISSUER}", "-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(argv, check=True, capture_output=True)

    def sign(self, claims: dict[str, object]) -> str:
        """The claims as a signed token."""
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._chain]}
        text = ".".join(_part(json.dumps(part).encode()) for part in (header, claims))
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self._key)],
            input=text.encode(),
            capture_output=True,
            check=True,
        )
        return f"{text}.{_part(done.stdout)}"

    def _user(self, authorization: str) -> str | None:
        """The name; "" for the anonymous, None for wrong credentials."""
        if not authorization.startswith("Basic "):
            return ""
        try:
            name, _, password = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name if self.policy.passwords.get(name) == password else None

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, object]]:
        denied: dict[str, object] = {"errors": [{"code": "DENIED", "message": "denied"}]}
        user = self._user(authorization)
        if user is None:
            return 401, denied
        query = parse_qs(urlsplit(path).query)
        access = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            granted = self.policy.granted(user, name, actions.split(","))
            self.grants.append((user, scope, granted))
            if granted:
                access.append({"type": kind, "name": name, "actions": granted})
            elif self.policy.strict and not user:
                return 401, denied
        now = int(time.time())
        token = self.sign(
            {
                "iss": ISSUER,
                "sub": user,
                "aud": query.get("service", [SERVICE])[0],
                "exp": now + self.policy.lifetime,
                "nbf": now - 10,
                "iat": now,
                "jti": f"{now}-{len(self.grants)}",
                "access": access,
            }
        )
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return 200, {
            "token": token,
            "access_token": token,
            "expires_in": self.policy.lifetime,
            "issued_at": issued,
        }

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)
