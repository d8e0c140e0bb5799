"""What crosses the network about an instance: the newest version, whether the forge answers, what was filed there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import REQUEST, RunDir
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import DisintoError, Unavailable
from disinto_tui.core.redact import Secret
from disinto_tui.core.view import Attention, InstanceView
from disinto_tui.runs.env import env_or_nothing
from disinto_tui.runs.lifecycle import repository_of
from disinto_tui.runs.versions import newest_version


def load() -> None:
    """Load what asking takes. Blocking, 0.2 s: for a thread, where an event loop must go on meanwhile."""
    import aiohttp  # noqa: F401


async def _filed(instance: Instance, view: InstanceView, timeout: float) -> tuple[Attention, ...]:
    """The newest request for approval that was filed from here, while nobody has executed it."""
    run = next((item for item in view.runs if item.kind == REQUEST and item.status == "done"), None)
    if run is None:
        return ()
    from disinto_tui.runs.request_state import ops_place, request_state

    try:
        name = str(RunDir(instance.runs / run.id).plan().facts.get("id", ""))
        state = await within(timeout, request_state(await ops_place(instance), name))
    except (DisintoError, asyncio.TimeoutError):
        return ()  # the forge's silence is told elsewhere
    if state.over:
        return ()
    return (Attention(f"{state.id}: {state.words}", "warning", f"disinto requests {state.id}"),)


async def with_remote(instance: Instance, view: InstanceView, *, timeout: float = 10) -> InstanceView:
    """The view with `newest` and `forge` filled in, and a request that waits; each may fail or time out (seconds)."""
    env = (await env_or_nothing(instance)).values
    engine = Engine(view.endpoint) if view.endpoint and not view.engine_error else None

    async def newest() -> tuple[str, str]:
        try:
            return await newest_version(repository_of(instance, env), engine=engine, timeout=timeout), ""
        except DisintoError as error:
            return "", f"{error.what} {error.why}"

    async def forge() -> tuple[Literal["", "reachable", "unreachable"], tuple[Attention, ...]]:
        url = env.get("FORGE_URL")
        if not url:
            return "", ()
        token = Secret(env["FORGE_TOKEN"]) if env.get("FORGE_TOKEN") else None
        try:
            async with ForgeClient(url, token) as client:
                await within(timeout, client.version() if token is None else client.whoami())
        except (Unavailable, asyncio.TimeoutError):
            return "unreachable", ()
        except DisintoError as error:
            # It answered. A token without the right to read its own user may still do its work.
            refused = Attention(f"FORGE_TOKEN: {error.what} {error.why}", "problem")
            return "reachable", (refused,) if error.code == "forge.token" else ()
        return "reachable", ()

    (version, error), (answer, refused), filed = await asyncio.gather(
        newest(), forge(), _filed(instance, view, timeout)
    )
    attention = (*view.attention, *refused, *filed)
    return replace(view, newest=version, newest_error=error, forge=answer, attention=attention)
