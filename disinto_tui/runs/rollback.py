"""Plan the way back: the last version that was seen healthy here, or the one that is named."""

from __future__ import annotations

from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import resolve_operator_input
from disinto_tui.runs.env import load_env
from disinto_tui.runs.health import service_of
from disinto_tui.runs.history import Entry, history, last_good_before, rollback_order
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.pin import repository_of
from disinto_tui.runs.project import find_project
from disinto_tui.runs.switch import SOAK_SECONDS, Prepared, SwitchRequest, made_from, plan_switch


async def plan_rollback(
    instance: Instance, wanted: str = "", *, when_idle: float | None = None, soak: float = SOAK_SECONDS
) -> Prepared:
    """The switch back: to the last known good before the current version, or to the one named.

    Raises BadInput `rollback.none` when no other version was ever known good here.
    """
    entries = history(instance)
    env = (await load_env(instance)).values
    if wanted:
        target = resolve_operator_input(wanted, repository_of(instance, env))
        names = {str(target), f"{target.name}:{target.tag}"}
        known = next(
            (item for item in entries if item.good and item.reference.partition("@")[0] in names), None
        )
    else:
        current = env.get("AGENTS_IMAGE", "") or await _started_from(instance)
        known = last_good_before(entries, current)
        if known is None:
            raise _nowhere(rollback_order(entries, current))
    reference = wanted or known.reference  # type: ignore[union-attr]  # one of both is there
    pinned = True if known is not None and "@" in known.reference else None
    return await plan_switch(
        SwitchRequest(instance, reference, pinned, when_idle, soak, kind="rollback", known=known)
    )


async def _started_from(instance: Instance) -> str:
    """The reference that the agents were started from, for a pin that is missing; "" when none runs."""
    found = await find_project(Engine(await find_endpoint()), instance)
    return next(
        iter(made_from([item for item in found.containers if is_agents_service(service_of(item))])), ""
    )


def _nowhere(left: list[Entry]) -> BadInput:
    """Why `rollback` without an argument leads nowhere; `left` are good ones that somebody left."""
    if left:
        names = ", ".join(dict.fromkeys(entry.version for entry in left))
        return BadInput(
            "There is no version to roll back to that nobody rolled back from.",
            f"Seen healthy here, and left on purpose since: {names}.",
            f"`disinto rollback {left[0].version}` goes there all the same, `disinto versions` tells why it was left.",
            code="rollback.none",
        )
    return BadInput(
        "There is no version to roll back to.",
        "No other version was seen healthy on this instance.",
        "`disinto versions` lists what there is, `disinto use VERSION` switches to one.",
        code="rollback.none",
    )
