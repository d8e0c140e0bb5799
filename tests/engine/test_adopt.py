"""Stacks of every kind that upstream left, adopted on the real engine, switched, and taken back: nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import ROOT, Engine, inspect
from tests.support.factory import Cli, Factory, Said, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.generations import PROJECT, SHAPES
from tests.support.processes import free_port
from tests.support.registries import push_samples

SECRET = "s3cret-token-of-the-dev-bot"
WRITE = "mkdir -p /{0}/deep; echo precious >/{0}/deep/file; echo top >/{0}/top; chmod 640 /{0}/top"


@dataclass
class Old:
    """A stack of an earlier generation, in its directory."""

    factory: Factory
    engine: Engine

    @property
    def project(self) -> str:
        return self.factory.project

    def compose(self, *argv: str) -> None:
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *argv],
            capture_output=True,
            text=True,
            check=False,
            env=self.factory.cli.environment(),
            cwd=self.factory.directory,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr

    def accepted(self) -> bool:
        """Whether Compose takes the files as they are."""
        done = subprocess.run(
            ["docker", "compose", "config", "-q"],
            capture_output=True,
            check=False,
            env=self.factory.cli.environment(),
            cwd=self.factory.directory,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode == 0

    def sh(self, service: str, script: str) -> str:
        return self.engine.docker("exec", f"{self.project}-{service}", "sh", "-c", script).stdout

    def adopt(self, *argv: str) -> Said:
        return self.factory.cli("adopt", *argv)

    def image_of(self, service: str) -> str:
        return str(inspect(self.engine, "container", f"{self.project}-{service}")["Image"])

    def running(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        listed = self.engine.docker(
            "ps", "--filter", label, "--format", '{{.Label "com.docker.compose.service"}}'
        )
        return sorted(listed.stdout.split())

    def mounts(self, service: str) -> dict[str, str]:
        found = inspect(self.engine, "container", f"{self.project}-{service}")["Mounts"]
        assert isinstance(found, list)
        return {item["Destination"]: item.get("Name") or item["Source"] for item in found}


@pytest.fixture(scope="module")
def names(engine: Engine, sample_images: SampleImages) -> Iterator[dict[str, str]]:
    """Local names of images, as a host has them that built its agents: a Forgejo that declares /data among them."""
    stand_ins = sample_images.stand_ins
    for reference in (*stand_ins.values(), sample_images.reference("v0.1.0")):
        engine.docker("pull", "--quiet", reference)
    forgejo = f"{engine.prefix}/forgejo:1"
    made = engine.docker("create", "--label", engine.label, stand_ins["forgejo"]).stdout.strip()
    engine.docker("commit", "--change", "VOLUME /data", made, forgejo)
    engine.docker("rm", made)
    agents = f"{engine.prefix}/agents:latest"
    engine.docker("tag", sample_images.reference("v0.1.0"), agents)
    yield {**stand_ins, "forgejo": forgejo, "agents": agents}


def lay_out(
    home: Path,
    engine: Engine,
    names: dict[str, str],
    sample_images: SampleImages,
    shape: str,
    *,
    toml: str = "",
    env: str = "",
    override: str = "",
) -> Old:
    """The directory of a factory of that shape: real names replaced by stand-ins, ports by free ones."""
    project = f"{engine.prefix}-{shape}"
    directory = home / project
    cli = Cli(home, directory, engine.endpoint)
    for name in ("projects", "docker", "state"):
        (directory / name).mkdir(parents=True)
    text = SHAPES[shape].text
    for old, new in (
        ("codeberg.org/forgejo/forgejo:11.0", names["forgejo"]),
        ("woodpeckerci/woodpecker-server:v3", names["woodpecker"]),
        ("woodpeckerci/woodpecker-agent:v3", names["woodpecker-agent"]),
        ("ghcr.io/disinto/edge:${DISINTO_IMAGE_TAG:-latest}", names["web"]),
        ("ghcr.io/disinto/agents", sample_images.repository),
        ("disinto/agents:latest", names["agents"]),
        ("disinto/agents-llama:latest", names["agents"]),
        ("caddy:alpine", names["web"]),
        ("alpine:3", names["busybox"]),
        ("container_name: disinto-", f"container_name: {project}-"),
        ("privileged: true", "privileged: false"),
        # The sample declares a volume below, and the engine has to make its place there.
        ("./disinto:/home/agent/disinto:ro", "./disinto:/home/agent/disinto"),
    ):
        text = text.replace(old, new)
    for port in (3000, 8000, 9000, 80, 443):
        text = text.replace(f'"{port}:{port}"', f'"127.0.0.1:{free_port()}:{port}"')
    (directory / "docker-compose.yml").write_text(text)
    (directory / "docker/Caddyfile").write_text(":80 {\n}\n")
    (directory / "docker/index.html").write_text("Nothing shipped yet")
    (directory / "projects/shop.toml").write_text(PROJECT + toml)
    lines = (
        f"# mine\nFORGE_TOKEN={SECRET}\nCLAUDE_SHARED_DIR={home}/claude\nWOODPECKER_AGENT_SECRET=abc\n{env}"
    )
    (directory / ".env").write_text(lines)
    if override:
        (directory / "docker-compose.override.yml").write_text(override)
    return Old(Factory(cli, home / "none", home / "none", project), engine)


def end(old: Old, *names: str) -> None:
    old.engine.remove(f"label=com.docker.compose.project={old.project}")
    for name in names:
        old.engine.docker("rmi", name, check=False)


@pytest.mark.slow
def test_a_stack_that_builds_is_adopted_switched_twice_and_taken_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """From before versioned images: agents built here, data in named volumes, a hand edit and a service more."""
    old = lay_out(tmp_path, engine, names, sample_images, "apr", env="DISINTO_IMAGE_TAG=v9\n")
    file = old.factory.directory / "docker-compose.yml"
    edited = file.read_text().replace(
        "      CLAUDE_TIMEOUT: ${CLAUDE_TIMEOUT:-7200}",
        "      CLAUDE_TIMEOUT: '99'\n      MINE: 'yes'\n      HAND_KEY: hunter2-in-clear",
    )
    mine = f"  mine:\n    image: {names['web']}\n    networks: [disinto-net]\n\nvolumes:\n"
    file.write_text(edited.replace("\nvolumes:\n", mine, 1))
    built = [f"{old.project}-{name}:latest" for name in ("agents", "runner", "edge")]
    for name, of in zip(built, ("agents", "agents", "web"), strict=True):
        engine.docker("tag", names[of], name)
    try:
        old.compose("up", "-d", "--no-build", "--pull", "never")
        old.sh("forgejo", WRITE.format("data"))
        old.sh("agents", "echo logs >/home/agent/data/mine")
        before = old.factory.files()
        ran, image = old.running(), old.image_of("agents")
        ids = engine.ids("container", f"label=com.docker.compose.project={old.project}")

        planned = old.adopt("--dry-run", "--json")
        assert planned.code == 0, planned.err
        found = planned.document["facts"]["adopt"]
        assert (found["generation"], found["mode"]) == ("upstream-build", "build")
        assert "the service mine" in found["moved"]
        assert found["data"] == []
        assert SECRET not in planned.out + planned.err
        shown = old.adopt("--dry-run")
        assert (
            "hunter2" not in planned.out + shown.out + shown.err
        )  # nor what stands in clear in a compose file
        assert "environment HAND_KEY ([hidden])" in shown.out
        assert old.factory.files() == before  # a dry run changes nothing
        assert old.adopt().code == 2  # no terminal: never a yes that nobody gave
        assert engine.ids("container", f"label=com.docker.compose.project={old.project}") == ids

        said = old.adopt("--yes")
        assert said.code == 0, said.err
        env = (old.factory.directory / ".env").read_text()
        assert f"AGENTS_IMAGE=docker.io/disinto-kept/{old.project}:" in env
        assert "DISINTO_IMAGE_TAG" not in env and env.startswith("# mine\nFORGE_TOKEN=")
        assert old.image_of("agents") == image  # the same image, by a name that can be pinned
        assert set(ran) <= set(old.running())
        assert old.sh("forgejo", "cat /data/deep/file /data/top") == "precious\ntop\n"
        assert old.sh("agents", "cat /home/agent/data/mine; echo $CLAUDE_TIMEOUT $MINE") == "logs\n99 yes\n"
        assert "hunter2" not in "".join(
            path.read_text() for path in old.factory.directory.glob(".disinto/runs/*/*") if path.is_file()
        )
        again = old.adopt("--yes")
        assert "Nothing to do." in again.err, again.err

        for version in ("v0.2.0", "v0.3.0"):
            name = sample_images.reference(version)
            said = old.factory.cli("use", name, "--yes", "--soak", "0.2")
            assert said.code == 0, said.err
        old.sh("forgejo", "echo later >/data/later")

        said = old.adopt("--undo", "--yes")
        assert said.code == 0, said.err
        after = {name: data for name, data in old.factory.files().items() if not name.startswith("state/")}
        assert after == before
        assert old.running() == ran
        assert old.image_of("agents") == image
        assert old.sh("forgejo", "cat /data/deep/file /data/top /data/later") == "precious\ntop\nlater\n"
        assert old.sh("agents", "cat /home/agent/data/mine") == "logs\n"
        assert old.adopt("--undo", "--yes").code == 2  # once is enough
    finally:
        end(old, *built)


TRACKED = """
[factory]
project = "{project}"
bind = "127.0.0.1"
[factory.ports]
forge = {forge}
ci = 0
ci_grpc = {grpc}
http = 0
https = 0
[factory.images]
forgejo = "{forgejo}"
woodpecker = "{woodpecker}"
woodpecker_agent = "{agent}"
caddy = "{web}"
staging = "{web}"
staging_deploy = "{busybox}"
"""


@pytest.mark.slow
def test_a_forgejo_in_an_anonymous_volume_is_not_recreated_before_its_data_is_copied(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """The hand-made file in git mounts /var/lib/forgejo, and the data is in /data: an anonymous volume."""
    toml = TRACKED.format(
        project=f"{engine.prefix}-tracked",
        forge=free_port(),
        grpc=free_port(),
        agent=names["woodpecker-agent"],
        **{key: names[key] for key in ("forgejo", "woodpecker", "web", "busybox")},
    )
    old = lay_out(tmp_path, engine, names, sample_images, "tracked", toml=toml)
    try:
        old.compose("up", "-d", "--no-build", "--pull", "never")
        old.sh("forgejo", WRITE.format("data") + "; ln -s top /data/link; chown 1000:1000 /data/top")
        old.sh("agents", "echo logs >/home/agent/data/mine; echo clone >/home/agent/repos/mine")
        (old.factory.directory / "docker-compose.override.yml").write_text(
            "services:\n  woodpecker-agent:\n    privileged: false\n"
        )
        anonymous = old.mounts("forgejo")["/data"]
        assert len(anonymous) == 64
        before, ran = old.factory.files(), old.running()

        planned = old.adopt("--dry-run", "--json").document
        assert "anonymous volume of this one container" in planned["dangers"][0]
        copied = {item["path"] for item in planned["facts"]["adopt"]["data"]}
        assert {"/data", "/home/agent/repos"} <= copied

        said = old.adopt("--yes")
        assert said.code == 0, said.err
        assert "compared, the same" in said.err
        assert old.mounts("forgejo")["/data"] == f"{old.project}_forgejo-data"
        assert old.mounts("agents")["/home/agent/data"].endswith("/data/agents")  # bind mounts stay
        listed = "cat /data/deep/file /data/link; stat -c '%a %u' /data/top"
        assert old.sh("forgejo", listed) == "precious\ntop\n640 1000\n"
        assert old.sh("agents", "cat /home/agent/data/mine /home/agent/repos/mine") == "logs\nclone\n"
        assert anonymous in engine.ids("volume")  # it stays until somebody removes it
        old.sh("forgejo", "echo later >/data/later")

        said = old.adopt("--undo", "--yes")
        assert said.code == 0, said.err
        kept = {
            name: data
            for name, data in old.factory.files().items()
            if not name.startswith(("state/", "data/"))
        }
        assert kept == {name: data for name, data in before.items() if not name.startswith("data/")}
        assert old.running() == ran
        assert old.sh("forgejo", f"{listed}; cat /data/later") == "precious\ntop\n640 1000\nlater\n"
        assert old.sh("agents", "cat /home/agent/data/mine") == "logs\n"
    finally:
        end(old)


@pytest.mark.slow
def test_what_does_not_come_up_is_taken_back_by_itself(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """A stack with images goes to a version that ends at once: files, containers and data as before."""
    old = lay_out(tmp_path, engine, names, sample_images, "head", env="DISINTO_IMAGE_TAG=v0.1.0\n")
    try:
        old.compose("up", "-d", "--pull", "never")
        old.sh("forgejo", WRITE.format("data"))
        before, ran, image = old.factory.files(), old.running(), old.image_of("agents")
        planned = old.adopt("--dry-run", "--json").document
        assert planned["facts"]["adopt"]["pin"] == sample_images.reference("v0.1.0")
        address, _, path = sample_images.repository.partition("/")
        push_samples(address, ["v0.4.0"], repository=path, options=["--behavior", "exit"])
        said = old.adopt("--yes", "--version", "v0.4.0")
        assert said.code == 1, said.err
        assert "What ran before runs again." in said.err
        after = {name: data for name, data in old.factory.files().items() if not name.startswith("state/")}
        assert after == before
        assert (old.running(), old.image_of("agents")) == (ran, image)
        assert old.sh("forgejo", "cat /data/deep/file") == "precious\n"
        assert old.adopt("--undo", "--yes").code == 2  # there is nothing to take back any more
    finally:
        end(old)


STOPPED = [name for name in SHAPES if name not in ("apr", "tracked")]


@pytest.mark.parametrize("shape", STOPPED)
def test_a_stopped_stack_of_any_generation_is_adopted_and_taken_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages, shape: str
) -> None:
    """Nothing is started; files that Compose refuses go over into ones that it takes; undo is exact to the byte."""
    qwen = '[agents.qwen]\nbase_url = "http://model:8080"\nmodel = "q"\nforge_user = "qwen-bot"\n'
    more = {"toml": qwen if shape in ("half-written", "mixed") else "", "override": SHAPES[shape].override}
    old = lay_out(tmp_path, engine, names, sample_images, shape, **more)
    try:
        if "forgejo-anonymous" in SHAPES[shape].slugs:
            said = old.adopt("--dry-run", "--version", sample_images.reference("v0.1.0"))
            assert said.code == 4, said.err
            assert "Nobody knows where Forgejo's data is." in said.err
            engine.docker("volume", "create", "--label", engine.label, f"{old.project}_forgejo-data")
        before = {name: (data, mode(old, name)) for name, data in old.factory.files().items()}
        assert old.accepted() == SHAPES[shape].valid
        said = old.adopt("--yes", "--version", sample_images.reference("v0.1.0"))
        assert said.code == 0, said.err
        assert old.running() == []
        assert old.accepted()
        assert (
            f"AGENTS_IMAGE={sample_images.reference('v0.1.0')}"
            in (old.factory.directory / ".env").read_text()
        )
        said = old.adopt("--undo", "--yes")
        assert said.code == 0, said.err
        assert {name: (data, mode(old, name)) for name, data in old.factory.files().items()} == before
        assert not (old.factory.directory / "site").exists()
    finally:
        end(old)
        engine.docker("volume", "rm", f"{old.project}_forgejo-data", check=False)


def mode(old: Old, name: str) -> int:
    return (old.factory.directory / name).stat().st_mode


def test_a_file_changed_since_is_not_overwritten_by_the_way_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    legacy = "DISINTO_IMAGE_TAG=v9\nREVIEW_BOT_TOKEN=abc\n"
    old = lay_out(tmp_path, engine, names, sample_images, "head", env=legacy)
    try:
        said = old.adopt("--dry-run")
        assert said.code == 2 and "Nobody knows which version this factory runs." in said.err
        assert old.adopt("--yes", "--version", sample_images.reference("v0.1.0")).code == 0
        file = old.factory.directory / ".env"
        assert "REVIEW_BOT_TOKEN=abc\n" in file.read_text() and "DISINTO_IMAGE_TAG" not in file.read_text()
        assert "FORGE_REVIEW_TOKEN='abc'\n" in file.read_text()
        file.write_text(file.read_text() + "MINE=1\n")
        said = old.adopt("--undo", "--yes")
        assert said.code == 4, said.err
        assert ".env was changed since it was adopted." in said.err
        assert "MINE=1" in file.read_text()
    finally:
        end(old)


def test_a_file_of_ours_edited_by_hand_gets_its_edits_into_the_override(
    tmp_path: Path, engine: Engine, sample_images: SampleImages
) -> None:
    """`init` refuses such a file and names `adopt`, which makes the file as `init` would."""
    project = f"{engine.prefix}-edited"
    with ForgeDouble(default_state()) as forge:
        text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
        made = new_factory(tmp_path, engine.endpoint, project, text)
        assert made.init("--no-start").code == 0
        file = made.directory / "docker-compose.yml"
        ours = file.read_text()
        file.write_text(ours.replace("    init: true\n", "    mem_limit: 64m\n", 1))
        assert "`disinto adopt` moves your part" in made.init("--no-start").err
        before = made.files()
        said = made.cli("adopt", "--yes")
        assert said.code == 0, said.err
        assert file.read_text() == ours
        override = (made.directory / "docker-compose.override.yml").read_text()
        assert "mem_limit: 64m" in override and "init: !reset" in override
        assert (made.directory / ".env").read_bytes() == before[".env"]
        shown = json.loads(
            subprocess.run(
                ["docker", "compose", "config", "--format", "json"],
                capture_output=True,
                check=True,
                env=made.cli.environment(),
                cwd=made.directory,
                stdin=subprocess.DEVNULL,
            ).stdout
        )["services"]["agents"]
        assert shown["mem_limit"] in ("67108864", 67108864) and "init" not in shown
        assert "Nothing to do." in made.cli("adopt", "--yes").err
        assert made.cli("adopt", "--undo", "--yes").code == 0
        assert made.files() == before


@pytest.mark.parametrize("way", ["finish", "undo"])
def test_an_adoption_that_is_killed_is_finished_or_taken_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages, way: str
) -> None:
    """SIGKILL right after the files were written, the journal saying that they are being written."""
    old = lay_out(tmp_path, engine, names, sample_images, "head")
    before = old.factory.files()
    code = (
        "import sys\n"
        "from disinto_tui.runs import launch\n"
        "launch.launch = lambda run, **_: (print(run.path), sys.stdout.flush(), __import__('os')._exit(0))\n"
        "sys.argv = ['disinto', *sys.argv[1:]]\n"
        "from disinto_tui.cli.main import main\n"
        "main()\n"
    )
    argv = ["--dir", str(old.factory.directory), "adopt", "--version", sample_images.reference("v0.1.0")]
    planned = subprocess.run(
        [sys.executable, "-c", code, *argv, "--yes"],
        capture_output=True,
        text=True,
        check=True,
        env=old.factory.cli.environment(),
    )
    run = planned.stdout.splitlines()[-1]
    when = json.dumps({"line": "wrote docker-compose.override.yml"})
    killed = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_run", run, when],
        input="{}\n",
        capture_output=True,
        text=True,
        check=False,
        env={**old.factory.cli.environment(), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert old.factory.files() != before
    said = old.adopt("--yes")
    assert said.code != 0  # first the one that was left half-way
    said = old.factory.cli("resume", "--yes", *(["--undo"] if way == "undo" else []))
    assert said.code == 0, said.err
    if way == "finish":
        assert old.accepted()
        assert "AGENTS_IMAGE=" in (old.factory.directory / ".env").read_text()
        assert old.adopt("--undo", "--yes").code == 0
    assert old.factory.files() == before


@pytest.mark.parametrize(
    ("name", "text", "code", "words"),
    [
        ("compose.yaml", "services: {}\n", 4, "mv compose.yaml docker-compose.yml"),
        (".env.enc", "x", 4, "There are a .env and a .env.enc."),
        ("projects/shop.toml", "", 2, "shop.toml cannot be used."),
        ("docker-compose.yml", "services:\n  web:\n    image: nginx\n", 4, "not a factory's stack"),
        (".env", "FORGE_TOKEN='never ended\n", 2, "Compose cannot read the .env file."),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    tmp_path: Path,
    engine: Engine,
    names: dict[str, str],
    sample_images: SampleImages,
    name: str,
    text: str,
    code: int,
    words: str,
) -> None:
    old = lay_out(tmp_path, engine, names, sample_images, "head")
    (old.factory.directory / name).write_text(text)
    before = old.factory.files()
    said = old.adopt("--yes", "--version", sample_images.reference("v0.1.0"))
    assert said.code == code, said.err
    assert words in said.err
    assert old.factory.files() == before and not (old.factory.directory / ".disinto").exists()
