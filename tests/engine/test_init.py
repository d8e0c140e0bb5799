"""`disinto init` from a token and a config file to a running factory, on the real engine and registry."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import Engine, inspect
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN
from tests.support.processes import free_port
from tests.support.registries import password_registry, push_samples


@pytest.fixture
def factory(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> Factory:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    return new_factory(tmp_path, engine.endpoint, project, text, warm=True)


def states(engine: Engine, project: str) -> dict[str, str]:
    """Service to image of every container of a compose project."""
    form = '{{.Label "com.docker.compose.service"}} {{.Image}}'
    listed = engine.docker(
        "ps", "-a", "--filter", f"label=com.docker.compose.project={project}", "--format", form
    )
    return dict(line.split(" ", 1) for line in listed.stdout.splitlines())


def test_from_a_token_and_a_config_file_to_a_running_factory(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    factory.cli.warm = False  # as an operator starts it
    said = factory.init()
    assert said.code == 0, said.err
    pin = sample_images.reference("v0.2.0")
    assert f"agents     {pin}" in said.err + said.out
    files = factory.files()
    assert set(files) == {
        ".env",
        ".gitignore",
        "docker-compose.yml",
        "docker/Caddyfile",
        "projects/shop.toml",
        "site/index.html",
    }
    assert f"\nAGENTS_IMAGE={pin}\n".encode() in files[".env"]
    assert b"build:" not in files["docker-compose.yml"]
    assert (factory.directory / ".env").stat().st_mode & 0o777 == 0o600
    assert (factory.directory / ".disinto").stat().st_mode & 0o777 == 0o700
    running = states(engine, factory.project)
    assert running["agents"] == pin
    assert set(running) == {"agents", "edge", "staging"}
    # The token is in .env alone: not in the plan, the journal, the log, what was said, or any command line.
    for path in (factory.directory / ".disinto").rglob("*"):
        assert not path.is_file() or ADMIN_TOKEN.encode() not in path.read_bytes(), path
    assert ADMIN_TOKEN not in said.err + said.out
    mounts = {
        item["Destination"] for item in inspect(engine, "container", f"{factory.project}-agents")["Mounts"]
    }  # type: ignore[attr-defined]
    declared = inspect(engine, "image", pin)["Config"]["Volumes"]  # type: ignore[index]
    assert set(declared) <= mounts

    again = factory.init()
    assert again.code == 0, again.err
    assert "Nothing to do." in again.err
    assert factory.files() == files


def test_the_newest_release_is_pinned_when_none_is_named(
    factory: Factory, sample_images: SampleImages
) -> None:
    factory.change_config('version = "v0.2.0"\n', "")
    said = factory.init("--dry-run", "--json")
    assert said.code == 0, said.err
    newest = sample_images.reference("v0.3.0")
    assert newest in [item["reference"] for item in said.document["pulls"]]
    assert not factory.directory.exists()


def test_dry_run_changes_nothing_and_shows_everything(factory: Factory) -> None:
    said = factory.init("--dry-run")
    assert said.code == 0, said.err
    for words in ("docker-compose.yml", "create      agents, edge, staging", "sha256:", "undo"):
        assert words in said.out
    assert not factory.directory.exists()
    assert ADMIN_TOKEN not in said.out


def test_no_start_writes_files_and_up_starts_them(factory: Factory, engine: Engine) -> None:
    assert factory.init("--no-start").code == 0
    assert states(engine, factory.project) == {}
    said = factory.cli("up")
    assert said.code == 0, said.err
    assert "agents" in states(engine, factory.project)


def test_json_is_one_event_a_line_to_the_end(factory: Factory) -> None:
    factory.cli.warm = False
    said = factory.init("--json")
    assert said.code == 0, said.err
    kinds = [event["kind"] for event in said.events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_ended"
    result = said.events[-1]["result"]
    assert result["digest"].startswith("sha256:")
    assert result["user"] == "disinto-admin"
    again = factory.init("--json")
    assert again.document == {"changed": False}


# -- faults: three sentences, the documented code, the directory as it was ------------------------------------


def refused(said: object, code: int, *words: str) -> None:
    assert said.code == code, (said.code, said.err)  # type: ignore[attr-defined]
    lines = said.err[said.err.index("✗") :].splitlines()  # type: ignore[attr-defined]
    assert len(lines) >= 3, lines
    for word in words:
        assert word in said.err, said.err  # type: ignore[attr-defined]


def test_bad_token(factory: Factory) -> None:
    factory.token.write_text("0123456789012345678901234567890123456789\n")
    refused(factory.init(), 2, "does not accept the token", "/user/settings/applications")
    assert not factory.directory.exists()


def test_no_token(factory: Factory) -> None:
    factory.cli.warm = False
    refused(factory.cli("init", str(factory.config), "--yes"), 2, "No token was given")
    assert not factory.directory.exists()


def test_wrong_architecture(factory: Factory, sample_images: SampleImages) -> None:
    address, _, path = sample_images.repository.partition("/")
    push_samples(address, ["v0.4.0"], repository=path, options=["--arch", "s390x"])
    refused(factory.init("--version", "v0.4.0"), 2, "s390x")
    assert not factory.directory.exists()


def test_no_such_version(factory: Factory) -> None:
    refused(factory.init("--version", "v9.9.9"), 2, "There is no", "v9.9.9", "v0.3.0")
    assert not factory.directory.exists()


def test_what_is_no_version_at_all(factory: Factory) -> None:
    refused(factory.init("--version", "v0..1@"), 2, "is not an image reference")
    assert not factory.directory.exists()


def test_private_image(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> None:
    with password_registry(tmp_path / "registry") as registry:
        push_samples(registry, ["v0.2.0"], repository=f"{project}/agents")
        text = config_text(
            project, f"{registry.address}/{project}/agents", forge.url, sample_images.stand_ins
        )
        home = tmp_path / "home"
        home.mkdir()
        factory = new_factory(home, engine.endpoint, project, text, warm=True)
        # A login must be written where the docker command looks for it, and this test must not touch another.
        factory.cli.env["DOCKER_CONFIG"] = str(own_docker_config(tmp_path / "docker"))
        refused(factory.init(), 3, "wants a login", f"docker login {registry.address}")
        assert not factory.directory.exists()

        (home / "password").write_text("wrong\n")
        login = ("--registry-user", registry.user, "--registry-password-file", str(home / "password"))
        refused(factory.init(*login), 3, "refused the login")
        assert not factory.directory.exists()

        (home / "password").write_text(registry.password + "\n")
        said = factory.init(*login)
        assert said.code == 0, said.err
        assert states(engine, project)["agents"].endswith("v0.2.0")
        for path in factory.directory.rglob("*"):
            assert not path.is_file() or registry.password.encode() not in path.read_bytes(), path
        engine.remove(f"label=com.docker.compose.project={project}")
        engine.docker("rmi", f"{registry.address}/{project}/agents:v0.2.0", check=False)


def own_docker_config(directory: Path) -> Path:
    """An empty configuration of the docker command that still finds its plugins."""
    directory.mkdir()
    theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    if theirs.is_dir():
        (directory / "cli-plugins").symlink_to(theirs)
    return directory


def test_port_taken(factory: Factory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = factory.config.read_text().splitlines()
        factory.config.write_text(
            "\n".join(f"http = {port}" if line.startswith("http =") else line for line in text)
        )
        refused(factory.init(), 2, str(port), "[factory.ports]")
        assert not factory.directory.exists()
        # Files alone need no port.
        assert factory.init("--no-start").code == 0


def test_engine_down(factory: Factory) -> None:
    factory.cli.warm = False
    factory.cli.endpoint = "unix:///nonexistent/docker.sock"
    refused(factory.init(), 3, "No Docker Engine answers", "unix:///nonexistent/docker.sock")
    assert not factory.directory.exists()


def test_forge_down(factory: Factory) -> None:
    text = factory.config.read_text().splitlines()
    dead = f'forge_url = "http://127.0.0.1:{free_port()}"'
    factory.config.write_text("\n".join(dead if line.startswith("forge_url") else line for line in text))
    refused(factory.init(), 3, "did not answer")
    assert not factory.directory.exists()


def test_bad_config_names_every_problem_at_once(factory: Factory) -> None:
    factory.change_config('repo = "acme/shop"\n', 'rep = "acme/shop"\n')
    factory.change_config('bind = "127.0.0.1"\n', 'bind = "127.0.0.1"\nprot = 3\n')
    said = factory.init()
    refused(said, 2, "rep", "prot", "acme.toml")
    assert "line 2" in said.err or ":2" in said.err
    assert not factory.directory.exists()


def test_two_factories_of_one_name(factory: Factory, tmp_path: Path) -> None:
    assert factory.init().code == 0
    factory.cli.directory = tmp_path / "elsewhere"
    refused(factory.init(), 4, "Another factory is called")
    assert not factory.directory.exists()


def test_half_written_earlier_attempt(factory: Factory) -> None:
    """A directory with remains that are not ours is refused, and stays as it is."""
    factory.directory.mkdir()
    (factory.directory / "docker-compose.yml").write_text("services:\n  agents:\n    image: x\n    vol")
    before = factory.files()
    refused(factory.init(), 4, "docker-compose.yml")
    assert factory.files() == before
    said = factory.init("--overwrite", "--no-start")
    assert said.code == 0, said.err
    run = next((factory.directory / ".disinto/runs").iterdir())
    assert (run / "backup/docker-compose.yml").read_bytes() == before["docker-compose.yml"]


def test_an_edited_compose_file_is_not_overwritten_unasked(factory: Factory) -> None:
    assert factory.init("--no-start").code == 0
    path = factory.directory / "docker-compose.yml"
    edited = path.read_text().replace("restart: unless-stopped", "restart: always", 1)
    path.write_text(edited)
    refused(factory.init("--no-start"), 4, "edited by hand", "restart")
    assert path.read_text() == edited
    said = factory.init("--no-start", "--overwrite")
    assert said.code == 0, said.err
    assert path.read_text() != edited


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run(
        [*root, "mount", "-t", "tmpfs", "-o", "size=160k,mode=777", "tmpfs", str(place)], check=True
    )
    yield place
    subprocess.run([*root, "umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("left", [0, 4, 12, 28, 44])
def test_full_disk(factory: Factory, small_disk: Path, left: int) -> None:
    """Whatever room is left (KiB): three sentences, and once there is room again the work can be finished."""
    factory.cli.directory = small_disk / "factory"
    factory.directory.mkdir()
    filler = small_disk / "filler"
    out = os.open(filler, os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(out, b"x" * 4096)
    os.ftruncate(out, filler.stat().st_size - left * 1024)
    os.close(out)
    said = factory.init("--no-start")
    if said.code:
        refused(said, 1, "disk is full")
    filler.unlink()
    done = factory.init("--no-start")  # the same command again, as the error says: it finishes what was begun
    assert done.code == 0, (said.err, done.err)
    assert {".env", "docker-compose.yml", "projects/shop.toml"} <= set(factory.files())
    assert not list(factory.directory.rglob("*.part"))


def test_a_bundled_forge_is_started_and_waited_for(
    engine: Engine, sample_images: SampleImages, project: str, tmp_path: Path
) -> None:
    """Stand-ins under the real names: the stack's shape, its order and its health are what is proven."""
    ports = {"forge": free_port()}
    text = config_text(
        project,
        sample_images.repository,
        f"http://127.0.0.1:{ports['forge']}",
        sample_images.stand_ins,
        forge="bundled",
        ports=ports,
        more='[agents.qwen]\nbase_url = "http://10.0.0.5:8081"\nmodel = "qwen3"\nforge_user = "qwen-bot"\n',
    )
    factory = new_factory(tmp_path, engine.endpoint, project, text, warm=True)
    # What is the operator's own is merged from the first start on; an engine without the rights to run
    # privileged containers is one reason to have something of one's own.
    factory.directory.mkdir()
    own = "services:\n  woodpecker-agent:\n    privileged: false\n"
    (factory.directory / "docker-compose.override.yml").write_text(own)
    said = factory.cli("init", str(factory.config), "--yes")
    assert said.code == 0, said.err
    assert "not created yet by this tool" in said.err
    running = states(engine, project)
    assert {"forgejo", "woodpecker", "woodpecker-agent", "agents", "agents-qwen", "edge"} <= set(running)
    assert running["agents-qwen"] == running["agents"]
    document = factory.cli("status", "--json").document
    assert all(item["state"] in ("healthy", "running") for item in document["services"]), document
    again = factory.cli("init", str(factory.config), "--yes")
    assert "Nothing to do." in again.err, again.err
