"""The stack: a factory's compose file, built as data and dumped once.

`build_stack` gives plain dicts, lists and texts; `dump_compose` writes them with a header of our own that
carries a hash of what follows, so that `inspect_header` can tell an untouched file from an edited one.
Services stand in `stack_services` and `stack_edge`, variables in `stack_env`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import BadInput
from .stack_dump import Foreign, GeneratedBy, Upstream, dump_compose, inspect_header
from .stack_edge import edge, reproduce, staging, staging_deploy
from .stack_services import (
    CADDYFILE,
    NETWORK,
    SITE_DIRECTORY,
    HostFacts,
    StackInputs,
    agents,
    forgejo,
    local_agent,
    runner,
    woodpecker,
    woodpecker_agent,
)

__all__ = [
    "CADDYFILE",
    "SITE_DIRECTORY",
    "Foreign",
    "GeneratedBy",
    "HostFacts",
    "StackInputs",
    "Upstream",
    "agents_services",
    "build_stack",
    "dump_compose",
    "host_ports",
    "inspect_header",
    "referenced_variables",
    "stack_mode",
]

Stack = dict[str, Any]

_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\{([A-Za-z_][A-Za-z0-9_]*)")
_INNER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")


def build_stack(inputs: StackInputs) -> Stack:
    """The compose file as plain data, keys in the order in which they are written.

    Exactly one of `image` and `build` stands in each service; every service that uses the agents image has
    the four mounts its VOLUMEs need; volume names are upstream's, since data lives on under them. Raises
    BadInput (`stack.empty`) without a project, (`stack.services`) when two agents make one service.
    """
    if not inputs.projects:
        raise BadInput(
            "There is no project to run.",
            "The instance has no project file.",
            "Write one with `disinto init --sample`, then try again.",
            code="stack.empty",
        )
    services: dict[str, Any] = {}
    if inputs.bundled:
        services["forgejo"] = forgejo(inputs)
        services["woodpecker"] = woodpecker(inputs)
        services["woodpecker-agent"] = woodpecker_agent(inputs)
    services["agents"] = agents(inputs)
    services["runner"] = runner(inputs)
    for project, agent in inputs.local_agents:
        if agent.service in services:
            raise BadInput(
                f"Two agents make the service {agent.service}.",
                "Their names differ only in characters a service name cannot have.",
                "Rename one of them in its project file.",
                code="stack.services",
            )
        services[agent.service] = local_agent(inputs, project, agent)
    services["edge"] = edge(inputs)
    services["staging"] = staging(inputs)
    services["staging-deploy"] = staging_deploy(inputs)
    if inputs.factory.images.reproduce:
        services["reproduce"] = reproduce(inputs)
    return {
        "name": inputs.factory.project,
        "services": services,
        "networks": {NETWORK: {"driver": "bridge"}},
        "volumes": dict.fromkeys(_volumes(inputs)),
    }


def _volumes(inputs: StackInputs) -> Iterator[str]:
    # A changed definition of a named volume makes newer Compose offer to recreate it, data and all: the
    # definitions stay empty and the order stays this one.
    if inputs.bundled:
        yield from ("forgejo-data", "woodpecker-data")
    yield from ("agent-data", "project-repos", "caddy_data")
    for _, agent in inputs.local_agents:
        short = agent.service.removeprefix("agents-")
        yield from (f"agents-{short}-data", f"project-repos-{short}")


def agents_services(stack: Mapping[str, Any]) -> tuple[str, ...]:
    """The services of a stack that use the agents image: agents, runner, every `agents-<name>`.

    Takes any compose file's data; services are known by their names. Raises nothing.
    """
    services = stack.get("services")
    names = services if isinstance(services, Mapping) else ()
    return tuple(name for name in names if name in ("agents", "runner") or str(name).startswith("agents-"))


def stack_mode(stack: Mapping[str, Any]) -> str:
    """`image`, `build`, `mixed`, or `none` when no service uses the agents image.

    Told per service from parsed data, and only from those that use the agents image (upstream looks for any
    line with `build:`, and one stale service flips the whole stack). A service with both counts as build.
    """
    modes = set()
    for name in agents_services(stack):
        service = stack["services"][name]
        if isinstance(service, Mapping):
            modes.add("build" if service.get("build") else "image")
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "none"


def host_ports(inputs: StackInputs) -> tuple[tuple[str, str, int], ...]:
    """(service, host address or "", port) for each TCP port the stack takes on the host, also the one that
    the CI agent listens on without publishing it."""
    ports, bind = inputs.factory.ports, inputs.factory.bind
    taken = [("edge", bind, ports.http), ("edge", bind, ports.https)]
    if inputs.bundled:
        taken = [
            ("forgejo", bind, ports.forge),
            ("woodpecker", bind, ports.ci),
            ("woodpecker", bind, ports.ci_grpc),
            ("woodpecker-agent", "127.0.0.1", ports.ci_health),
            *taken,
        ]
    return tuple(entry for entry in taken if entry[2])


def referenced_variables(data: object) -> frozenset[str]:
    """The variables that a stack (or any part of it) asks Compose for, also inside defaults."""
    if isinstance(data, str):
        if not _REFERENCE.search(data):
            return frozenset()
        return frozenset(_INNER.findall(data.replace("$$", "")))
    if isinstance(data, Mapping):
        return frozenset().union(*map(referenced_variables, data.values()))
    if isinstance(data, (list, tuple)):
        return frozenset().union(*map(referenced_variables, data))
    return frozenset()
