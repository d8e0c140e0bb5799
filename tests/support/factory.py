"""An instance to be, and the command line on it as an operator would use it: a process, its words, its code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import warm
from tests.support.forge_state import ADMIN_TOKEN
from tests.support.processes import free_port


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Stdout as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


FRUGAL = {"GOGC": "off", "GOMAXPROCS": "1"}
"""For Compose, which lives for 40 ms: it need not collect garbage, nor do so on several processors."""
PATIENCE = 600.0
"""Seconds after which a command is taken to hang: a machine that is busy with other tests may stall for minutes."""


@dataclass
class Cli:
    """`disinto` with a home of its own, on the instance in `directory`; `warm`: its code is loaded already."""

    home: Path
    directory: Path
    endpoint: str = ""
    env: dict[str, str] = field(default_factory=dict)
    warm: bool = False

    def environment(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """What the command sees: nothing of the developer's own settings."""
        base = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **FRUGAL}
        # The command-line plugins of a developer's own installation are the one thing taken over.
        if "DOCKER_CONFIG" in os.environ:
            base["DOCKER_CONFIG"] = os.environ["DOCKER_CONFIG"]
        if self.endpoint:
            base["DOCKER_HOST"] = self.endpoint
        return {**base, **self.env, **more}

    def __call__(
        self, *argv: str, stdin: str = "", env: Mapping[str, str] = {}, timeout: float = PATIENCE
    ) -> Said:
        """Run it to its end."""
        command = ("-m", "disinto_tui", "--dir", str(self.directory), *argv)
        done = self.python(*command, stdin=stdin, env=env, timeout=timeout, cwd=self.home)
        return Said(done.returncode, done.stdout, done.stderr)

    def python(
        self,
        *argv: str,
        stdin: str = "",
        env: Mapping[str, str] = {},
        timeout: float = PATIENCE,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """`python ARGV` to its end, in the command's environment."""
        seen = self.environment(env)
        if self.warm:
            return warm.python(*argv, env=seen, cwd=cwd, stdin=stdin, timeout=timeout)
        return subprocess.run(
            [sys.executable, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=seen,
            cwd=cwd,
            timeout=timeout,
        )

    def planned(self, *argv: str, env: Mapping[str, str] = {}) -> Path:
        """The run directory of a command that was planned and confirmed, its process not started."""
        done = self.python("-c", _PLANNED, "--dir", str(self.directory), *argv, env=env)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])


# The command itself, which ends where the run's own process would be started.
_PLANNED = """
import os, sys
from disinto_tui.runs import launch

def ends(run, **_):
    print(run.path, flush=True)
    os._exit(0)

launch.launch = ends
from disinto_tui.cli.main import main
main(sys.argv[1:])
"""


IMPATIENT = (
    "services:\n  agents:\n    healthcheck:\n      start_period: 1s\n      interval: 1s\n      retries: 5\n"
)
"""An override with an impatient healthcheck."""
QUICK = IMPATIENT + "".join(
    f"  {name}:\n    healthcheck:\n      disable: true\n" for name in ("edge", "staging")
)
"""The same, and none where tests do not look: each time that a container is asked for its health costs as much as
starting Python."""


def config_text(
    project: str,
    repository: str,
    forge_url: str,
    stand_ins: Mapping[str, str],
    *,
    version: str = "v0.2.0",
    forge: str = "external",
    more: str = "",
    ports: Mapping[str, int] | None = None,
) -> str:
    """A project file: everything on loopback, free ports, stand-ins for the servers of others."""
    names = ("http", "https", "forge", "ci", "ci_grpc", "ci_health")
    chosen = {**{name: free_port() for name in names}, **(ports or {})}
    images = {
        "caddy": stand_ins["web"],
        "staging": stand_ins["web"],
        "staging_deploy": stand_ins["busybox"],
        "forgejo": stand_ins["forgejo"],
        "woodpecker": stand_ins["woodpecker"],
        "woodpecker_agent": stand_ins["woodpecker-agent"],
    }
    lines = [
        'name = "shop"',
        'repo = "acme/shop"',
        'ops_repo = "acme/shop-ops"',
        f'forge_url = "{forge_url}"',
        'primary_branch = "main"',
        "[factory]",
        f'agents_image = "{repository}"',
        *([f'version = "{version}"'] if version else []),
        f'forge = "{forge}"',
        f'project = "{project}"',
        'bind = "127.0.0.1"',
        "[factory.ports]",
        *(f"{name} = {port}" for name, port in chosen.items()),
        "[factory.images]",
        *(f'{name} = "{reference}"' for name, reference in images.items()),
        more,
    ]
    return "\n".join(lines) + "\n"


@dataclass
class Factory:
    """Config, token file and command line of one factory to be."""

    cli: Cli
    config: Path
    token: Path
    project: str

    @property
    def directory(self) -> Path:
        """The instance."""
        return self.cli.directory

    def init(self, *argv: str, **more: Any) -> Said:
        """`disinto init CONFIG --token-file F --yes ARGV...`"""
        return self.cli("init", str(self.config), "--token-file", str(self.token), "--yes", *argv, **more)

    def files(self) -> dict[str, bytes]:
        """Every file of the instance but the tool's own directory."""
        if not self.directory.exists():
            return {}
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and ".disinto" not in path.parts
        }

    def change_config(self, old: str, new: str) -> None:
        """Edit the config file."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))


def new_factory(
    home: Path, endpoint: str, project: str, config: str, *, token: str = ADMIN_TOKEN, warm: bool = False
) -> Factory:
    """Lay out a home with config and token; nothing is made yet."""
    shared = {"CLAUDE_SHARED_DIR": str(home / "claude-shared")}
    cli = Cli(home, home / "factory", endpoint, shared, warm)
    (home / "acme.toml").write_text(config)
    (home / "token").write_text(token + "\n")
    (home / "token").chmod(0o600)
    return Factory(cli, home / "acme.toml", home / "token", project)
