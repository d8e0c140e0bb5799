"""Every process of this machine, looked at again and again: what it runs, and whether a secret is in sight of it.

What `ps` and /proc show to others is the argv and, to the same user and root, the environment. A process between fork
and exec still has those of its parent, so an environment counts for a program only when both were read of that one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType


@dataclass
class ProcessWatch:
    """Looks from `with` to its end. `needles` are the bytes that may be in no argv and no environment; the environment
    of processes whose argv has `typed` in it is the operator's own and is left out.

    `seen` are the argvs, `hits` what was found: (argv, "argv" or "environ").
    """

    needles: Sequence[bytes]
    typed: bytes
    seen: set[bytes] = field(default_factory=set)
    hits: list[tuple[bytes, str]] = field(default_factory=list)
    looks: int = 0

    def __post_init__(self) -> None:
        self._known: dict[str, bytes] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.look()

    def look(self) -> None:
        """Look at every process once."""
        self.looks += 1
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                self._at(place)

    def _at(self, place: Path) -> None:
        try:
            argv = (place / "cmdline").read_bytes()
            if not argv or self._known.get(place.name) == argv:
                return
            environ = (place / "environ").read_bytes()
            if (place / "cmdline").read_bytes() != argv:
                return  # it became another program meanwhile: the next look will tell
        except OSError:
            return
        self._known[place.name] = argv
        self.seen.add(argv)
        if any(needle in argv for needle in self.needles):
            self.hits.append((argv, "argv"))
        if self.typed not in argv and any(needle in environ for needle in self.needles):
            self.hits.append((argv, "environ"))

    def ran(self, word: str) -> bool:
        """Whether a program with that word in its argv was seen."""
        return any(word.encode() in argv for argv in self.seen)

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
