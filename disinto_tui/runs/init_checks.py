"""What a screen can tell about an init before all of it is known: the config as it is typed, the token alone.

`plan_init` checks the same things again with everything together; this gives the answers one at a time, early,
and raises nothing for what the operator is still writing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from disinto_tui.adapters.forge import ForgeClient, ForgeUser
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.within import within
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.model import Project
from disinto_tui.core.project import Problem, read_projects
from disinto_tui.core.redact import Secret


@dataclass(frozen=True, slots=True)
class ConfigCheck:
    """Every problem of a config file, the other project files of the instance considered. `project` is what
    it says when no problem is an error, else None."""

    problems: tuple[Problem, ...]
    project: Project | None


def check_config(instance: Instance, name: str, text: str | bytes) -> ConfigCheck:
    """Check a config called `name` as `init` would. Raises nothing that the text could cause."""
    alone = read_projects([(name, text)])
    if alone.errors:
        return ConfigCheck(alone.problems, None)
    found = alone.projects[0]
    own = f"{found.name}.toml"
    others: list[tuple[str, str | bytes]] = []
    for path in instance.project_files():
        if path.name != own:
            others.append((path.name, path.read_bytes()))
    together = read_projects([*others, (name, text)]) if others else alone
    if together.errors:
        return ConfigCheck(together.problems, None)
    project = next(item for item in together.projects if item.name == found.name)
    return ConfigCheck(together.problems, project)


def parse_token(text: str) -> Secret | None:
    """A token as it was typed, pasted or read from a file; None for nothing at all.

    Raises BadInput `token.malformed` for what cannot be one.
    """
    text = text.strip()
    if any(char.isspace() or not char.isprintable() for char in text):
        raise BadInput(
            "That is not a token.",
            "It holds a blank or a control character.",
            "Copy it again, alone on one line.",
            code="token.malformed",
        )
    return Secret(text) if text else None


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What the forge says of a token: whose it is; or why it will not do; or neither, with the reason in
    `unknown` (nobody can tell before the bundled forge runs)."""

    user: ForgeUser | None = None
    error: DisintoError | None = None
    unknown: str = ""


async def check_token(project: Project, token: Secret | None, *, timeout: float = 10) -> TokenCheck:
    """Ask the forge of a config whose token it is. Raises nothing; `timeout` in seconds."""
    external = project.factory.forge == "external"
    if token is None:
        if not external:
            return TokenCheck(unknown="none given; the bundled forge can start without one")
        return TokenCheck(
            error=BadInput(
                "No token was given.",
                f"The forge at {project.forge_url} is there already, and the agents need a token for it.",
                "Give one on the first page.",
                code="token.missing",
            )
        )
    try:
        async with ForgeClient(project.forge_url, token) as client:
            return TokenCheck(user=await within(timeout, client.whoami()))
    except asyncio.TimeoutError:
        slow = Unavailable(
            f"The forge at {project.forge_url} did not answer.",
            f"It was given {timeout:g} s.",
            "Check its address and the network, then try again.",
            code="forge.timeout",
        )
        return TokenCheck(error=slow) if external else _later()
    except Unavailable as error:
        return TokenCheck(error=error) if external else _later()
    except DisintoError as error:
        return TokenCheck(error=error)


def _later() -> TokenCheck:
    return TokenCheck(unknown="cannot be checked yet: the bundled forge starts with this factory")
