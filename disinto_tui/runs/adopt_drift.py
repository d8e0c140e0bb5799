"""Where the containers are not what the files say, and what of theirs the adopted stack would not have.

Containers are compared by what they really have: mounts, variables, images. A file that was edited and never started
from, or a variable that only the starting shell knew, would else be found out when the old container is gone. Values of
variables are compared and never told.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from disinto_tui.core.carry import Dropped
from disinto_tui.core.stack_diff import Change

_HOST_MOUNTS = ("/host_mnt", "/run/desktop/mnt/host")
"""Where Docker Desktop's machine has the host's directories."""
_GIVEN = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})
"""What Compose gives every container from the docker CLI's configuration, and does not print."""


def attached(container: Mapping[str, Any]) -> dict[str, str]:
    """What a container has mounted, by path: a volume's name or a path on the host; anonymous volumes left out."""
    found: dict[str, str] = {}
    for item in container.get("Mounts") or ():
        path = str(item.get("Destination", "")).rstrip("/") or "/"
        if item.get("Type") == "volume":
            name = str(item.get("Name", ""))
            if not (len(name) == 64 and set(name) <= set("0123456789abcdef")):
                found[path] = name
        elif item.get("Type") == "bind":
            source = str(item.get("Source", ""))
            for host in _HOST_MOUNTS:
                source = source.removeprefix(host)
            found[path] = os.path.realpath(source)
    return found


def meant(definition: Mapping[str, Any], stack: Mapping[str, Any], project: str) -> dict[str, str]:
    """The same of a service as `docker compose config` resolves it."""
    found: dict[str, str] = {}
    for item in definition.get("volumes") or ():
        path, source = str(item.get("target", "")).rstrip("/") or "/", str(item.get("source") or "")
        if item.get("type") == "bind":
            found[path] = os.path.realpath(source)
        elif item.get("type") == "volume" and source:
            volume = (stack.get("volumes") or {}).get(source) or {}
            found[path] = str(volume.get("name") or f"{project}_{source}")
    return found


def variables(
    container: Mapping[str, Any], image: Mapping[str, str], named: Collection[str] = ()
) -> dict[str, str]:
    """A container's variables beyond those of its image; proxies only when the file has `named` them."""
    pairs = (str(item).partition("=") for item in (container.get("Config") or {}).get("Env") or ())
    return {
        name: value
        for name, _, value in pairs
        if image.get(name) != value and (name in named or name.upper() not in _GIVEN)
    }


def given_to(definition: Mapping[str, Any]) -> dict[str, str]:
    """A service's variables as Compose resolves them; it prints a dollar as two."""
    environment = definition.get("environment") or {}
    return {str(name): str(value or "").replace("$$", "$") for name, value in environment.items()}


def lost(
    containers: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, str]],
    stack: Mapping[str, Any],
    project: str,
    told: Collection[Change],
    dropped: Collection[Dropped],
) -> Iterator[str]:
    """What containers have and their successors would not, in words; all of it dangers.

    `containers` by service, `images` the variables of the image that each runs, `stack` what Compose makes of the files
    to be. What `told` (from the files) and `dropped` say already is not said twice.
    """
    known = {(item.service, item.name) for item in told if item.danger}
    reasons = [(item.service, item.what) for item in dropped]

    def said(service: str, name: str) -> bool:
        return (service, name) in known or any(
            one == service and name in what.split() for one, what in reasons
        )

    definitions = stack.get("services") or {}
    for service, container in containers.items():
        if service not in definitions:
            continue
        after = meant(definitions[service], stack, project)
        for path, source in sorted(attached(container).items()):
            if after.get(path) == source or said(service, path):
                continue
            now = f"{after[path]} is mounted there" if path in after else "nothing is mounted there"
            yield (
                f"{service}: its container has {source} at {path}, and in the files {now}: they were changed since it "
                f"was started, and what is in {source} would be out of sight"
            )
        given = given_to(definitions[service])
        for name, value in sorted(variables(container, images.get(service, {})).items()):
            if not value or given.get(name) or said(service, name):
                continue
            yield (
                f"{service}: {name} has a value in its container, and neither the compose file nor .env gives it one: "
                "it would be gone (was it exported in the shell that started the stack?)"
            )


def drift(
    containers: Mapping[str, Mapping[str, Any]],
    images: Mapping[str, Mapping[str, str]],
    resolved: Mapping[str, Any],
    project: str,
) -> list[str]:
    """Where containers are not what the present files come to (`docker compose config`; {} when it refuses them)."""
    lines: list[str] = []
    for service, definition in (resolved.get("services") or {}).items():
        container = containers.get(service)
        if container is None:
            continue
        wanted = str(definition.get("image", ""))
        runs = str((container.get("Config") or {}).get("Image", ""))
        if wanted and not definition.get("build") and wanted != runs:
            lines.append(f"{service} runs {runs}, and the file says {wanted}")
        have, says = attached(container), meant(definition, resolved, project)
        other = [path for path in sorted({*have, *says}) if have.get(path) != says.get(path)]
        inner = images.get(service, {})
        says_of = given_to(definition)
        mine, given = {**inner, **variables(container, inner, says_of)}, {**inner, **says_of}
        names = [name for name in sorted({*mine, *given}) if mine.get(name, "") != given.get(name, "")]
        for what, found in (("mounts", other), ("variables", names)):
            if found:
                lines.append(
                    f"{service} was started with other {what} than the files say now: {', '.join(found)}"
                )
    return lines
