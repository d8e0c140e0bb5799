"""`disinto init` as a newcomer meets it: on a terminal, asked for what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.ptykit import terminal
from tests.engine.conftest import SampleImages
from tests.engine.test_init import own_docker_config, states
from tests.support.engine import Engine
from tests.support.factory import config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN
from tests.support.registries import password_registry, push_samples

ROOT = Path(__file__).resolve().parents[2]


def test_token_login_and_yes_are_asked_for_and_nothing_secret_is_echoed(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> None:
    with password_registry(tmp_path / "registry") as registry:
        push_samples(registry, ["v0.2.0"], repository=f"{project}/agents")
        text = config_text(
            project, f"{registry.address}/{project}/agents", forge.url, sample_images.stand_ins
        )
        home = tmp_path / "home"
        home.mkdir()
        factory = new_factory(home, engine.endpoint, project, text)
        factory.cli.env["DOCKER_CONFIG"] = str(own_docker_config(tmp_path / "docker"))
        argv = [
            sys.executable,
            "-m",
            "disinto_tui",
            "--dir",
            str(factory.directory),
            "init",
            str(factory.config),
        ]
        env = {**factory.cli.environment(), "PYTHONPATH": str(ROOT)}
        with terminal(argv, env=env, columns=100, rows=30, cwd=home) as shown:
            shown.wait_for("Forge token", within=300)
            shown.send(ADMIN_TOKEN.encode() + b"\r")
            shown.wait_for("wants a login", "Log in to the registry now?", within=300)
            shown.send(b"y\r")
            shown.wait_for("User", within=300)
            shown.send(registry.user.encode() + b"\r")
            shown.wait_for("Password or token", within=300)
            shown.send(registry.password.encode() + b"\r")
            shown.wait_for("Make it?", within=300)
            assert not factory.directory.exists()
            shown.send(b"y\r")
            shown.wait_for("is running.", "Next:", within=300)
            said = bytes(shown.out)
        assert ADMIN_TOKEN.encode() not in said
        assert registry.password.encode() not in said
        assert states(engine, project)["agents"].endswith("v0.2.0")
        engine.remove(f"label=com.docker.compose.project={project}")
        engine.docker("rmi", f"{registry.address}/{project}/agents:v0.2.0", check=False)
