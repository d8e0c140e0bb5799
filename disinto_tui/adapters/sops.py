"""What sops encrypted, read and changed in memory: `.env.enc`, and values in files of their own.

The clear text is on no disk at any time.
sops is a child process like any other. The variables that lead it to a key are handed to it and to no other child.
Of what it prints, nothing is passed on once it may have decrypted something: its errors can quote a value.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from disinto_tui.adapters.instance import Instance, disk_error, read_bytes, write_private
from disinto_tui.adapters.process import Command, Result, child_environment, run
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Refused, Unavailable

_KINDS = ("--input-type", "dotenv", "--output-type", "dotenv")
DOTENV, BINARY = "dotenv", "binary"
"""sops's stores: lines `NAME=value`, or one value as a whole (which it keeps as JSON with `data` and `sops`)."""
_KEY_PREFIXES = ("SOPS_", "AWS_", "GOOGLE_", "AZURE_", "VAULT_", "HUAWEICLOUD_")
_KEY_NAMES = ("GNUPGHOME", "GPG_TTY", "CLOUDSDK_CONFIG")
_SECONDS = 30.0
_FORGOTTEN_SECONDS = 600
_NO_KEY, _MAC_MISMATCH, _MAC_MISSING, _UNDECRYPTABLE = 128, 51, 52, (24, 25)
"""sops's exit codes (its cmd/sops/codes): no key fits; the MAC; a value or the MAC cannot be decrypted."""
_HAS_SET = (3, 9)
"""The version since which `sops set` is a command; before, it was an option."""
_NOT_ITS_FILE = ("metadata not found", "invalid dotenv input", "Error unmarshalling input json")


def _environment() -> dict[str, str]:
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _KEY_NAMES or name.startswith(_KEY_PREFIXES)
    }
    return child_environment(found)


def decrypt_command(path: Path, kind: str = DOTENV) -> Command:
    """sops prints the clear text on its standard output, a pipe to us."""
    argv = ("sops", "--decrypt", "--input-type", kind, "--output-type", kind, str(path))
    return Command(argv, writes=False, cwd=str(path.parent), env=_environment(), timeout=_SECONDS)


def version_command(directory: Path) -> Command:
    """Which sops it is, without its question to the network for a newer one."""
    argv = ("sops", "--disable-version-check", "--version")
    return Command(argv, writes=False, cwd=str(directory), env=_environment(), timeout=_SECONDS)


def set_command(path: Path, key: str, value: str, version: tuple[int, ...]) -> Command:
    """Change one value in a file of its own, as that version of sops is told to.

    The value is in the argv, where every process list shows it: only what is no secret may be given.
    """
    index, written = f"[{json.dumps(key)}]", json.dumps(value)
    if version >= _HAS_SET:
        argv: tuple[str, ...] = ("sops", "set", *_KINDS, str(path), index, written)
    else:
        argv = ("sops", *_KINDS, "--set", f"{index} {written}", str(path))
    return Command(argv, writes=True, cwd=str(path.parent), env=_environment(), timeout=_SECONDS)


async def decrypt(path: Path, kind: str = DOTENV) -> bytes:
    """The clear text of a sops file of a kind (`DOTENV`, `BINARY`).

    Raises Unavailable when sops is not installed or has no key that fits, Refused when the file was changed by
    something else than sops, BadInput when it is no sops file.
    """
    result = await _run(decrypt_command(path, kind), path, kind)
    if not result.ok:
        raise failure(result, path, kind)
    return result.raw


async def with_values(instance: Instance, path: Path, values: Mapping[str, str]) -> bytes:
    """What the encrypted file is with some values changed (added, when they are not there); the file itself stays.

    sops works on a copy under `.disinto/`, which is as encrypted as the file. Raises as `decrypt` does.
    """
    with _copy(instance, path.name, read_bytes(path) or b"") as copy:
        told = await _run(version_command(copy.parent), path)
        number = re.search(rb"sops (\d+)\.(\d+)", told.raw)
        version = (int(number[1]), int(number[2])) if number else (0,)
        for key, value in values.items():
            result = await _run(set_command(copy, key, value, version), path)
            if not result.ok:
                raise failure(result, path)
        return read_bytes(copy) or b""


async def opened(instance: Instance, data: bytes) -> bytes:
    """The clear text of encrypted bytes that lie in no file yet. Raises as `decrypt` does."""
    with _copy(instance, instance.sealed_env_file.name, data) as copy:
        return await decrypt(copy)


@contextlib.contextmanager
def _copy(instance: Instance, name: str, data: bytes) -> Iterator[Path]:
    """Encrypted bytes in a file of their own, for as long as sops works on it."""
    instance.ensure_private()
    for left in instance.private.glob("sops-*"):  # of a planning that was killed
        if time.time() - left.stat().st_mtime > _FORGOTTEN_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    try:
        directory = Path(tempfile.mkdtemp(prefix="sops-", dir=instance.private))
    except OSError as error:
        raise disk_error(instance.private / name, error) from None
    try:
        write_private(directory / name, data)
        yield directory / name
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _run(command: Command, path: Path, kind: str = DOTENV) -> Result:
    try:
        return await run(command, raw=True)
    except Unavailable as error:
        if error.code == "process.timeout":
            raise Unavailable(
                f"sops did not answer about {path.name}.",
                f"It was given {_SECONDS:g} s; it may wait for a key service, or for a passphrase.",
                f"Try `{_by_hand(kind, path)}` by hand, then try again.",
                code="sops.timeout",
            ) from None
        raise Unavailable(
            f"{path.name} is encrypted, and sops is not installed.",
            "There is no program `sops` on the PATH of this user, and nothing else can read it.",
            "Install sops (3.9 or newer is best), then try again.",
            code="sops.missing",
        ) from None


def _by_hand(kind: str, path: Path) -> str:
    return f"sops --decrypt --input-type {kind} --output-type {kind} {path.name}"


def failure(result: Result, path: Path, kind: str = DOTENV) -> DisintoError:
    """The error for a sops that ended with something else than 0."""
    code = result.returncode
    if code == _NO_KEY:
        # Nothing was decrypted: what it prints is which keys it tried.
        tried = [line for line in result.stderr.splitlines() if line.strip()][:12]
        return Unavailable(
            f"{path.name} cannot be decrypted.",
            "sops has no key that fits.",
            "Put the age key into ~/.config/sops/age/keys.txt, or name it in SOPS_AGE_KEY_FILE, then try again.",
            code="sops.key",
            details=tried,
        )
    if code in (_MAC_MISMATCH, _MAC_MISSING):
        return Refused(
            f"{path.name} was changed by something else than sops.",
            "Its contents do not match the code that sops left in it, so nobody can say what it should hold.",
            "Take it back from your version control, or look at it (`sops --ignore-mac`) and encrypt it anew.",
            code="sops.mac",
        )
    if code in _UNDECRYPTABLE:
        return Refused(
            f"{path.name} is damaged.",
            f"A value in it cannot be decrypted (sops ended with {code}).",
            "Take it back from your version control.",
            code="sops.damaged",
        )
    if any(words in result.stderr for words in _NOT_ITS_FILE):
        return BadInput(
            f"{path.name} cannot be read by sops.",
            f"It is no sops file of the kind {kind} (sops ended with {code}).",
            f"Encrypt it with `sops --encrypt --input-type {kind} --output-type {kind}`.",
            code="sops.file",
        )
    return Failed(
        f"sops could not work on {path.name}.",
        f"It ended with {code}.",
        f"Try `{_by_hand(kind, path)}` by hand: it says why.",
        code="sops.failed",
    )
