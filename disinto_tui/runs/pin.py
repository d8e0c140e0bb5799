"""What `.env` pins, and which repository it is a version of. Light: a first paint reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.version import TagKind, classify_tag

if TYPE_CHECKING:
    from disinto_tui.core.model import Factory


KEEP_REPOSITORY = "disinto-kept"
"""`disinto-kept/<project>:<version>-<image id>` are names of ours on images that undo may need; never pushed, and no
repository of versions: an adopted factory may be pinned to one."""


def pinned_reference(env: Mapping[str, str]) -> ImageRef | None:
    """The pin as a reference, None without one or when it is not one."""
    try:
        return parse_image(env["AGENTS_IMAGE"]) if env.get("AGENTS_IMAGE") else None
    except BadInput:
        return None


def bare_pin(env: Mapping[str, str]) -> str:
    """`AGENTS_IMAGE=v0.3.0`, as somebody writes it by hand: a version that names no repository; "" without one."""
    text = env.get("AGENTS_IMAGE", "")
    return text if classify_tag(text) is not TagKind.OTHER else ""


def repository_of(instance: Instance, env: Mapping[str, str]) -> ImageRef:
    """The repository of the agents image: the pin's, else the project file's, else the published one."""
    pinned = pinned_reference(env)
    # A bare version names no repository: not docker.io/library/v0.3.0.
    if pinned is not None and not bare_pin(env) and not pinned.repository.startswith(f"{KEEP_REPOSITORY}/"):
        return ImageRef(pinned.registry, pinned.repository)
    from disinto_tui.core.model import DEFAULT_REPOSITORY

    factory, _ = factory_of(instance)
    return parse_image(factory.agents_image if factory is not None else DEFAULT_REPOSITORY)


def factory_of(instance: Instance) -> tuple[Factory | None, list[str]]:
    """The `[factory]` table of the project files, None when none of them says anything in it that is not the
    default; and the names of the files that cannot be used."""
    from disinto_tui.core.model import Factory
    from disinto_tui.core.project import read_project

    unread = []
    for path in instance.project_files():
        project = read_project(path.read_bytes(), path.name).project
        if project is None:
            unread.append(f"projects/{path.name}")
        elif project.factory != Factory():
            return project.factory, unread
    return None, unread
