"""The `[factory]` table that describes an existing stack: its project, ports and images, as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import stack_forms as forms
from .envfile.expand import TemplateError, substitute
from .errors import BadInput
from .image import parse_image
from .model import Factory

_PORTS = (
    ("forge", "forgejo", "3000/tcp"),
    ("ci", "woodpecker", "8000/tcp"),
    ("ci_grpc", "woodpecker", "9000/tcp"),
    ("http", "edge", "80/tcp"),
    ("https", "edge", "443/tcp"),
)
_IMAGES = (
    ("forgejo", "forgejo"),
    ("woodpecker", "woodpecker"),
    ("woodpecker_agent", "woodpecker-agent"),
    ("staging", "staging"),
    ("staging_deploy", "staging-deploy"),
)


def factory_table(
    data: Mapping[str, Any],
    project: str,
    env: Mapping[str, str],
    local: Mapping[str, str],
    repository: str = "",
) -> str:
    """TOML lines of a `[factory]` that makes the stack `data` again, as far as a table can say it.

    `local`: the local image that runs for each service that is built here; `repository` where the agents image comes
    from, when that is known. What is upstream's default is left out. Raises nothing.
    """
    services: Mapping[str, Any] = data.get("services") or {}
    base = Factory()
    lines = ["", "# What `disinto adopt` found; `disinto init` makes the stack from it.", "[factory]"]
    lines.append(f"project = {_text(project)}")
    if repository and repository != base.agents_image:
        lines.append(f"agents_image = {_text(repository)}")
    if "forgejo" not in services:
        lines.append('forge = "external"')
    ports, binds = _ports(services, env)
    bind = binds.pop() if len(binds) == 1 else ""
    if bind:
        lines.append(f"bind = {_text(bind)}")
    wanted = {name: port for name, port in ports.items() if getattr(base.ports, name) != port}
    if wanted:
        lines += ["", "[factory.ports]", *(f"{name} = {port}" for name, port in wanted.items())]
    images = _images(services, env, local)
    if images:
        lines += ["", "[factory.images]", *(f"{name} = {_text(image)}" for name, image in images.items())]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def resolved(text: str, env: Mapping[str, str]) -> str:
    """A value of a compose file with its variables replaced; as it stands when that cannot be done."""
    try:
        return substitute(text, env.get, lenient=True)
    except TemplateError:
        return text


def _ports(services: Mapping[str, Any], env: Mapping[str, str]) -> tuple[dict[str, int], set[str]]:
    found: dict[str, int] = {}
    binds: set[str] = set()
    for name, service, container in _PORTS:
        if service not in services:
            if service == "edge":
                found[name] = 0  # what was not reachable before is not made so unasked
            continue
        host = resolved(forms.ports(services[service].get("ports")).get(container, ""), env)
        address, _, port = host.rpartition(":")
        found[name] = int(port) if port.isdigit() else 0
        if port.isdigit():
            binds.add(address.strip("[]"))
    if not found.get("ci_grpc", 1):
        del found["ci_grpc"]  # the CI agent reaches the server there, so it cannot be 0
    return found, binds


def _images(services: Mapping[str, Any], env: Mapping[str, str], local: Mapping[str, str]) -> dict[str, str]:
    base, found = Factory().images, {}
    for name, service in _IMAGES:
        image = _image(services.get(service) or {}, env, local.get(service, ""))
        if image and image != getattr(base, name) and image != "codeberg.org/forgejo/forgejo:1":
            found[name] = image
    edge = services.get("edge") or {}
    image = _image(edge, env, local.get("edge", ""))
    if image:
        # Upstream's edge is told what to watch; a plain proxy is told nothing.
        full = "FORGE_URL" in forms.environment(edge.get("environment"))
        if full:
            found["edge"] = image
        elif image != base.caddy:
            found["caddy"] = image
    return found


def _image(service: Mapping[str, Any], env: Mapping[str, str], local: str) -> str:
    image = local if service.get("build") else resolved(str(service.get("image", "")), env)
    try:
        found = parse_image(image) if image else None
    except BadInput:
        return ""
    return "" if found is None else image if found.tag or found.digest else f"{image}:latest"
