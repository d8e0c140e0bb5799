"""The one place that finds a credential by its name, and says where it came from.

In this order, and the first that has it wins: what was handed over for this command (standard input, typed in), the
environment, the system keyring, `secrets/<NAME>.enc` in the factory's directory. A value is in memory alone, as a
`Secret`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from disinto_tui.adapters import age, keyring, sops
from disinto_tui.adapters.instance import read_bytes
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.redact import SHORTEST, Secret

Source = Literal["handed over", "environment", "keyring", "file", "docker", "none"]
"""Where a credential was found; "docker" is Docker's own stored login, "none" is nowhere."""

_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_MOST_BYTES = 64 * 1024


def checked_name(name: str) -> str:
    """The name, or BadInput `credential.name` when it could not be one of a variable and of a file."""
    if _NAME.match(name):
        return name
    raise BadInput(
        "That is no name of a credential.",
        f"{name[:60]!a} is not made of letters, digits and underscores alone.",
        "Name it like GITHUB_TOKEN.",
        code="credential.name",
    )


def usable(name: str, text: str, where: str) -> Secret:
    """A value as it was found, without white space around it. Raises BadInput `credential.value`.

    It has to go into one line of a request: nothing with a line break or another control character can.
    """
    value = text.strip()
    why = ""
    if len(value) < SHORTEST:
        why = (
            "It is empty."
            if not value
            else f"It has fewer than {SHORTEST} characters, and could not be hidden."
        )
    elif any(char < " " or char == "\x7f" for char in value):
        why = "It has several lines, or control characters in it."
    if why:
        raise BadInput(
            f"{name} {where} cannot be used.",
            why,
            "Put the token there and nothing else, then try again.",
            code="credential.value",
        )
    return Secret(value)


@dataclass(frozen=True, slots=True)
class Held:
    """A credential that was found. `place` says where in words: "the environment", "secrets/X.enc (age)"."""

    name: str
    value: Secret
    source: Source
    place: str


@dataclass
class CredentialFinder:
    """Finds credentials for one command; asks each place once for each name.

    `directory` is the factory's; `given` is what was handed over (by name); `environment` defaults to this process's.
    With `only_given` nothing else is looked at: a run's own process, which has what its starter found.
    """

    directory: Path
    given: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    only_given: bool = False
    _found: dict[str, Held | None] = field(default_factory=dict, repr=False)
    _troubles: dict[str, list[DisintoError]] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)
    _no_keyring: DisintoError | None = None
    _keyring: asyncio.Lock | None = None

    async def find(self, name: str) -> Held | None:
        """The credential of that name, None when no place has it; `troubles` then says which could not be asked.

        Raises BadInput `credential.name`; `credential.value` for what was handed over.
        """
        checked_name(name)
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._found:
                self._troubles[name] = []
                self._found[name] = await self._look(name)
        return self._found[name]

    def seen(self, name: str) -> Held | None:
        """What `find` found before; None also when it was not asked yet."""
        return self._found.get(name)

    def troubles(self, name: str) -> tuple[DisintoError, ...]:
        """Why a place that may have it, or has it, gave nothing; empty before `find`."""
        return tuple(self._troubles.get(name, ()))

    def unusable(self, name: str) -> DisintoError | None:
        """The trouble with a place that certainly has it: a locked keyring, a file that cannot be decrypted."""
        absent = ("keyring.missing", "keyring.none", "keyring.timeout")
        return next((error for error in self.troubles(name) if error.code not in absent), None)

    async def _look(self, name: str) -> Held | None:
        if name in self.given:
            given = self.given[name]
            text = given.reveal() if isinstance(given, Secret) else given
            where = "as it was handed over"
            return Held(name, usable(name, text, where), "handed over", "handed over for this command")
        if self.only_given:
            return None
        value = (os.environ if self.environment is None else self.environment).get(name, "")
        try:
            if value.strip():
                secret = usable(name, value, "in the environment")
                return Held(name, secret, "environment", "the environment")
            return await self._in_keyring(name) or await self._in_file(name)
        except DisintoError as error:
            self._troubles[name].append(error)
            return None

    async def _in_keyring(self, name: str) -> Held | None:
        # One at a time: where there is no keyring, or none that answers, that is found out once.
        self._keyring = self._keyring or asyncio.Lock()
        async with self._keyring:
            if self._no_keyring is not None:
                self._troubles[name].append(self._no_keyring)
                return None
            try:
                value = await keyring.lookup(name)
            except Unavailable as error:
                if error.code != "keyring.locked":
                    self._no_keyring = error
                self._troubles[name].append(error)
                return None
        if value is None:
            return None
        return Held(name, usable(name, value.reveal(), "in the keyring"), "keyring", "the keyring")

    async def _in_file(self, name: str) -> Held | None:
        path = self.directory / "secrets" / f"{name}.enc"
        data = read_bytes(path)
        if data is None:
            return None
        text, program = await _opened(path, data, name)
        place = f"secrets/{path.name}"
        return Held(name, usable(name, text, f"in {place}"), "file", f"{place} ({program})")


async def _opened(path: Path, data: bytes, name: str) -> tuple[str, str]:
    """The value in an encrypted file, and which program opened it."""
    if len(data) > _MOST_BYTES:
        raise _no_secret(path, f"It holds {len(data)} bytes.")
    if age.is_age(data):
        return _decoded(path, await age.decrypt(path)), "age"
    if b"sops_mac=" in data:
        lines = _decoded(path, await sops.decrypt(path, sops.DOTENV)).splitlines()
        values = [line.partition("=")[2] for line in lines if line.partition("=")[0] == name]
        if not values:
            raise _no_secret(path, f"There is no line {name}=… in it.")
        return values[0], "sops"
    if data.lstrip().startswith(b"{") and b'"sops"' in data:
        return _decoded(path, await sops.decrypt(path, sops.BINARY)), "sops"
    raise _no_secret(path, "It is neither age's nor sops's: perhaps it is not encrypted at all.")


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _no_secret(path, "What is in it is no text.") from None


def _no_secret(path: Path, why: str) -> BadInput:
    return BadInput(
        f"secrets/{path.name} holds no credential.",
        why,
        f"Encrypt the token alone: `age -r RECIPIENT -o {path.name}`, the token on its standard input.",
        code="credential.file",
    )
