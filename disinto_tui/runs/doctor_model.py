"""What a check of the doctor is, what it finds, and the ground that all of them look at, asked for once.

A check is a small coroutine function that gets the `Ground` and returns remarks. It has a name, a title, a sentence
that says why it matters, and a time of its own: one that hangs is "unknown" and holds up no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from disinto_tui.adapters.compose import config
from disinto_tui.adapters.engine import Engine, EngineInfo, find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import DisintoError, Unavailable
from disinto_tui.core.plan import Step
from disinto_tui.core.view import InstanceView
from disinto_tui.runs.env import Env, env_or_nothing
from disinto_tui.runs.observe import observe
from disinto_tui.runs.project import Found, find_project

State = Literal["ok", "warning", "problem", "unknown"]
"""unknown: it could not be looked at; nothing is said about whether it is well."""

_WEIGHT: Mapping[State, int] = {"ok": 0, "warning": 1, "unknown": 2, "problem": 3}
_OLD = (".old", ".missing")
"""Ends of error codes of things that are there and will not do, so that trying again helps nobody."""
_SHARED: Mapping[str, tuple[str, str]] = {
    "engine.down": ("engine", "the engine does not answer"),
    "engine.context": ("engine", "the docker context cannot be read"),
    "engine.scheme": ("engine", "the engine cannot be reached from here"),
    "compose.invalid": ("compose", "Compose does not accept the files"),
    "project.several": ("compose", "several projects run from here"),
}
"""Faults that many checks run into, by code: the check that tells it whole, and what the others say."""
_SEALED = "the environment file cannot be opened"

_BRIEF_SECONDS = 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing a check has to say. `cure` is the command or the deed that mends it; `steps` are a plan's, when it is
    safe to let the doctor do it (`--fix`)."""

    state: State
    text: str
    cure: str = ""
    steps: tuple[Step, ...] = ()


