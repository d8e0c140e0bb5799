"""The logins Docker keeps: its config.json and its credential helpers, read as the CLI reads them.

Only read, never written: `docker login` is the one writer, and gets the secret on standard input.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from disinto_tui.adapters import process
from disinto_tui.adapters.process import Command
from disinto_tui.adapters.registry_auth import Credential
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.redact import Secret

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""The key Docker stores the Hub's login under, for history's sake."""
_HELPER_SECONDS = 15.0
_HELPER_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_HOST = re.compile(r"\A[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]*\Z")
_NOT_FOR_HELPERS = ("MIRROR_TOKEN_", "CODEBERG_TOKEN")
_TOKEN_USER = "<token>"  # noqa: S105 the name helpers give an identity token


@dataclass
class DockerConfig:
    """Docker's configuration as a `CredentialSource`. Make it with `load`.

    Per host, a helper in `credHelpers` is asked, else `credsStore`, else `auths` holds the login itself: the
    CLI's own order. A helper that is missing or fails means no login, as for the CLI, but `remark` says so.
    """

    path: Path
    auths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    _remarks: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path | None = None) -> DockerConfig:
        """Read `config.json` of a directory (default: $DOCKER_CONFIG, else ~/.docker). None there: no logins.

        Raises BadInput `docker.config` when it cannot be read or is not JSON.
        """
        if directory is None:
            given = os.environ.get("DOCKER_CONFIG")
            directory = Path(given) if given else Path.home() / ".docker"
        path = directory / "config.json"
        try:
            data = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return cls(path)
        except OSError as error:
            raise _unusable(path, f"It cannot be opened: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise _unusable(path, "It is not JSON.") from None
        if not isinstance(data, dict):
            raise _unusable(path, "It is not a JSON object.")
        auths, helpers, store = data.get("auths"), data.get("credHelpers"), data.get("credsStore")
        return cls(
            path,
            auths={k: v for k, v in auths.items() if isinstance(v, dict)} if isinstance(auths, dict) else {},
            helpers={k: v for k, v in helpers.items() if isinstance(v, str)}
            if isinstance(helpers, dict)
            else {},
            store=store if isinstance(store, str) else "",
        )

    async def credential(self, host: str) -> Credential | None:
        """The login for a registry host (`docker.io` for the Hub); None if there is none. Raises nothing."""
        key = HUB_KEY if host == HUB else host
        helper = self.helpers.get(key) or self.helpers.get(host) or self.store
        if helper:
            return await self._from_helper(helper, host, key)
        entry = self.auths.get(key)
        if entry is None:
            entry = next((self.auths[name] for name in self.auths if registry_of(name) == host), None)
        return None if entry is None else self._from_entry(host, entry)

    def remark(self, host: str) -> str:
        """Why a login that seems to be there could not be used, one sentence; empty when all is well."""
        return self._remarks.get(host, "")

    def _from_entry(self, host: str, entry: Mapping[str, Any]) -> Credential | None:
        user, secret = _text(entry.get("username")), _text(entry.get("password"))
        if encoded := _text(entry.get("auth")):
            try:
                # Docker pads its base64 and drops NULs that very old versions left at the end.
                plain = base64.b64decode(encoded, validate=True).decode().rstrip("\0")
            except (binascii.Error, UnicodeDecodeError):
                self._remarks[host] = f"The login for {host} in {self.path} is damaged."
                return None
            user, _, secret = plain.partition(":")
        if token := _text(entry.get("identitytoken")):
            return Credential(user, Secret(token), identity=True, origin=str(self.path))
        return Credential(user, Secret(secret), origin=str(self.path)) if secret else None

    async def _from_helper(self, helper: str, host: str, key: str) -> Credential | None:
        program = f"docker-credential-{helper}"
        if not _HELPER_NAME.match(helper):
            self._remarks[host] = f"{self.path} names a credential helper that cannot be one."
            return None
        try:
            result = await process.run(helper_command(helper, key))
        except DisintoError as error:
            missing = error.code == "process.missing"
            trouble = "is not installed" if missing else "did not answer"
            self._remarks[host] = f"The credential helper {program} named in {self.path} {trouble}."
            return None
        if not result.ok:
            if "not found" not in (result.stdout + result.stderr).lower():
                self._remarks[host] = f"The credential helper {program} failed ({result.returncode})."
            return None
        try:
            data = json.loads(result.stdout)
        except ValueError:
            data = None
        user, secret = (
            (_text(data.get("Username")), _text(data.get("Secret"))) if isinstance(data, dict) else ("", "")
        )
        if not secret:
            self._remarks[host] = f"The credential helper {program} gave no secret."
            return None
        return Credential(user, Secret(secret), identity=user == _TOKEN_USER, origin=program)


def helper_command(helper: str, key: str) -> Command:
    """Ask a credential helper for one registry. It gets our whole environment: pass, keyrings and cloud
    helpers need variables that other children must not see. Only what is for git servers is left out."""
    return Command(
        argv=(f"docker-credential-{helper}", "get"),
        writes=False,
        env={key: value for key, value in os.environ.items() if not key.startswith(_NOT_FOR_HELPERS)},
        stdin=key.encode(),
        timeout=_HELPER_SECONDS,
    )


def docker_login_command(host: str, user: str, secret: Secret | None = None) -> Command:
    """`docker login` with the secret on standard input, where no process list shows it.

    Without `secret` the caller sets `stdin`. Raises BadInput `registry.login` for a host or user that would
    be read as something else.
    """
    if not _HOST.match(host) or not user or any(not char.isprintable() for char in user):
        raise BadInput(
            "That login cannot be handed to Docker.",
            "The registry is not a host name, or the user name is empty or unprintable.",
            "Correct it and try again.",
            code="registry.login",
        )
    return Command(
        argv=("docker", "login", f"--username={user}", "--password-stdin", host),
        writes=True,
        stdin=None if secret is None else secret.reveal().encode(),
        timeout=60.0,
    )


def registry_of(key: str) -> str:
    """The registry a key of `auths` is about: scheme and path dropped, as in Docker; the Hub is docker.io."""
    host = urlsplit(key if "://" in key else f"//{key}").netloc
    return HUB if host in {"index.docker.io", "registry-1.docker.io", HUB} else host


def _unusable(path: Path, why: str) -> BadInput:
    return BadInput(
        f"Docker's configuration {path} cannot be used.",
        why,
        "Mend or remove that file, then try again.",
        code="docker.config",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
