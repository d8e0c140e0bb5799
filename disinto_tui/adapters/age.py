"""age: one encrypted file opened into memory; the clear text is on no disk at any time.

The identities are those that sops knows: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, ~/.config/sops/age/keys.txt. A key that is in
the environment reaches age as a file in memory.
"""

from __future__ import annotations

import os
from pathlib import Path

from disinto_tui.adapters.host import home
from disinto_tui.adapters.process import PRIVATE_FILE, Command, run
from disinto_tui.core.errors import BadInput, DisintoError, Refused, Unavailable

INTROS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
"""How a file of age begins, in binary and in text form (age-encryption.org/v1)."""
_SECONDS = 20.0


def is_age(data: bytes) -> bool:
    """Whether a file's bytes are age's."""
    return data.lstrip().startswith(INTROS)


def identity_files() -> list[Path]:
    """The key files that are there, in the order in which they are tried."""
    named = os.environ.get("SOPS_AGE_KEY_FILE")
    config = os.environ.get("XDG_CONFIG_HOME")
    standard = (Path(config) if config else home() / ".config") / "sops/age/keys.txt"
    return [path for path in ([Path(named)] if named else [standard]) if path.is_file()]


def decrypt_command(path: Path) -> Command:
    """age prints the clear text on its standard output, a pipe to us. It never asks: it has no terminal."""
    keys = os.environ.get("SOPS_AGE_KEY", "")
    named = [str(file) for file in identity_files()] + ([PRIVATE_FILE] if keys else [])
    argv = ["age", "--decrypt"]
    for name in named:
        argv += ["--identity", name]
    private = (keys + "\n").encode() if keys else None
    return Command((*argv, "--", str(path)), writes=False, timeout=_SECONDS, private=private)


async def decrypt(path: Path) -> bytes:
    """The clear text of a file that is age's.

    Raises Unavailable `age.missing`, `age.key` (no key here fits, or there is none), `age.timeout`; Refused
    `age.damaged`; BadInput `age.identity` (a key file that is none).
    """
    command = decrypt_command(path)
    if "--identity" not in command.argv:
        # A named key file stands in for the usual one (sops does the same), also when it is not there.
        named = os.environ.get("SOPS_AGE_KEY_FILE")
        usual = "There is no key: neither in ~/.config/sops/age/keys.txt nor named."
        raise _no_key(path, f"SOPS_AGE_KEY_FILE names {named}, which is no file." if named else usual)
    try:
        result = await run(command, raw=True)
    except Unavailable as error:
        if error.code == "process.missing":
            raise Unavailable(
                f"{path.name} is encrypted, and age is not installed.",
                "There is no program `age` on the PATH of this user, and nothing else can read it.",
                "Install age (`apt-get install age`), then try again.",
                code="age.missing",
            ) from None
        raise Unavailable(
            f"age did not answer about {path.name}.",
            f"It was given {_SECONDS:g} s.",
            f"Try `age --decrypt` on {path} by hand, then try again.",
            code="age.timeout",
        ) from None
    if not result.ok:
        # age's own words name keys and files, and quote nothing of what is encrypted.
        raise failure(path, result.stderr)
    return result.raw


def failure(path: Path, text: str) -> DisintoError:
    """The error for an age that ended with something else than 0 (shapes of 1.1.1, observed)."""
    said = [line for line in text.splitlines() if line.strip() and "unhelpful errors" not in line][-4:]
    if "no identity matched" in text:
        return _no_key(path, "No key here fits: it was encrypted for another one.", said)
    if "unknown identity type" in text or "malformed" in text or "failed to open file" in text:
        return BadInput(
            f"{path.name} cannot be decrypted.",
            "A key file of age cannot be read.",
            "Mend the file named by SOPS_AGE_KEY_FILE, or ~/.config/sops/age/keys.txt, then try again.",
            code="age.identity",
            details=said,
        )
    return Refused(
        f"{path.name} is damaged.",
        "It is no whole file of age, or was changed after it was encrypted.",
        "Take it back from your version control, or encrypt the value anew.",
        code="age.damaged",
        details=said,
    )


def _no_key(path: Path, why: str, details: list[str] | None = None) -> Unavailable:
    return Unavailable(
        f"{path.name} cannot be decrypted.",
        why,
        "Put the age key into ~/.config/sops/age/keys.txt, or name it in SOPS_AGE_KEY_FILE, then try again.",
        code="age.key",
        details=details or [],
    )
