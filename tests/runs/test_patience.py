"""An engine that goes away while it is watched: waited for, told of, and given up in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from disinto_tui.core.errors import Failed, Unavailable
from disinto_tui.runs import health
from disinto_tui.runs.health import Patience


def down() -> Unavailable:
    return Unavailable("No engine answers.", "Nothing is there.", "Start it.", code="engine.down")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "AWAY_SECONDS", 0.2)
    monkeypatch.setattr(health, "_RETRY_SECONDS", 0.01)


class Answers:
    """An engine that answers, or does not, in the order given; the last one goes on."""

    def __init__(self, *answers: str | Exception) -> None:
        self._left: Iterator[str | Exception] = iter(answers)
        self._last: str | Exception = ""

    async def __call__(self) -> str:
        self._last = next(self._left, self._last)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


async def test_one_that_comes_back_is_told_of_and_noted() -> None:
    said: list[str] = []
    patience = Patience(said.append)
    assert await patience.ask(Answers("there")) == "there"
    assert not patience.returned and not said
    assert await patience.ask(Answers(down(), down(), "back")) == "back"
    assert patience.returned
    assert said[0] == "No engine answers. It is waited for, up to 0.2 s."
    assert said[1].startswith("The engine answers again, after 0.")


async def test_one_that_stays_away_is_given_up() -> None:
    patience = Patience()
    with pytest.raises(Unavailable):
        await patience.ask(Answers(down()))
    assert not patience.returned


async def test_one_that_comes_and_goes_is_given_up_too() -> None:
    patience = Patience()
    for _ in range(3):
        await patience.ask(Answers(down(), "back"))
    with pytest.raises(Unavailable):
        await patience.ask(Answers(down(), "back"))


async def test_what_an_engine_refuses_is_not_asked_again() -> None:
    refusal = Failed("The engine refused.", "It says no.", "Mend it.", code="engine.refused")
    with pytest.raises(Failed):
        await Patience().ask(Answers(refusal, "never"))
    registry = Unavailable("The registry is down.", "It is.", "Wait.", code="registry.down")
    with pytest.raises(Unavailable):
        await Patience().ask(Answers(registry, "never"))


class Daemon:
    """An engine that always answers, by the process that it is told."""

    def __init__(self) -> None:
        self.number = 100

    def process(self) -> int:
        return self.number

    async def reachable(self) -> None:
        """It answers."""


async def test_a_daemon_started_anew_between_two_looks_is_noticed() -> None:
    said: list[str] = []
    patience, daemon = Patience(said.append), Daemon()
    patience.begin(daemon)  # type: ignore[arg-type]
    assert not await patience.was_away(daemon)  # type: ignore[arg-type]
    daemon.number = 200
    assert await patience.was_away(daemon)  # type: ignore[arg-type]
    assert said == ["The engine was started anew meanwhile."]
    patience.returned = False
    assert not await patience.was_away(daemon)  # type: ignore[arg-type]
    daemon.number = 0  # one that cannot be told is no sign of anything
    assert not await patience.was_away(daemon)  # type: ignore[arg-type]


class Going:
    """An engine whose containers end with it: asked to start one, it answers in the order given."""

    def __init__(self, *answers: str | Exception) -> None:
        self.asked: list[str] = []
        self._answer = Answers(*answers)

    async def start_container(self, container: str) -> None:
        self.asked.append(container)
        await self._answer()


@pytest.mark.parametrize(
    ("answers", "returned"),
    [
        ((down(), "back"), True),
        ((Failed("It was not started.", "It is shutting down.", "", code="engine.refused"),), False),
    ],
)
async def test_an_engine_that_goes_while_its_containers_are_started_again(
    answers: tuple[str | Exception, ...], returned: bool
) -> None:
    """It answered once more before it went (observed: a slow way out)."""
    said: list[str] = []
    patience, engine = Patience(said.append), Going(*answers)
    ended = {"Id": "c1", "State": {"Status": "exited", "Running": False}}
    await patience.revive(engine, {"agents": ended})  # type: ignore[arg-type]
    assert set(engine.asked) == {"c1"}
    assert patience.returned is returned
    assert said[0] == "agents: ended with the engine, and is started again"
