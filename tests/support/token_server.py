"""A registry's token server: RS256 tokens for users, passwords and repositories that the test names.

In a test:      with TokenServer(directory) as tokens: tokens.realm, tokens.certificate
The key and each signature come from the openssl command: no crypto package is needed for one algorithm.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.json_server import Answer, JsonServer

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


class TokenServer(JsonServer):
    """The server in a thread; `grants` records (user, scope, actions granted)."""

    def __init__(self, directory: Path, policy: Policy | None = None) -> None:
        super().__init__()
        self.policy = policy or Policy()
        self.grants: list[tuple[str, str, list[str]]] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._key = directory / "token-key.pem"
        self.certificate = directory / "token-cert.pem"
        if not self.certificate.exists():
            self._make_key()
        lines = self.certificate.read_text().split("-----")[2].split()
        self._chain = "".join(lines)

    @property
    def realm(self) -> str:
        return f"{self.url}/token"

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

    def answer(self, path: str, authorization: str) -> Answer:
        """A token for what may be had of what is asked for."""
        denied: dict[str, object] = {"errors": [{"code": "DENIED", "message": "denied"}]}
        user = self._user(authorization)
        if user is None:
            return 401, {}, denied
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
                return 401, {}, denied
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
        return (
            200,
            {},
            {
                "token": token,
                "access_token": token,
                "expires_in": self.policy.lifetime,
                "issued_at": issued,
            },
        )
