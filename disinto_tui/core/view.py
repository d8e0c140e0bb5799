"""What an instance looks like right now, as data: what `status` prints and the home screen shows.

Built by `runs/observe.py` from the compose file, `.env`, the engine and the journal; read by the CLI and the
TUI. The first glance answers three questions: what version runs, is it healthy, is there something to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

ServiceState = Literal[
    "healthy",
    "starting",
    "unhealthy",
    "running",
    "restarting",
    "exited",
    "created",
    "paused",
    "dead",
    "absent",
]
"""The container's state with its health folded in; "running" has no healthcheck, "absent" no container."""

TROUBLED: frozenset[str] = frozenset({"unhealthy", "restarting", "exited", "dead"})
"""States an operator must look at (a service of a profile that is off is never in the list)."""

Mode = Literal["image", "build", "mixed", "none"]
"""Whether the agents services carry `image:`, `build:`, some of each, or there is no compose file."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. `version` comes from the running container's image id (label, else a tag of that id),
    never from a name alone; "" when nothing says. Times are unix seconds, `memory` bytes, `cpu` percent."""

    name: str
    state: ServiceState
    version: str = ""
    image: str = ""
    image_id: str = ""
    since: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    uses_agents_image: bool = False
    drift: tuple[str, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    container: str = ""


@dataclass(frozen=True, slots=True)
class Attention:
    """Something the operator should look at: a sentence, and the key or command that helps."""

    text: str
    severity: Literal["warning", "problem"] = "warning"
    command: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in the list of recent ones. `seconds` is None while it runs."""

    id: str
    kind: str
    title: str
    status: str
    at: float
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InstanceView:
    """The whole instance. An empty `engine_error` means the engine answered; `newest` and `forge` arrive
    later than the rest ("" = not known yet) because they cross the network."""

    directory: str
    project: str
    endpoint: str
    mode: Mode
    pinned: str = ""
    pinned_version: str = ""
    running_versions: tuple[str, ...] = ()
    newest: str = ""
    newest_error: str = ""
    forge_url: str = ""
    forge: Literal["", "reachable", "unreachable", "not asked"] = ""
    engine_version: str = ""
    engine_error: str = ""
    services: tuple[ServiceView, ...] = ()
    drift: tuple[str, ...] = ()
    attention: tuple[Attention, ...] = ()
    runs: tuple[RunSummary, ...] = ()
    at: float = 0.0

    @property
    def healthy_since(self) -> float | None:
        """Since when every agents service is healthy (the youngest of them), None when one is not."""
        agents = [service for service in self.services if service.uses_agents_image]
        if not agents or any(service.state not in ("healthy", "running") for service in agents):
            return None
        starts = [service.since for service in agents if service.since is not None]
        return max(starts) if starts else None


def view_to_json(view: InstanceView) -> Mapping[str, Any]:
    """The view as the JSON document `disinto status --json` prints."""
    return asdict(view)
