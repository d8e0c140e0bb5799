"""The system keyring, asked through `secret-tool`: the Secret Service of GNOME, KDE, KeePassXC or pass.

`search` is what is asked and not `lookup`: it never opens a dialog, so a locked keyring is an answer at once instead of
a program that waits for somebody. Entries have the attributes that `keyring set disinto NAME` gives them, too.
"""

from __future__ import annotations

import os
import re

from disinto_tui.adapters.process import Command, child_environment, run
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.core.redact import Secret

SERVICE = "disinto"
_SECONDS = 10.0
_NEEDED = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY")
_HEAD = re.compile(r"\[[^\]]*\]|(?:label|created|modified|schema|attribute\.[^ ]+) = .*")


def search_command(name: str) -> Command:
    """Ask for one entry; the secret comes on standard output, a pipe to us."""
    found = {key: os.environ[key] for key in _NEEDED if key in os.environ}
    argv = ("secret-tool", "search", "service", SERVICE, "username", name)
    return Command(argv, writes=False, env=child_environment(found), timeout=_SECONDS)


def store_hint(name: str) -> str:
    """The command with which an operator puts a value there; it asks for it."""
    return f"secret-tool store --label='disinto {name}' service {SERVICE} username {name}"


async def lookup(name: str) -> Secret | None:
    """The value of an entry; None when the keyring answers and has none of that name.

    Raises Unavailable `keyring.missing` (no secret-tool), `keyring.none` (no keyring runs in this session),
    `keyring.locked`, `keyring.timeout`; BadInput `keyring.value` for a value of several lines.
    """
    try:
        result = await run(search_command(name))
    except Unavailable as error:
        if error.code == "process.missing":
            raise Unavailable(
                "The keyring cannot be asked.",
                "There is no program `secret-tool` on the PATH of this user.",
                "Install it (`apt-get install libsecret-tools`), or keep the credential elsewhere.",
                code="keyring.missing",
            ) from None
        raise Unavailable(
            "The keyring did not answer.",
            f"It was given {_SECONDS:g} s; it may be locked, or wait for somebody.",
            "Unlock it, or hand the credential over with --secret-stdin.",
            code="keyring.timeout",
        ) from None
    if "locked object" in result.stderr:
        raise Unavailable(
            f"The keyring is locked, and {name} is in it.",
            "A locked keyring shows what it holds and gives nothing of it.",
            f"Unlock it (`secret-tool lookup service {SERVICE} username {name} >/dev/null` asks), then try again.",
            code="keyring.locked",
        )
    found = _secret(result.stdout, name)
    if found is None and not result.stdout.strip() and "secret-tool:" in result.stderr:
        words = [line for line in result.stderr.splitlines() if line.startswith("secret-tool:")]
        raise Unavailable(
            "The keyring cannot be asked.",
            f"It says: {words[-1].removeprefix('secret-tool:').strip().rstrip('.')}.",
            "Log in to a desktop session that has one, or keep the credential elsewhere.",
            code="keyring.none",
        )
    return found


def _secret(text: str, name: str) -> Secret | None:
    """What stands behind `secret = ` in the answer."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("secret = "):
            if at + 1 < len(lines) and not _HEAD.match(lines[at + 1]):
                raise BadInput(
                    f"{name} in the keyring cannot be used.",
                    "Its value has more than one line.",
                    f"Store it again: `{store_hint(name)}` asks for it.",
                    code="keyring.value",
                )
            return Secret(line.removeprefix("secret = "))
    return None
