"""Which data has to be copied into named volumes before containers are recreated, and where nobody may guess."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from disinto_tui.adapters.engine_look import missing_sources, volume_content
from disinto_tui.adapters.host import free_bytes, is_local
from disinto_tui.core import stack_forms as forms
from disinto_tui.core.errors import Refused
from disinto_tui.core.lineage import FORGEJO_DATA
from disinto_tui.runs.adopt_look import Situation, anonymous_at, mounted_at
from disinto_tui.runs.health import is_leftover, service_of

if TYPE_CHECKING:
    from disinto_tui.runs.adopt import Outcome


_OWN_LAYER = "the container itself"


@dataclass(frozen=True, slots=True)
class Left:
    """Data that stays where it is, out of the new stack's sight. `volume` is the anonymous one ("" for another)."""

    service: str
    path: str
    volume: str
    words: str


def is_job(container: Mapping[str, Any]) -> bool:
    """Whether a container is of one action: nobody means it to be started again."""
    policy = ((container.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name")
    return policy in (None, "", "no")


def rescues_of(
    outcome: Outcome, definitions: Mapping[str, Any], active: Collection[str]
) -> tuple[list[dict[str, Any]], list[Left]]:
    """What has to be copied into named volumes before containers are recreated; and what stays out of sight, in words.

    A path of the new stack that has a named volume, and in the present container either an anonymous one or none.
    `active` are the services that will be started; the container of an action is not stopped for a copy. Raises Refused
    where it cannot be told which data is meant.
    """
    found = outcome.situation
    names: Mapping[str, Any] = outcome.stack.get("volumes") or {}
    taken = {name for item in found.found.containers for name in _volumes(item)}
    taken |= {
        _full_name(found, names, mount.source)
        for service in (found.lineage.data.get("services") or {}).values()
        for mount in forms.mounts(service.get("volumes"), found.environ).values()
        if mount.source
    }
    rescues: list[dict[str, Any]] = []
    left: list[Left] = []
    for service, container in found.containers.items():
        mounts = forms.mounts((definitions.get(service) or {}).get("volumes"))
        held = mounted_at(container, list(mounts))
        for path, mount in mounts.items():
            source = anonymous_at(container, path)
            if path in held or (mount.read_only and not source):
                continue
            named = mount.kind == "volume" and bool(mount.source) and not mount.read_only
            named = named and (service in active or not is_job(container))
            target = _full_name(found, names, mount.source)
            # What others have in a volume already is not this container's; Forgejo's is nobody else's.
            others = target in found.volumes and target in taken
            if not named or (others and (service, path) != ("forgejo", FORGEJO_DATA)):
                if source:
                    left.append(_stays(service, path, source))
                continue
            rescues.append(
                {
                    "service": service,
                    "container": str(container["Id"]),
                    "path": path,
                    "volume": mount.source,
                    "target": target,
                    "image": str(container["Image"]),
                    "running": service in found.live,
                    "source": source or _OWN_LAYER,
                }
            )
        for item in container.get("Mounts") or ():
            path = str(item.get("Destination", "")).rstrip("/") or "/"
            if service in definitions and path not in mounts and (source := anonymous_at(container, path)):
                left.append(_stays(service, path, source))
    _refuse_two(found, rescues)
    left += _without_container(outcome, definitions)
    return rescues, left


async def copies_of(found: Situation, rescues: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is copied first, in words with its size as far as it can be seen. Raises Refused when there is no room, or
    when a container cannot be read as it is."""
    words, needed = [], 0
    for item in rescues:
        _refuse_missing(found, item)
        about = ""
        if item["source"] != _OWN_LAYER:
            container = found.containers[item["service"]]
            content = await volume_content(found.engine, item["source"], container, item["path"])
            needed += content.size if content is not None else 0
            about = f" ({content.words})" if content is not None else ""
        words.append(f"{item['service']}: {item['path']} is copied to {item['target']} first{about}")
    free = free_bytes(found.info.root) if is_local(found.engine.endpoint) else None
    if free is not None and free < needed:
        raise Refused(
            "There is not enough room for a copy of the data.",
            f"It takes {needed // 1_000_000} MB under {found.info.root}, and {free // 1_000_000} are free.",
            "Free some (`docker system df` shows what takes it; prune images, never volumes).",
            code="disk.full",
        )
    return words


def _refuse_missing(found: Situation, rescue: Mapping[str, Any]) -> None:
    """Reading a container through the engine makes a directory of a bind source that is missing (`missing_sources`)."""
    service = rescue["service"]
    for path in missing_sources(found.engine, found.containers[service]):
        raise Refused(
            f"{path}, which {service} mounts, is not there.",
            f"{rescue['path']} of {service} has to be copied first, and reading it would make a directory of it.",
            "Put it back where it was, or make an empty one of the right kind, and try again.",
            code="adopt.missing_source",
        )


def _full_name(found: Situation, volumes: Mapping[str, Any], key: str) -> str:
    return str((volumes.get(key) or {}).get("name") or f"{found.found.name}_{key}")


def _volumes(container: Mapping[str, Any]) -> Iterator[str]:
    return (str(item["Name"]) for item in container.get("Mounts") or () if item.get("Name"))


def _stays(service: str, path: str, volume: str) -> Left:
    words = f"{service}: what is at {path} is in the anonymous volume {volume[:12]}, and stays there"
    return Left(service, path, volume, words)


def _refuse_two(found: Situation, rescues: list[dict[str, Any]]) -> None:
    """Data of two containers for one place: which of the two is meant, nobody can tell."""
    for item in rescues:
        service = item["service"]
        several = [
            str(one.get("Name", "")).lstrip("/")
            for one in found.found.containers
            if service_of(one) == service and not is_leftover(one)
        ]
        if len(several) > 1:
            raise Refused(
                f"{service} has {len(several)} containers, and data in them.",
                f"What each has at {item['path']} is its own, and {item['target']} can hold that of one only.",
                f"Keep the one that is meant, and remove the others: {', '.join(sorted(several))}.",
                code="adopt.two_containers",
            )
        same = sorted({one["service"] for one in rescues if one["target"] == item["target"]})
        if len(same) > 1:
            raise Refused(
                f"{' and '.join(same)} both have data for {item['target']}.",
                "What each has is its own, and one of the two would be hidden.",
                "Remove the container whose data is not needed (`docker rm`), then adopt again.",
                code="adopt.two_data",
            )


def _without_container(outcome: Outcome, definitions: Mapping[str, Any]) -> list[Left]:
    """Forgejo's data when no container tells where it is. Raises Refused when nothing else does, either."""
    found = outcome.situation
    old = found.lineage.data.get("services", {}).get("forgejo")
    if old is None or "forgejo" in found.containers or "forgejo" not in definitions:
        return []
    if FORGEJO_DATA in forms.mounts(old.get("volumes"), found.environ):
        return []
    mount = forms.mounts(definitions["forgejo"].get("volumes")).get(FORGEJO_DATA)
    target = _full_name(found, outcome.stack.get("volumes") or {}, mount.source if mount else "forgejo-data")
    if target in found.volumes:
        words = (
            f"forgejo: the old file names no volume at {FORGEJO_DATA} and there is no container of it, so it gets what "
            f"is in {target}; did it run from an anonymous volume since, then what it wrote there is not in it"
        )
        return [Left("forgejo", FORGEJO_DATA, "", words)]
    raise Refused(
        "Nobody knows where Forgejo's data is.",
        f"The compose file mounts nothing at {FORGEJO_DATA}, and there is no container of it: "
        "its data would be in an anonymous volume that nothing names.",
        f"Find it (`docker volume ls -f dangling=true`) and copy it into a volume called {target}; "
        f"if there is none, `docker volume create {target}` says so. Then adopt again.",
        code="adopt.forgejo_data",
    )
