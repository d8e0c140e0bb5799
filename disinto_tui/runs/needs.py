"""What services depend on, and whether `up` may be left to look after it.

`up --no-deps` leaves everything else alone, and an older Compose (2.26, observed) writes another hash of the definition
onto a container that it makes that way, since without its dependencies it is another definition: from then on it counts
as changed, and the next `up` makes it anew for nothing. Without the option Compose converges the dependencies, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget, compose
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.process import run
from disinto_tui.core.errors import DisintoError
from disinto_tui.runs.health import container_state, service_of

HASH = "com.docker.compose.config-hash"
_HEALTHY = "service_healthy"


def needs_of(definitions: Mapping[str, Any], services: Sequence[str]) -> dict[str, str]:
    """What `services` depend on beside one another, whatever that depends on included: service to condition.

    `definitions` are the services as Compose resolves them. Of several conditions the strictest counts.
    """
    found: dict[str, str] = {}
    left = list(services)
    while left:
        wanted = (definitions.get(left.pop()) or {}).get("depends_on") or {}
        for name, how in wanted.items() if isinstance(wanted, Mapping) else ():
            condition = str((how or {}).get("condition", "service_started"))
            if name not in found:
                left.append(name)
            if name not in services and found.get(name) != _HEALTHY:
                found[name] = condition
    return found


async def stand(engine: Engine, target: ComposeTarget, needs: Mapping[str, str]) -> bool:
    """Whether each of these runs as its condition wants it, from the present definition and image: then `up` of what
    depends on them touches none of them. False also when nobody can tell."""
    try:
        return await _stand(engine, target, needs)
    except DisintoError:
        return False


async def _stand(engine: Engine, target: ComposeTarget, needs: Mapping[str, str]) -> bool:
    listed = await run(compose(target, "config", "--hash", "*", writes=False, timeout=30))
    hashes = dict(line.split()[:2] for line in listed.stdout.splitlines() if len(line.split()) == 2)
    containers = await engine.containers(target.project)
    for name, condition in needs.items():
        mine = [item for item in containers if service_of(item) == name]
        if len(mine) != 1 or not _good(mine[0], condition):
            return False
        config = mine[0].get("Config") or {}
        image = await engine.image(str(config.get("Image", "")))
        if image is None or image.id != mine[0].get("Image"):
            return False
        if (config.get("Labels") or {}).get(HASH) != hashes.get(name, ""):
            return False
    return True


def _good(inspect: Mapping[str, Any], condition: str) -> bool:
    state = container_state(inspect)
    return state == "healthy" if condition == _HEALTHY else state in ("healthy", "running", "starting")
