"""What of an existing stack goes over into `docker-compose.override.yml`, so that nothing an operator put in is lost.

The rule: whatever the old stack says and a new one would say otherwise is kept in the override, but for what upstream's
generators are known to have written there (`UPSTREAM`; facts: 2.1 to 2.8), and for the few things that must not be
kept; those are named one by one. Data is never moved: a mount keeps its old source.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from . import stack_forms as forms
from .carry_rules import GENERATED
from .carry_service import PLACEHOLDER, Carried, CarryFacts, Dropped, ServicePart, dependencies
from .compose_read import RESET, Reset, merge
from .lineage import uses_agents_image
from .stack_services import IMAGE_REFERENCE, NETWORK

__all__ = ["Carried", "CarryFacts", "Dropped", "carry_over", "merged", "repaired"]


def carry_over(old: Mapping[str, Any], new: Mapping[str, Any], facts: CarryFacts) -> Carried:
    """What is to stand in the override beside `new`, so that what `old` has beyond it is kept. Raises nothing."""
    carried = Carried()
    services: dict[str, Any] = {}
    known = new["services"]
    theirs: Mapping[str, Any] = old.get("services") or {}
    for name in theirs.keys() - known.keys():
        part = _hand_made(name, theirs[name], old, known, facts, carried)
        if part:
            services[name] = part
    taken = _taken_out(theirs, known, facts, carried)
    there = frozenset({*services, *(known.keys() - taken)})
    for part in services.values():
        _only_there(part, there)
    nets = old.get("networks") or {}
    own_default, one_net = bool(_definition(nets.get("default"))), NETWORK not in nets
    for name, service in theirs.items():
        if name in known:
            part = ServicePart(name, service, known[name], facts, carried, there, own_default, one_net).part()
            if part:
                services[name] = part
    services = {name: services[name] for name in theirs if name in services}
    services |= dict.fromkeys(sorted(taken), RESET)
    for name, service in known.items():
        cut = sorted(taken & forms.depends(service.get("depends_on")).keys()) if name not in taken else []
        if cut:
            part = services.setdefault(name, {})
            part["depends_on"] = {**part.get("depends_on", {}), **dict.fromkeys(cut, RESET)}
    tables: dict[str, Any] = {}
    volumes, networks = dict(new.get("volumes") or {}), dict(new.get("networks") or {})
    top_volumes: dict[str, Any] = {}
    top_networks: dict[str, Any] = {}
    for kind, have, found in (("volumes", volumes, top_volumes), ("networks", networks, top_networks)):
        for name, value in (old.get(kind) or {}).items():
            if name not in have or _definition(value) != _definition(have[name]):
                found[name] = value
                carried.moved.append(f"{kind[:-1]} {name}")
    for name, service in services.items():
        if isinstance(service, Reset):
            continue
        _declare(
            name, service, {**volumes, **top_volumes}, {**networks, **top_networks}, top_volumes, top_networks
        )
    for key, value in old.items():
        if key not in ("services", "volumes", "networks", "version", "name") and value != new.get(key):
            tables[key] = value
            if not key.startswith("x-"):
                carried.moved.append(key)
    carried.override = {
        **tables,
        **({"services": services} if services else {}),
        **({"networks": top_networks} if top_networks else {}),
        **({"volumes": top_volumes} if top_volumes else {}),
    }
    return carried


def _taken_out(
    theirs: Mapping[str, Any], known: Mapping[str, Any], facts: CarryFacts, carried: Carried
) -> set[str]:
    """Services that a generator writes and somebody took out: they stay out."""
    if not (facts.exact or facts.complete):
        return set()
    taken = {name for name in GENERATED if name in known and name not in theirs}
    carried.moved += [f"the service {name} taken out" for name in sorted(taken)]
    return taken


def _only_there(part: dict[str, Any], there: Collection[str]) -> None:
    """A dependency on a service that is not, makes Compose refuse all."""
    wanted = dependencies(part.get("depends_on"))
    if wanted.keys() <= set(there):
        return
    part["depends_on"] = {name: how for name, how in wanted.items() if name in there}
    if not part["depends_on"]:
        part.pop("depends_on")


def _definition(value: Any) -> dict[str, Any]:
    plain = dict(value) if isinstance(value, Mapping) else {}
    return {} if plain.get("driver") in ("bridge", "local") and len(plain) == 1 else plain


def _declare(
    name: str,
    service: Mapping[str, Any],
    volumes: Mapping[str, Any],
    networks: Mapping[str, Any],
    more_volumes: dict[str, Any],
    more_networks: dict[str, Any],
) -> None:
    """Compose refuses what is declared nowhere: it never ran that way, so there is no data under the name."""
    for mount in forms.mounts(service.get("volumes")).values():
        if mount.kind == "volume" and mount.source and mount.source not in volumes:
            more_volumes.setdefault(mount.source, None)
    for other in forms.names(service.get("networks")):
        if other != "default" and other not in networks:
            more_networks.setdefault(other, None)


def _hand_made(
    name: str,
    service: Mapping[str, Any],
    old: Mapping[str, Any],
    known: Mapping[str, Any],
    facts: CarryFacts,
    carried: Carried,
) -> dict[str, Any]:
    """A service that the new stack does not have, whole; {} when it cannot be kept."""
    part = {key: value for key, value in service.items() if value is not None}
    if name == "chat" and part.get("build"):
        carried.dropped.append(
            Dropped(name, "the service", "upstream moved it into the edge and it cannot be built", True)
        )
        return {}
    agents = old.get("services", {}).get("agents") or {}
    same_build = bool(part.get("build")) and forms.build(part["build"]) == forms.build(agents.get("build"))
    same_image = (
        bool(part.get("image")) and not part.get("build") and part.get("image") == agents.get("image")
    )
    if uses_agents_image(name, part) or same_build or same_image:
        for key in ("build", "pull_policy"):
            part.pop(key, None)
        part["image"] = IMAGE_REFERENCE
    elif part.get("build"):
        if name not in facts.images:
            why = "it is built here, and no image of it is on this host; a pinned stack builds nothing"
            carried.dropped.append(Dropped(name, "the service", why, True))
            return {}
        carried.dropped.append(
            Dropped(name, "its build", f"the image that runs is used instead: {facts.images[name]}")
        )
        part.pop("build")
        part.pop("pull_policy", None)
        part["image"] = facts.images[name]
    elif not part.get("image"):
        carried.dropped.append(Dropped(name, "the service", "it has neither an image nor a build", True))
        return {}
    _drop_flag(name, part, carried)
    _drop_placeholders(name, part, carried)
    if not part.get("network_mode"):
        nets = forms.names(part.get("networks"))
        # Without a network of its own it was on the default one; where the others were, too, they are on ours now.
        if (not nets or nets == ("default",)) and NETWORK not in (old.get("networks") or {}):
            own = part.get("networks")
            part["networks"] = {**own, NETWORK: None} if isinstance(own, Mapping) else ["default", NETWORK]
    carried.moved.append(f"the service {name}")
    return part


def _drop_flag(name: str, part: dict[str, Any], carried: Carried) -> None:
    environment = forms.environment(part.get("environment"))
    if environment.pop("ENABLE_LLAMA_AGENT", None) is not None:
        part["environment"] = environment
        carried.dropped.append(Dropped(name, "ENABLE_LLAMA_AGENT", "newer agents do not start with it"))


def _drop_placeholders(name: str, part: dict[str, Any], carried: Carried) -> None:
    held = [item for item in part.get("volumes") or () if PLACEHOLDER.search(str(item))]
    if held:
        part["volumes"] = [item for item in part["volumes"] if item not in held]
        for item in held:
            target = next(iter(forms.mounts([item])), "a mount")
            carried.dropped.append(Dropped(name, f"the mount at {target}", "its source was never filled in"))


def merged(new: Mapping[str, Any], carried: Carried) -> dict[str, Any]:
    """The new stack as Compose sees it with the override."""
    return merge(new, carried.override)


def repaired(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stack that Compose refuses, with what is declared nowhere declared or dropped: enough to start what ran."""
    found = {key: value for key, value in data.items() if key != "version"}
    services: dict[str, Any] = {}
    volumes, networks = dict(data.get("volumes") or {}), dict(data.get("networks") or {})
    runnable = {
        name: item
        for name, item in (data.get("services") or {}).items()
        if item.get("image") or item.get("build")
    }
    for name, service in runnable.items():
        part = dict(service)
        _drop_placeholders(name, part, Carried())
        depends = {
            other: {"condition": how}
            for other, how in forms.depends(part.pop("depends_on", None)).items()
            if other in runnable
        }
        services[name] = {**part, **({"depends_on": depends} if depends else {})}
        _declare(name, services[name], volumes, networks, volumes, networks)
    found["services"] = services
    return {
        **found,
        **({"volumes": volumes} if volumes else {}),
        **({"networks": networks} if networks else {}),
    }
