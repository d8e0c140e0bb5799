"""What is asked of the outside, written down: every command, request and engine call, marked as a read or a write.

A dry run records what it looks at, and whatever would write is refused here, at the last moment before it leaves.
Nothing is recorded while nobody records.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from disinto_tui.core.errors import Refused

Kind = Literal["read", "probe", "write"]
"""A "probe" is a question in the shape of a write, after which every image, tag and repository is as before: may I push
is asked by opening an upload and dropping it. (A registry that refuses the dropping keeps the empty upload until it
purges what was never finished.)"""

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""HTTP methods that change nothing (RFC 9110, 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that was asked (`executed`), or that would be. `text` is a command line, or a method and a URL."""

    kind: Kind
    text: str
    executed: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def would(kind: Kind, text: str) -> Asked:
    """Something that would be asked or done."""
    return Asked(kind, text, executed=False)


@dataclass
class Tape:
    """What was asked so far, in order. With `reads_only` a write is not recorded but raised: Refused `tape.write`."""

    reads_only: bool = False
    asked: list[Asked] = field(default_factory=list)
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, kind: Kind, text: str) -> None:
        """Write it down, before it is done. Several threads do."""
        if kind == "write" and self.reads_only:
            raise Refused(
                "A dry run changes nothing.",
                f"`{text}` would.",
                "This is a mistake of this tool; please report it.",
                code="tape.write",
            )
        with self._mutex:
            self.asked.append(Asked(kind, text))

    def take(self) -> list[Asked]:
        """What was asked since the last call."""
        with self._mutex:
            taken, self.asked = self.asked, []
        return taken


_tape: Tape | None = None
_probing: ContextVar[bool] = ContextVar("probing", default=False)


@contextlib.contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Record on a tape: everything this process asks, from whatever thread, until the block ends."""
    global _tape  # noqa: PLW0603  # one process makes one dry run; threads have to see it
    before, _tape = _tape, tape
    try:
        yield tape
    finally:
        _tape = before


@contextlib.contextmanager
def probing() -> Iterator[None]:
    """What this task asks in the block is a probe, whatever it looks like."""
    token = _probing.set(True)
    try:
        yield
    finally:
        _probing.reset(token)


def note(kind: Literal["read", "write"], text: str) -> None:
    """Something is about to be asked. Raises Refused `tape.write` in a dry run."""
    if _tape is not None:
        _tape.note("probe" if kind == "write" and _probing.get() else kind, text)


def note_request(method: str, url: str) -> None:
    """The same for an HTTP request."""
    note("read" if method in READING else "write", f"{method} {url}")
