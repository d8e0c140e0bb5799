"""Somebody at a terminal, who types what a page says."""

from __future__ import annotations

import os
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

from bench.ptykit import terminal
from tests.support.pages import ROOT


@dataclass
class Typist:
    """Somebody with a shell in a directory, who types what pages say."""

    home: Path
    directory: Path
    env: dict[str, str]

    @classmethod
    def at(cls, home: Path, directory: Path, **env: str) -> Typist:
        """In a directory, with a home that knows nothing but the command `disinto`."""
        (home / "bin").mkdir()
        (home / "bin" / "disinto").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m disinto_tui "$@"\n')
        (home / "bin" / "disinto").chmod(0o755)
        path = f"{home / 'bin'}:{os.environ['PATH']}"
        return cls(home, directory, {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), **env})

    def types(self, line: str, *answers: tuple[str, str], code: int = 0, within: float = 90) -> str:
        """The line in a shell on a terminal, each question answered when it comes; what was to be read there.

        A question that is empty is none: the answer is given when the terminal shows nothing that is typed.
        """
        argv = ["bash", "-c", f'{line}\necho "[[$?]]"']
        with terminal(argv, env=self.env, columns=110, rows=40, cwd=self.directory) as shown:
            for question, answer in answers:
                if question:
                    shown.wait_for(question, within=within)
                while not question and termios.tcgetattr(shown.fd)[3] & termios.ECHO:
                    shown.pump(0.02)
                    assert shown.alive and shown.elapsed() < within, bytes(shown.out)
                shown.send(answer.encode() + b"\r")
            shown.wait_for("[[", "]]", within=within)
            shown.drain(0.1)
            said = shown.shown().decode()
        assert f"[[{code}]]" in said, said
        return said
