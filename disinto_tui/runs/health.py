"""Judging health ourselves: `up --wait` calls a crash loop healthy after one second (observed).

A service is good when its container runs, has not restarted since we look, and its healthcheck says healthy;
without a healthcheck, when it has been stable for a while, which is reported as unverified.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import Failed, Unavailable
from disinto_tui.core.view import ServiceState
from disinto_tui.core.words import counted

POLL_SECONDS = 0.1
SETTLE_SECONDS = 3.0
"""How long a container without a healthcheck must be stable, to be called good (unverified)."""
AWAY_SECONDS = 60.0
"""How long an engine may be away while it is watched: restarted, upgraded, killed for want of memory."""
_ABSENCES = 3
"""How often it may be, before that is a failure too."""
_RETRY_SECONDS = 0.5
_UP_SECONDS, _OFTEN_SECONDS = 10.0, 60.0

T = TypeVar("T")
_LEFTOVER = re.compile(r"\A/?[0-9a-f]{12}_")


class Patience:
    """Asks an engine that may go away and come back. `say` gets a line for the log at either.

    `returned` is set when it came back: what was seen before does not count any more. Whoever has begun
    anew clears it.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say or (lambda line: None)
        self._absences = 0
        self._process = 0
        self.returned = False

    def begin(self, engine: Engine) -> None:
        """Remember which daemon is watched: one that is started anew between two looks never seems to be away."""
        self._process = self._process or engine.process()

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` answers. Raises Unavailable when the engine stays away, or goes too often."""
        gone: float | None = None
        while True:
            try:
                answer = await work()
            except Unavailable as error:
                now = time.monotonic()
                if not error.code.startswith("engine."):
                    raise
                if gone is None:
                    if self._absences == _ABSENCES:
                        raise
                    gone, self._absences = now, self._absences + 1
                    self._say(f"{error.what} It is waited for, up to {AWAY_SECONDS:g} s.")
                elif now - gone >= AWAY_SECONDS:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if gone is not None:
                self.returned = True
                self._say(f"The engine answers again, after {time.monotonic() - gone:.1f} s.")
            return answer

    async def was_away(self, engine: Engine) -> bool:
        """Asked before a container is called bad: whether it is the engine that is going, with all it runs."""
        await self.ask(engine.reachable)
        now = engine.process()
        if self._process and now and now != self._process:
            if not self.returned:
                self._say("The engine was started anew meanwhile.")
            self.returned = True
        self._process = now or self._process
        return self.returned

    async def revive(self, engine: Engine, documents: Mapping[str, Mapping[str, Any]]) -> None:
        """Start the containers that stand still since the engine came back; `documents` by service.

        A killed engine that comes back ends the containers it finds, and forgets that `unless-stopped` wants
        them up (observed, 20.10). It may still be the old one, on its way out and slow, which goes away under the
        question or refuses it: what the watch sees next decides.
        """
        for service, inspect in documents.items():
            if container_state(inspect) == "exited":
                self._say(f"{service}: ended with the engine, and is started again")
                try:
                    await self.ask(partial(engine.start_container, str(inspect["Id"])))
                except Failed as error:
                    self._say(f"{service}: {error.what} {error.why}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one service: `good` True, False, or None while it is not settled."""

    service: str
    good: bool | None
    state: ServiceState
    words: str
    verified: bool = True
    container: str = ""


def container_state(inspect: Mapping[str, Any]) -> ServiceState:
    """The state of an inspect document, its health folded in."""
    state = inspect.get("State") or {}
    status = str(state.get("Status", "dead"))
    if status == "running":
        health = str((state.get("Health") or {}).get("Status", "none"))
        if health in ("healthy", "starting", "unhealthy"):
            return health  # type: ignore[return-value]  # the literal types do not follow a membership test
        return "running"
    known: dict[str, ServiceState] = {
        "restarting": "restarting",
        "exited": "exited",
        "created": "created",
        "paused": "paused",
        "removing": "dead",
        "dead": "dead",
    }
    return known.get(status, "dead")


def is_well(inspect: Mapping[str, Any], now: float) -> bool:
    """Whether it runs, and is not only between two of its ends. `now` in unix seconds.

    The engine calls what ends again and again "running" each time that it has started it (observed): it is known by
    having been started again a moment ago (what runs for ten seconds counts as up for the engine, which then restarts
    it without delay), or often and within the last minute.
    """
    if container_state(inspect) not in ("healthy", "running", "starting"):
        return False
    restarts, started = int(inspect.get("RestartCount", 0)), started_at(inspect)
    up = now - started if started is not None else 0.0
    return not (restarts > 0 and up < _UP_SECONDS) and not (restarts > 2 and up < _OFTEN_SECONDS)


def is_leftover(inspect: Mapping[str, Any]) -> bool:
    """Whether it is what an interrupted recreate left: a container `<12 hex>_name` that was made and never ran
    (Compose, observed; facts: 3.5)."""
    state = (inspect.get("State") or {}).get("Status")
    return state == "created" and _LEFTOVER.match(str(inspect.get("Name", ""))) is not None


def service_of(inspect: Mapping[str, Any]) -> str:
    """The compose service a container belongs to, from its label."""
    labels = (inspect.get("Config") or {}).get("Labels") or {}
    return str(labels.get("com.docker.compose.service", ""))


def by_service(containers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One container for each service. Where there are several, the one that counts: what an interrupted recreate left
    comes last, what runs comes first, then the youngest."""

    def rank(item: Mapping[str, Any]) -> tuple[bool, bool, str]:
        running = bool((item.get("State") or {}).get("Running"))
        return not is_leftover(item), running, str(item.get("Created", ""))

    return {service_of(item): item for item in sorted(containers, key=rank)}


def started_at(inspect: Mapping[str, Any]) -> float | None:
    """When the container was last started, unix seconds; None when it never was."""
    text = str((inspect.get("State") or {}).get("StartedAt", ""))
    if not text or text.startswith("0001"):
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    try:
        moment = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() + (float(f"0.{rest}") if rest.isdigit() else 0.0)


def ended_well(inspect: Mapping[str, Any]) -> bool:
    """Whether a container ended with exit code 0 and was not meant to go on: a runner whose action is done."""
    policy = str(((inspect.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no")
    return (
        policy == "no"
        and (inspect.get("State") or {}).get("ExitCode") == 0
        and service_of(inspect) == "runner"
    )


def judge(inspect: Mapping[str, Any], *, first_restarts: int, now: float, settle: float) -> Verdict:
    """The verdict on one container. `first_restarts` is its restart count when the watch began."""
    service, state = service_of(inspect), container_state(inspect)
    container = str(inspect.get("Id", ""))
    restarts = int(inspect.get("RestartCount", 0))
    exit_code = (inspect.get("State") or {}).get("ExitCode", 0)

    def verdict(good: bool | None, words: str, verified: bool = True) -> Verdict:
        return Verdict(service, good, state, words, verified, container)

    if restarts > first_restarts + 1 or (state == "restarting" and restarts > first_restarts):
        return verdict(False, f"restarts in a loop ({counted(restarts, 'time')}, last exit code {exit_code})")
    if state == "exited" and ended_well(inspect):
        return verdict(True, "ended with exit code 0, as something that runs once does")
    if state in ("exited", "dead"):
        return verdict(False, f"ended with exit code {exit_code}")
    if state == "unhealthy":
        return verdict(False, "is unhealthy, says its own healthcheck")
    if state == "healthy":
        return verdict(True, "healthy")
    if state == "running":
        started = started_at(inspect)
        if started is not None and now - started >= settle and restarts == first_restarts:
            return verdict(True, f"running for {settle:g} s (no healthcheck, unverified)", verified=False)
        return verdict(None, "running, no healthcheck: waiting whether it stays up")
    return verdict(None, f"{state}")


async def watch(
    engine: Engine,
    project: str,
    services: Sequence[str],
    *,
    timeout: float,
    settle: float = SETTLE_SECONDS,
    on_change: Callable[[Verdict], None] | None = None,
    patience: Patience | None = None,
) -> list[Verdict]:
    """Watch services until each is settled; return their verdicts in order.

    `timeout` is in seconds, for all of them together; what is not settled by then is not good. A first bad
    verdict does not end the watch of the others, so that the report is whole. An engine that goes away and
    comes back (`patience`) is watched from the beginning. Raises Unavailable when it stays away.
    """
    patience = patience or Patience()
    patience.begin(engine)
    began = time.monotonic()
    first: dict[str, int] = {}
    settled: dict[str, Verdict] = {}
    last: dict[str, str] = {}
    while True:
        listed = await patience.ask(lambda: engine.containers(project, services=services))
        documents = {service_of(item): item for item in listed}
        if patience.returned:
            patience.returned = False
            began = time.monotonic()
            for seen in (first, settled, last):
                seen.clear()
            await patience.revive(engine, documents)
            continue
        for service in services:
            if service in settled:
                continue
            inspect = documents.get(service)
            if inspect is None:
                verdict = Verdict(service, None, "absent", "has no container yet")
            else:
                restarts = first.setdefault(str(inspect["Id"]), int(inspect.get("RestartCount", 0)))
                verdict = judge(inspect, first_restarts=restarts, now=time.time(), settle=settle)
            if verdict.good is False and await patience.was_away(engine):
                break
            if verdict.words != last.get(service) and on_change is not None:
                on_change(verdict)
            last[service] = verdict.words
            if verdict.good is not None:
                settled[service] = verdict
        if patience.returned:
            continue
        waited = time.monotonic() - began
        open_services = [service for service in services if service not in settled]
        if not open_services:
            return [settled[service] for service in services]
        if waited >= timeout:
            for service in open_services:
                settled[service] = Verdict(
                    service,
                    False,
                    "starting",
                    f"not settled after {timeout:g} s: {last.get(service, 'unknown')}",
                )
            return [settled[service] for service in services]
        await asyncio.sleep(POLL_SECONDS)


async def unhealthy(engine: Engine, project: str, bad: Verdict) -> Failed:
    """The error for a service that did not come up, with the last lines of its container."""
    lines = await engine.tail(bad.container, 12) if bad.container else []
    return Failed(
        f"{bad.service} did not come up.",
        f"It {bad.words}." if not bad.words.startswith("not settled") else f"It is {bad.words}.",
        f"Read its log (`disinto logs {bad.service}`), mend the cause, then `disinto resume`.",
        code="service.unhealthy",
        details=[f"{bad.service}: {line}" for line in lines],
    )
