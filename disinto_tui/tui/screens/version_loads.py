"""Which versions are being asked about, and by which worker: nobody is asked twice, nor for what nobody sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.worker import Worker


@dataclass
class _Load:
    """One worker; `left` are the tags it has not told yet."""

    worker: Worker[None]
    left: set[str]


class Loads:
    """The workers that ask what versions are. `fresh` are the tags that were told since `forget`."""

    def __init__(self) -> None:
        self.fresh: set[str] = set()
        self._loads: dict[int, _Load] = {}
        self._last = 0

    def number(self) -> int:
        """The number of the next worker."""
        return self._last + 1

    def began(self, worker: Worker[None], tags: Iterable[str]) -> None:
        """A worker with the next number asks about these tags."""
        self._last += 1
        self._loads[self._last] = _Load(worker, set(tags))

    def came(self, number: int, tags: Iterable[str], *, ended: bool) -> None:
        """A worker told of tags; `ended` when it tells no more."""
        told = set(tags)
        self.fresh |= told
        load = self._loads.get(number)
        if load is not None:
            load.left -= told
            if ended:
                del self._loads[number]

    def missing(self, on_screen: Sequence[str]) -> list[str]:
        """Which of the tags on the screen nobody asks about yet; ends the workers that ask in vain.

        One of which most is gone from the screen ends, and what of it is still there is missing. One of which
        most is there goes on: with every line scrolled all answers would else be begun anew, and none come.
        """
        seen = set(on_screen)
        for number, load in list(self._loads.items()):
            if 2 * len(load.left & seen) <= len(load.left):
                load.worker.cancel()
                del self._loads[number]
        asked = self.fresh.union(*(load.left for load in self._loads.values()))
        return [tag for tag in on_screen if tag not in asked]

    def forget(self) -> None:
        """What was told is old, and what is asked as well."""
        self.fresh.clear()
        for load in self._loads.values():
            load.worker.cancel()
        self._loads.clear()
