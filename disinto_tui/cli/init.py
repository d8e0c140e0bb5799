"""`init`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, carry_out, session_options, wait_for
from disinto_tui.cli.stack import do_plan
from disinto_tui.core.errors import BadInput, ExitCode, Unavailable

_MOST_BYTES = 1 << 20
"""A file an operator names by mistake may be anything; none of ours comes near this."""

if TYPE_CHECKING:
    from disinto_tui.adapters.journal import RunDir
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.bootstrap import InitRequest, Prepared


@click.command()
@click.argument("config", required=False, metavar="CONFIG")
@click.option("--token-file", metavar="FILE", help="Read the forge token from a file.")
@click.option("--token-stdin", is_flag=True, help="Read the forge token from standard input.")
@click.option(
    "--version", "wanted", metavar="VERSION", help="The version to pin; otherwise the newest release."
)
@click.option(
    "--build", "build", metavar="DIR", help="Dev mode: build the agents from this checkout, no pin."
)
@click.option("--no-start", is_flag=True, help="Write the files and stop there.")
@click.option("--overwrite", is_flag=True, help="Replace a compose file that was edited by hand (backed up).")
@click.option("--registry-user", metavar="USER", help="For a private image: the registry's user name.")
@click.option("--registry-password-file", metavar="FILE", help="And a file with its password or token.")
@click.option("--sample", is_flag=True, help="Print a commented sample config and stop.")
@session_options(changes=True)
def init(
    session: Session,
    config: str | None,
    token_file: str | None,
    token_stdin: bool,
    wanted: str | None,
    build: str | None,
    no_start: bool,
    overwrite: bool,
    registry_user: str | None,
    registry_password_file: str | None,
    sample: bool,
) -> int:
    """A new factory from a token and a config file: pinned image, no clone, no build.

    The token comes from --token-file, --token-stdin, FORGE_TOKEN in the environment, or a hidden prompt;
    never from the command line, where every process list shows it. Giving the same again changes nothing.
    """
    if sample:
        from disinto_tui.core.project_sample import render_sample_config

        session.output.data(render_sample_config().rstrip("\n"))
        return ExitCode.DONE
    if config is None:
        raise BadInput(
            "No config file was named.",
            "`init` makes a factory from one.",
            "Start from `disinto init --sample > acme.toml`, then `disinto init acme.toml`.",
            code="config.none",
        )
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.bootstrap import InitRequest
    from disinto_tui.runs.lifecycle import shell_override

    version = wanted or shell_override() or ""
    if not wanted and version:
        session.output.say(f"AGENTS_IMAGE is set in this shell: {version} is what will be pinned.")
    request = InitRequest(
        Instance.at(session.directory),
        config,
        _read(config, "the config file", "config.unreadable"),
        _token(session, token_file, token_stdin),
        version,
        str(Path(build).absolute()) if build else None,
        not no_start,
        overwrite,
        _login(registry_user, registry_password_file),
    )
    return wait_for(with_offers(session, request.instance, lambda: _init(session, request)))


async def _init(session: Session, request: InitRequest) -> ExitCode:
    from disinto_tui.adapters.journal import run_status, unfinished_run

    half_way = unfinished_run(request.instance)
    if half_way is not None and half_way.plan().kind == "init" and not session.dry_run:
        status = run_status(half_way)
        session.output.say(f"An earlier init ({half_way.id}) was left {status}; its plan and files are kept.")
        if not _same_input(half_way, request):
            session.output.say("It was given another config, token or version, so it is taken back first.")
            if not session.confirm("Take it back and begin anew?", default=True):
                return ExitCode.INTERRUPTED
            code = await carry_out(session, half_way, undo=True)
            return code if code != ExitCode.DONE else await _begin(session, request)
        if session.confirm("Finish it? (`disinto resume --undo` takes it back)", default=True):
            secrets = {} if request.token is None else {"FORGE_TOKEN": request.token.reveal()}
            if request.registry_login is not None:
                secrets["REGISTRY_PASSWORD"] = request.registry_login[1].reveal()
            return await carry_out(session, half_way, secrets=secrets)
        return ExitCode.INTERRUPTED
    return await _begin(session, request)


def _same_input(run: RunDir, request: InitRequest) -> bool:
    """Whether a half-way run was planned from this very config and token, and for the version that is named now."""
    from disinto_tui.adapters.instance import read_bytes
    from disinto_tui.core.envfile import EnvFile
    from disinto_tui.runs.ops_files import digest

    files = [item for step in run.plan().steps if step.op == "files" for item in step.params["files"]]
    planned = {item["path"]: item["after"] for item in files}
    configs = [after for path, after in planned.items() if path.startswith("projects/")]
    if configs and digest(request.config) not in configs:
        return False
    places = [run.staged / ".env", request.instance.env_file]
    texts = [data for data in map(read_bytes, places) if data is not None]
    if ".env" not in planned:  # it was, and stays, as it is
        pins = [EnvFile.parse(data).get("AGENTS_IMAGE") or "" for data in texts[-1:]]
        return all(_same_version(pin, request) for pin in pins)
    if request.token is None and request.build_context is None and not request.version:
        return True
    for data in texts:
        if digest(data) == planned[".env"]:
            env = EnvFile.parse(data)
            token = request.token is None or env.get("FORGE_TOKEN") == request.token.reveal()
            return token and _same_version(env.get("AGENTS_IMAGE") or "", request)
    return False


def _same_version(pin: str, request: InitRequest) -> bool:
    """Whether a pin is what the request names: a tag, a digest, or the whole reference; none when it is to build."""
    if request.build_context is not None:
        return not pin
    plain, _, digest = pin.partition("@")
    return request.version in ("", pin, plain, digest, plain.rpartition(":")[2])


async def _begin(session: Session, request: InitRequest) -> ExitCode:
    session.output.status("Asking the engine, the registry and the forge …")
    prepared = await _prepare(session, request)
    session.output.status("")
    return await do_plan(
        session,
        request.instance,
        prepared.plan,
        question="Make it?",
        staged=dict(prepared.staged),
        secrets=dict(prepared.secrets),
    )


async def _prepare(session: Session, request: InitRequest) -> Prepared:
    """Plan; for a private image ask for a login once, when there is a terminal to ask on."""
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.bootstrap import plan_init

    try:
        return await plan_init(request)
    except Unavailable as error:
        interactive = sys.stdin.isatty() and not session.output.as_json
        if error.code != "registry.denied" or request.registry_login is not None or not interactive:
            raise
        session.output.error(error)
        if not click.confirm("Log in to the registry now?", default=True, err=True):
            raise
    user = click.prompt("User", err=True)
    password = Secret(click.prompt("Password or token", hide_input=True, err=True))
    return await plan_init(replace(request, registry_login=(user, password)))


def _read(path: str, what: str, code: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) <= _MOST_BYTES:
            return data
        raise BadInput(
            f"{path} is too large.",
            f"It should be {what}, and holds more than {_MOST_BYTES // 1024} KiB.",
            "Name the right file.",
            code=code,
        )
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read.",
            f"It should be {what}, and the system says: {error.strerror}.",
            "Check the path and try again.",
            code=code,
        ) from None


def _token(session: Session, file: str | None, from_stdin: bool) -> Secret | None:
    """The forge token, from where it was said to be; None when there is none and nobody to ask."""

    if file and from_stdin:
        raise BadInput(
            "The token was given twice.",
            "--token-file and --token-stdin are both there.",
            "Give one of them.",
            code="token.twice",
        )
    if from_stdin:
        text = sys.stdin.readline()
    elif file:
        text = _read(file, "the token's file", "token.unreadable").decode(errors="replace")
    elif os.environ.get("FORGE_TOKEN"):
        text = os.environ["FORGE_TOKEN"]
    elif sys.stdin.isatty() and not session.yes and not _has_token(session):
        text = click.prompt(
            "Forge token (empty for none)", default="", hide_input=True, show_default=False, err=True
        )
    else:
        return None
    text = text.strip()
    if (file or from_stdin) and not text:
        raise BadInput(
            "The token is empty.",
            "The file, or the first line of standard input, holds nothing.",
            "Put the token there and try again.",
            code="token.empty",
        )
    from disinto_tui.runs.init_checks import parse_token

    return parse_token(text)


def _has_token(session: Session) -> bool:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.observe import read_env

    try:
        return bool(read_env(Instance.at(session.directory)).get("FORGE_TOKEN"))
    except BadInput:
        return False


def _login(user: str | None, file: str | None) -> tuple[str, Secret] | None:
    from disinto_tui.core.redact import Secret

    if not user and not file:
        return None
    if not user or not file:
        raise BadInput(
            "The registry login is half.",
            "--registry-user and --registry-password-file belong together.",
            "Give both, or run `docker login` yourself before.",
            code="registry.login",
        )
    text = _read(file, "the registry password's file", "registry.password").decode(errors="replace").strip()
    return user, Secret(text)
