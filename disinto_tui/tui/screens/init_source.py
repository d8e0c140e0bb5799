"""Where Init gets its answers from: the same functions the headless `init` uses, behind one seam for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from disinto_tui.core.errors import BadInput

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.catalog import Catalog
    from disinto_tui.core.model import Project
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.init_checks import ConfigCheck, TokenCheck
    from disinto_tui.runs.init_model import InitRequest, Prepared

Login = tuple[str, "Secret"]


@dataclass(frozen=True, slots=True)
class InitSource:
    """Asks the outside. Everything is imported where it is used: the pages are on the screen before."""

    async def check_config(self, instance: Instance, name: str, text: str) -> ConfigCheck:
        """Every problem of a config; in a thread, it reads the other project files."""
        import asyncio

        def work() -> ConfigCheck:
            from disinto_tui.runs.init_checks import check_config

            return check_config(instance, name, text)

        return await asyncio.to_thread(work)

    async def check_token(self, project: Project, token: Secret | None) -> TokenCheck:
        """Whose token it is."""
        from disinto_tui.runs.init_checks import check_token

        return await check_token(project, token)

    async def versions(self, instance: Instance, project: Project, login: Login | None) -> Catalog:
        """The versions of the config's repository."""
        from disinto_tui.adapters.engine import Engine, find_endpoint
        from disinto_tui.core.image import parse_image
        from disinto_tui.runs.versions import list_versions

        repository = parse_image(project.factory.agents_image)
        credentials = None
        if login is not None:
            from disinto_tui.adapters.dockerconfig import DockerConfig
            from disinto_tui.adapters.registry_auth import Credential, StaticCredentials

            credentials = StaticCredentials(
                {repository.registry: Credential(*login, name="the login that was typed in")},
                DockerConfig.load(),
            )
        engine = Engine(await find_endpoint())
        return await list_versions(
            repository, engine=engine, pinned=pinned_tag(instance), credentials=credentials
        )

    async def plan(self, request: InitRequest) -> Prepared:
        """The plan. Raises what `plan_init` raises."""
        from disinto_tui.runs.bootstrap import plan_init

        return await plan_init(request)


def pinned_tag(instance: Instance) -> str:
    """The version that `.env` pins; "" when it pins none."""
    from disinto_tui.runs.observe import pinned_reference, read_env

    try:
        found = pinned_reference(read_env(instance))
    except BadInput:
        return ""
    return (found.tag or "") if found is not None else ""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What Init starts with: the config's text and path ("" for the sample), and where a token is already.

    `kept` is the token in `.env`, which stays when none is given; the run reads it there by itself.
    """

    text: str
    path: str
    token_note: str
    version: str
    kept: Secret | None = None


def beginning(instance: Instance, path: str = "") -> Beginning:
    """Look at the directory and the shell. Raises BadInput when the named config cannot be read."""
    from disinto_tui.core.project_sample import render_sample_config
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.lifecycle import shell_override
    from disinto_tui.runs.observe import read_env

    mine = instance.project_files()
    if not path and len(mine) == 1:
        path = str(mine[0])
    text = read_text(path) if path else render_sample_config()
    try:
        known = read_env(instance).get("FORGE_TOKEN", "")
    except BadInput:
        known = ""
    note = ""
    if os.environ.get("FORGE_TOKEN"):
        note = "FORGE_TOKEN is set in this shell: leave both empty to use that one."
    elif not known:
        note = "None yet? The bundled forge starts without one: leave both empty."
    else:
        note = ".env holds a token already: leave both empty to keep it."
    return Beginning(text, path, note, shell_override() or "", Secret(known) if known else None)


def read_text(path: str) -> str:
    """A file's text. Raises BadInput."""
    try:
        return Path(path).expanduser().read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInput(
            f"{path} cannot be read.",
            f"The system says: {why}.",
            "Check the path and try again.",
            code="config.unreadable",
        ) from None


def system_error(error: OSError) -> BadInput:
    """What the system refused, in three sentences."""
    return BadInput(
        f"{error.filename or 'A file of this factory'} cannot be used.",
        f"The system says: {error.strerror or error}.",
        "Start disinto as a user who may read and write there, or name another directory with --dir.",
        code="instance.unusable",
    )


def typed_token(typed: str, file: str) -> Secret | None:
    """The token from its field, its file or the shell, in this order; None when there is none.

    Raises BadInput as the headless `init` does.
    """
    from disinto_tui.runs.init_checks import parse_token

    if typed.strip() and file.strip():
        raise BadInput(
            "The token was given twice.",
            "It stands in the field, and a file is named.",
            "Empty one of them.",
            code="token.twice",
        )
    if file.strip():
        found = parse_token(read_text(file.strip()))
        if found is None:
            raise BadInput(
                "The token is empty.",
                f"{file.strip()} holds nothing.",
                "Put the token there and try again.",
                code="token.empty",
            )
        return found
    return parse_token(typed) or parse_token(os.environ.get("FORGE_TOKEN", ""))
