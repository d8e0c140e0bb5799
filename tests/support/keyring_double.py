#!/usr/bin/env python3
"""A stand-in for `secret-tool` 0.20 on a keyring, for tests where no desktop session can be had.

What it prints, on which stream and with which code was observed with the real one on gnome-keyring: an entry's secret
on stdout and its attributes on stderr, nothing at all and 0 when there is none, "Cannot get secret of a locked object"
for a locked one, and what libsecret says where no session bus is. It is put on a PATH as `secret-tool` by `install`;
its state is a JSON file: `items` by name, `locked`, and `state` ("ok", "no bus", "silent": it never answers). Calls
are logged.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Keyring:
    """The double on a PATH. `directory` goes first in the PATH of what is to find it."""

    directory: Path
    file: Path

    def hold(self, items: dict[str, str], *, locked: bool = False, state: str = "ok") -> None:
        """What is in it, and how it is."""
        self.file.write_text(json.dumps({"items": items, "locked": locked, "state": state}))

    @property
    def calls(self) -> list[list[str]]:
        """The argv of every call so far."""
        log = self.file.with_suffix(".log")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def path(self) -> str:
        """The value of PATH."""
        return f"{self.directory}{os.pathsep}{os.environ['PATH']}"


def install(home: Path) -> Keyring:
    """Put it into a directory of its own."""
    directory = home / "keyring-bin"
    directory.mkdir(parents=True)
    made = Keyring(directory, home / "keyring.json")
    program = directory / "secret-tool"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {Path(__file__)} {made.file} "$@"\n')
    program.chmod(0o755)
    made.hold({})
    return made


def main(file: Path, argv: list[str]) -> int:
    with file.with_suffix(".log").open("a") as log:
        log.write(json.dumps(argv) + "\n")
    about = json.loads(file.read_text())
    if about["state"] == "silent":
        time.sleep(600)
    if about["state"] == "no bus":
        sys.stderr.write("secret-tool: Cannot autolaunch D-Bus without X11 $DISPLAY\n")
        return 1
    command, *pairs = argv
    wanted = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if command != "search" or wanted.get("service") != "disinto":
        sys.stderr.write("usage: secret-tool …\n")
        return 2
    name = wanted["username"]
    if name not in about["items"]:
        return 0
    sys.stdout.write(f"[/1]\nlabel = disinto {name}\n")
    if about["locked"]:
        sys.stderr.write("secret-tool: Cannot get secret of a locked object\n")
    else:
        sys.stdout.write(f"secret = {about['items'][name]}\n")
    sys.stdout.write("created = 2026-11-24 16:17:51\nmodified = 2026-11-24 16:18:14\n")
    sys.stdout.write("schema = org.freedesktop.Secret.Generic\n")
    sys.stderr.write(f"attribute.service = disinto\nattribute.username = {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
