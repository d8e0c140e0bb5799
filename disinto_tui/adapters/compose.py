"""Docker Compose v2 as a child process: pure functions that build commands, and readers of its answers.

Always an explicit project name, directory, files and env-file, a scrubbed environment, standard input
closed, and never `-y`: Compose 2.40 would answer "Recreate (data will be lost)?" with yes. Never `down -v`,
`-V`, `--remove-orphans`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from disinto_tui.adapters.process import PRIVATE_FILE, Command, Result, child_environment, run
from disinto_tui.core.errors import Failed, Unavailable

MINIMUM = (2, 20, 0)
"""The oldest Compose we trust: `!reset` in overrides (2.18) and `config --hash` with profiles work there."""


@dataclass(frozen=True, slots=True)
class ComposeTarget:
    """Which project, on which engine, from which files. Every compose command of ours carries all of it.

    `variables` go into the child's environment and so win over `.env`: the one-off `AGENTS_IMAGE=… up`.
    `env_data`, in place of `env_file`, is a `.env` that stands on no disk in clear.
    """

    project: str
    directory: str
    files: tuple[str, ...]
    env_file: str | None
    endpoint: str
    profiles: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    env_data: bytes | None = field(default=None, repr=False)

    def with_profiles(self, *profiles: str) -> ComposeTarget:
        """The same target with these profiles on ("*" is all of them)."""
        return replace(self, profiles=profiles)

    def with_variables(self, variables: Mapping[str, str]) -> ComposeTarget:
        """The same target with these variables winning over `.env`."""
        return replace(self, variables={**self.variables, **variables})


def compose(target: ComposeTarget, *arguments: str, writes: bool, timeout: float | None = None) -> Command:
    """`docker compose … ARGUMENTS` for that target."""
    argv = ["docker", "compose", "--ansi", "never", "--progress", "plain"]
    argv += ["--project-name", target.project, "--project-directory", target.directory]
    for file in target.files:
        argv += ["--file", file]
    if target.env_data is not None:
        argv += ["--env-file", PRIVATE_FILE]
    elif target.env_file is not None:
        argv += ["--env-file", target.env_file]
    for profile in target.profiles:
        argv += ["--profile", profile]
    environment = child_environment({"DOCKER_HOST": target.endpoint, **target.variables})
    environment.pop("DOCKER_CONTEXT", None)
    return Command(
        (*argv, *arguments),
        writes=writes,
        cwd=target.directory,
        env=environment,
        timeout=timeout,
        private=target.env_data,
    )


def config_command(target: ComposeTarget) -> Command:
    """Render the files, every profile included, as JSON: the check that Compose itself accepts them."""
    return compose(target.with_profiles("*"), "config", "--format", "json", writes=False, timeout=30)


def up_command(target: ComposeTarget, services: Sequence[str] = (), *, no_deps: bool = False) -> Command:
    """Create and start, building and pulling nothing: a missing image must fail, not be made up."""
    flags = ["--detach", "--no-build", "--pull", "never"]
    if no_deps:
        flags.append("--no-deps")
    return compose(target, "up", *flags, *services, writes=True)


def build_up_command(target: ComposeTarget) -> Command:
    """Create and start in dev mode: build what carries `build:` first."""
    return compose(target, "up", "--detach", "--build", writes=True)


def down_command(target: ComposeTarget) -> Command:
    """Stop and remove the project's containers and networks, every profile; volumes stay."""
    return compose(target.with_profiles("*"), "down", writes=True)


def project_down_command(project: str, directory: str, endpoint: str) -> Command:
    """`down` from the containers' labels alone, for a project whose compose file cannot be read."""
    environment = child_environment({"DOCKER_HOST": endpoint})
    environment.pop("DOCKER_CONTEXT", None)
    argv = ("docker", "compose", "--ansi", "never", "--progress", "plain", "--project-name", project, "down")
    return Command(argv, writes=True, cwd=directory, env=environment)


async def config(target: ComposeTarget) -> dict[str, Any]:
    """The resolved project as Compose sees it. Raises Failed with Compose's own words when it refuses."""
    result = await run(config_command(target))
    if not result.ok:
        raise refused(result)
    return parsed_config(result)


def parsed_config(result: Result) -> dict[str, Any]:
    """The document `config --format json` printed."""
    data = json.loads(result.stdout)
    return data if isinstance(data, dict) else {}


def refused(result: Result) -> Failed:
    """The error for a project Compose does not accept."""
    words = _without_value(result.last_words())
    return Failed(
        "Docker Compose does not accept this project.",
        f"It says: {words[-1].strip() if words else 'nothing'}.",
        "Mend what it names, then try again; `docker compose config` shows the same.",
        code="compose.invalid",
        details=words,
    )


_OF_ENV_FILE = re.compile(
    r"""(failed to read .*?: (?:required variable \S+ is missing a value(?=:)|(?:line \d+: )?[^"'`]*?(?=\s*["'`])))"""
)


def _without_value(words: list[str]) -> list[str]:
    """Compose's words without the value that it could not read: that may be a secret (observed: it comes in a line of
    its own, after the hint about dollars; of `.env` behind a quote, as in `unterminated quoted value "…`)."""
    for at, line in enumerate(words):
        if "invalid interpolation format for " in line:
            return [
                *words[:at],
                f"{line.partition(': ')[0].rstrip('.')} (a dollar that stands for itself is written $$)",
            ]
        if found := _OF_ENV_FILE.search(line):
            return [*words[:at], found[1].rstrip(" :")]
    return words


async def version() -> tuple[int, int, int]:
    """Compose's version. Raises Unavailable when it is missing or older than `MINIMUM`."""
    result = await run(Command(("docker", "compose", "version", "--short"), writes=False, timeout=10))
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", result.stdout.strip())
    if not result.ok or match is None:
        raise Unavailable(
            "Docker Compose v2 is not installed.",
            "`docker compose version` did not answer with a version.",
            "Install the compose plugin (docker-compose-plugin or docker-compose v2), then try again.",
            code="compose.missing",
        )
    found = (int(match[1]), int(match[2]), int(match[3]))
    if found < MINIMUM:
        raise Unavailable(
            f"Docker Compose {match[0]} is too old.",
            f"At least {'.'.join(map(str, MINIMUM))} is needed to render this stack.",
            "Update the compose plugin, then try again.",
            code="compose.old",
        )
    return found
