"""The double of sops on a PATH, and instances whose `.env` it has sealed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support import sops_double


@dataclass(frozen=True)
class Sops:
    """`environment` is what a command that is to find it needs; `key` the file with the age identity."""

    directory: Path
    key: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.directory}{os.pathsep}{os.environ['PATH']}",
            "SOPS_AGE_KEY_FILE": str(self.key),
            "SOPS_DOUBLE_LOG": str(self.log),
        }

    def seal(self, env: Path) -> Path:
        """Encrypt a `.env` to the `.env.enc` beside it, and remove it, as upstream's init does."""
        to = sops_double.recipient(self.key.read_text().strip())
        sealed = env.with_name(env.name + ".enc")
        sealed.write_text(self("--encrypt", "--age", to, str(env)).stdout)
        env.unlink()
        return sealed

    def open(self, sealed: Path) -> str:
        """The clear text."""
        return self("--decrypt", str(sealed)).stdout

    def seal_value(self, value: str, path: Path, *, kind: str = "binary") -> None:
        """Encrypt one value to a file of its own: as a whole, or as the line `NAME=value` (kind "dotenv")."""
        to = sops_double.recipient(self.key.read_text().strip())
        clear = path.with_suffix(".clear")
        clear.write_text(value)
        kinds = ("--input-type", kind, "--output-type", kind)
        argv = [str(self.directory / "sops"), *kinds, "--encrypt", "--age", to, str(clear)]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={**os.environ, **self.environment}
        )
        clear.unlink()
        path.write_text(done.stdout)

    def __call__(self, *argv: str, env: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        kinds = ("--input-type", "dotenv", "--output-type", "dotenv")
        return subprocess.run(
            [str(self.directory / "sops"), *kinds, *argv],
            capture_output=True, text=True, check=True, env={**os.environ, **self.environment, **env},
        )  # fmt: skip


def install(home: Path) -> Sops:
    """Put the double into a directory of its own as `sops`, with a new key."""
    directory = home / "bin"
    directory.mkdir(parents=True)
    program = directory / "sops"
    # A script of its own: the tests' interpreter, isolated, whatever the PATH and the working directory are.
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {Path(sops_double.__file__)} "$@"\n')
    program.chmod(0o755)
    key = home / "age-key.txt"
    key.write_text(sops_double.identity() + "\n")
    key.chmod(0o600)
    return Sops(directory, key, home / "sops.log")
