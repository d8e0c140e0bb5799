"""What must be so before a stack is started: names and ports free, room on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from disinto_tui.adapters.engine import Engine, EngineInfo
from disinto_tui.adapters.host import free_bytes, is_local, port_taken
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.model import Project
from disinto_tui.core.plan import ImagePull

UNPACKED = 3
"""A pulled layer is kept unpacked: about this many times its size in the registry, while both are there."""


async def check_names(instance: Instance, stack: Mapping[str, Any], engine: Engine) -> None:
    """Raise Refused when a container name, or the project's name, belongs to something else."""
    project = str(stack.get("name", ""))
    wanted = {
        str(item["container_name"]): name
        for name, item in (stack.get("services") or {}).items()
        if item.get("container_name")
    }
    for item in await engine.all_containers():
        labels = item.get("Labels") or {}
        ours = labels.get("com.docker.compose.project") == project
        where = labels.get("com.docker.compose.project.working_dir", "")
        if ours and where and where != str(instance.path):
            raise Refused(
                f"Another factory is called {project}.",
                f"Its containers were made from {where}.",
                "Choose another `project` in `[factory]`: two of one name would share their volumes.",
                code="project.elsewhere",
            )
        taken = [name.lstrip("/") for name in item.get("Names") or () if name.lstrip("/") in wanted]
        if taken and not ours:
            raise Refused(
                f"A container called {taken[0]} exists already.",
                "It does not belong to this factory.",
                f"Look at it (`docker inspect {taken[0]}`); remove it, or choose another `project`.",
                code="name.taken",
            )


def published_ports(stack: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(service, port, host address) of every port the stack publishes on the host, profiles left out."""
    found: list[tuple[str, int, str]] = []
    for name, item in (stack.get("services") or {}).items():
        if item.get("profiles"):
            continue
        for port in item.get("ports") or ():
            if isinstance(port, Mapping) and str(port.get("published", "")).isdigit():
                found.append((name, int(port["published"]), str(port.get("host_ip", ""))))
    return found


def check_ports(stack: Mapping[str, Any], containers: Sequence[Mapping[str, Any]], endpoint: str) -> None:
    """Raise BadInput when a port is taken by something else. Asked on a local engine only."""
    if not is_local(endpoint):
        return
    mine = {
        int(binding["HostPort"])
        for item in containers
        for bindings in ((item.get("NetworkSettings") or {}).get("Ports") or {}).values()
        for binding in bindings or ()
        if str(binding.get("HostPort", "")).isdigit()
    }
    taken = [
        (service, port)
        for service, port, bind in published_ports(stack)
        if port not in mine and port_taken(port, bind)
    ]
    if taken:
        service, port = taken[0]
        raise BadInput(
            f"The port {port} is taken.",
            f"{service} is to be published there, and another program listens on it already.",
            "Free it, or choose another in `[factory.ports]` (0 publishes nothing).",
            code="port.taken",
            details=[f"also taken: {port} ({service})" for service, port in taken[1:]],
        )


def check_disk(pulls: Sequence[ImagePull], engine: EngineInfo, endpoint: str) -> None:
    """Raise Refused when what is to be pulled cannot fit. Only on a local engine, and for known sizes."""
    needed = UNPACKED * sum(item.size for item in pulls if not item.here and item.size > 0)
    if not needed or not is_local(endpoint):
        return
    free = free_bytes(engine.root)
    if free is not None and free < needed:
        raise Refused(
            "There is not enough room for the images.",
            f"About {needed // 1_000_000} MB are needed under {engine.root}, {free // 1_000_000} are free.",
            "Free some (`docker system df` shows what takes it; prune images, never volumes).",
            code="disk.full",
        )


def published_urls(stack: Mapping[str, Any], project: Project) -> dict[str, str]:
    """Where an operator's browser finds the parts: name to URL."""
    host = project.factory.bind if project.factory.bind not in ("", "0.0.0.0", "::") else "localhost"  # noqa: S104
    ports = {service: port for service, port, _ in reversed(published_ports(stack))}
    urls: dict[str, str] = {}
    if "edge" in ports:
        urls["edge"] = f"http://{host}:{ports['edge']}/"
    if project.factory.forge == "external":
        urls["forge"] = project.forge_url
    elif "forgejo" in ports:
        urls["forge"] = f"http://{host}:{ports['forgejo']}/"
    if "woodpecker" in ports:
        urls["ci"] = f"http://{host}:{ports['woodpecker']}/"
    return urls