Look = Callable[["Ground"], Awaitable[Sequence[Remark]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `timeout` in seconds; `network` says that it is left out with `--offline`."""

    id: str
    title: str
    why: str
    look: Look
    timeout: float = 5.0
    network: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check. `state` is its heaviest remark's; `seconds` is how long it took."""

    id: str
    title: str
    why: str
    state: State
    remarks: tuple[Remark, ...]
    seconds: float

    @property
    def worth_saying(self) -> tuple[Remark, ...]:
        """The remarks that are not "ok"; all of them when everything is."""
        return tuple(item for item in self.remarks if item.state != "ok") or self.remarks

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; whether `--fix` would mend a remark stands beside its cure."""
        return {
            "id": self.id,
            "title": self.title,
            "why": self.why,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "remarks": [
                {"state": item.state, "text": item.text, "cure": item.cure, "fixable": bool(item.steps)}
                for item in self.remarks
            ],
        }


@dataclass
class Ground:
    """The instance as the checks see it: each thing is asked for once, by whoever needs it first.

    `offline` keeps every check from asking beyond this host and its engine; `now` is unix seconds.
    """

    instance: Instance
    offline: bool = False
    now: float = field(default_factory=time.time)
    _asked: dict[str, asyncio.Task[Any]] = field(default_factory=dict, repr=False)

    async def _once(self, name: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if name not in self._asked:
            self._asked[name] = asyncio.create_task(ask())
        # Shielded: a check whose time is over must not take the answer away from the others.
        answer: T = await asyncio.shield(self._asked[name])
        return answer

    async def close(self) -> None:
        """Give up what nobody waits for any more."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def endpoint(self) -> str:
        """The engine's. Raises Unavailable, BadInput."""
        return await self._once("endpoint", find_endpoint)

    async def engine(self) -> Engine:
        """The engine, whether it answers or not."""

        async def make() -> Engine:
            return Engine(await self.endpoint())

        return await self._once("engine", make)

    async def info(self) -> EngineInfo:
        """What the engine says of itself. Raises Unavailable `engine.down`, `engine.old`."""

        async def ask() -> EngineInfo:
            return await (await self.engine()).info()

        return await self._once("info", ask)

    @property
    def engine_is_silent(self) -> bool:
        """Whether it was asked and has not said a word yet."""
        return any(not task.done() for name, task in self._asked.items() if name in ("info", "found"))

    async def brief_info(self) -> EngineInfo | None:
        """`info` for whoever can do without it: None when the engine does not answer soon."""
        try:
            return await within(_BRIEF_SECONDS, self.info())
        except (DisintoError, asyncio.TimeoutError):
            return None

    async def env(self) -> Env:
        """The environment file; nothing where it cannot be read (which a check of its own tells)."""
        return await self._once("env", lambda: env_or_nothing(self.instance))

    async def found(self) -> Found:
        """The project and its containers. Raises Unavailable, Refused `project.several`."""

        async def ask() -> Found:
            return await find_project(await self.engine(), self.instance, await self.env())

        return await self._once("found", ask)

    async def definitions(self) -> Mapping[str, Any]:
        """The services as Compose resolves them. Raises Failed `compose.invalid`, Unavailable."""

        async def ask() -> Mapping[str, Any]:
            found = await self.found()
            data = await config(found.target(self.instance, await self.endpoint()))
            services: Mapping[str, Any] = data.get("services") or {}
            return services

        return await self._once("definitions", ask)

    async def definitions_or_none(self) -> Mapping[str, Any] | None:
        """`definitions` for whoever can do without them: None when Compose does not accept the files, which is told by
        a check of its own. Raises Unavailable, Refused `project.several`."""
        try:
            return await self.definitions()
        except DisintoError as error:
            if error.code != "compose.invalid":
                raise
            return None

    async def view(self) -> InstanceView:
        """What the home screen shows. Raises Unavailable."""

        async def ask() -> InstanceView:
            return await observe(self.instance, endpoint=await self.endpoint())

        return await self._once("view", ask)


async def carried_out(check: Check, ground: Ground) -> Result:
    """Look, within the check's own time. Raises nothing: what fails is the check's answer."""
    began = time.monotonic()
    try:
        remarks = tuple(await within(check.timeout, check.look(ground)))
    except asyncio.TimeoutError:
        remarks = (_of_silence(check, ground),)
    except DisintoError as error:
        remarks = (_of_error(error, check),)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remarks = (
            Remark("unknown", f"{where}{error.strerror or error}", "Run it as the owner of the files."),
        )
    except Exception as error:
        # What nobody foresaw is one check's answer, and not the end of the others'.
        text = f"it broke off: {type(error).__name__}: {error}"
        remarks = (Remark("unknown", text, "Run it again; tell whoever keeps this tool when it stays."),)
    state: State = "ok"
    for remark in remarks:
        state = max(state, remark.state, key=_WEIGHT.__getitem__)
    return Result(check.id, check.title, check.why, state, remarks, time.monotonic() - began)


def _of_silence(check: Check, ground: Ground) -> Remark:
    text = f"no answer within {check.timeout:g} s"
    if ground.engine_is_silent and check.id == "engine":
        text = f"the engine takes connections, and said nothing for {check.timeout:g} s"
        return Remark("unknown", text, "systemctl status docker (and restart it when it hangs)")
    if ground.engine_is_silent:
        return Remark("unknown", f"{text}, and none from the engine", "disinto doctor engine")
    return Remark("unknown", text, f"disinto doctor {check.id}")


def _of_error(error: DisintoError, check: Check) -> Remark:
    sealed = error.code.startswith("sops.")
    owner, words = ("env", _SEALED) if sealed else _SHARED.get(error.code, (check.id, ""))
    if owner != check.id:
        return Remark("unknown", f"{words}, so this could not be looked at", f"disinto doctor {owner}")
    if not isinstance(error, Unavailable) or error.code.endswith(_OLD):
        return Remark("problem", f"{error.what} {error.why}", error.now)
    return Remark("unknown", f"{error.what} {error.why}", error.now)
