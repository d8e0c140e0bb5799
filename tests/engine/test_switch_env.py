"""`disinto use` on a `.env` that people have written in: what it changes, what it refuses, what it leaves alone.

Every form of a line is held to Compose in test_env_against_compose.py; here is the whole way, from the command
to what the operator's own `docker compose` makes of the directory afterwards.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages, a_factory
from tests.engine.test_switch import odd, running
from tests.support.engine import Engine
from tests.support.factory import Factory, Said
from tests.support.own_engine import SmallDisk

BOM = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """A running factory on v0.2.0 of this file's own."""
    with a_factory(engine, sample_images, tmp_path_factory.mktemp("home"), "dotenv") as made:
        yield made


@pytest.fixture
def env(factory: Factory) -> Iterator[Path]:
    """The factory's `.env`, as it was again after the test."""
    path = factory.directory / ".env"
    before = path.read_bytes()
    yield path
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(before)
    path.chmod(0o600)


def use(factory: Factory, version: str, *more: str) -> Said:
    return factory.cli("use", version, "--yes", "--soak", "0", *more)


def pin_line(env: Path, sample_images: SampleImages, line: str, version: str = "v0.2.0") -> bytes:
    """Put `line` in the place of the pin's own, PIN and REPO replaced in it; the bytes that are there now."""
    pin = f"AGENTS_IMAGE={sample_images.reference('v0.2.0')}"
    data = env.read_bytes()
    assert data.count(pin.encode()) == 1
    line = line.replace("PIN", sample_images.reference(version)).replace("REPO", sample_images.repository)
    data = data.replace(pin.encode(), line.encode())
    env.write_bytes(data)
    return data


def compose_images(factory: Factory, engine: Engine) -> set[str]:
    """The agents image in the eyes of an operator who types `docker compose config --images` there."""
    done = subprocess.run(
        ["docker", "compose", "-f", "docker-compose.yml", "config", "--images"],
        cwd=factory.directory,
        env=factory.cli.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {line for line in done.stdout.splitlines() if line.split(":")[-2].endswith("/agents")}


# First, while the factory runs as `init` left it: what runs tells which project it is.
def test_stray_settings_of_compose_do_not_turn_a_switch_to_another_project(
    factory: Factory, env: Path, sample_images: SampleImages
) -> None:
    stray = "COMPOSE_FILE=nowhere.yml\nCOMPOSE_PROJECT_NAME=stranger\nAGENTS_IMAGE=PIN"
    before = pin_line(env, sample_images, stray)
    said = factory.cli("use", "v0.3.0", "--dry-run")
    assert said.code == 0, said.err
    assert f"Switch {factory.project} from v0.2.0 to v0.3.0" in said.out
    assert f"it was started as project {factory.project}, and stays that" in said.out
    assert env.read_bytes() == before


# -- with the factory down: only the pin is written, which is quick ----------------------------------------------

LINES = {
    "exported": "export AGENTS_IMAGE=PIN",
    "single quotes and a comment": "AGENTS_IMAGE='PIN' # the pin",
    "double quotes": 'AGENTS_IMAGE="PIN"',
    "twice": "AGENTS_IMAGE=REPO:v0.0.1\nOTHER=1\nAGENTS_IMAGE=PIN",
    "interpolated": "WHERE=REPO\nAGENTS_IMAGE=${WHERE}:v0.2.0",
    "yaml style": "AGENTS_IMAGE: PIN",
    "commented out": "# AGENTS_IMAGE=PIN",
    "empty": "AGENTS_IMAGE=",
    "a bare name": "AGENTS_IMAGE",
}


@pytest.fixture(scope="module")
def down(factory: Factory) -> Iterator[Factory]:
    """The factory with nothing running."""
    assert factory.cli("down", "--yes").code == 0
    yield factory
    assert factory.cli("up", "--yes").code == 0


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_pin_is_found_however_it_is_written(
    down: Factory, env: Path, sample_images: SampleImages, engine: Engine, line: str
) -> None:
    before = pin_line(env, sample_images, line)
    said = use(down, "v0.3.0")
    assert said.code == 0, said.err
    after = env.read_bytes()
    # Every line that is not the pin's is as it was.
    changed = set(after.split(b"\n")) ^ set(before.split(b"\n"))
    assert all(b"AGENTS_IMAGE" in one for one in changed), changed
    assert compose_images(down, engine) == {sample_images.reference("v0.3.0")}


def test_crlf_bom_and_a_missing_line_end_stay(
    down: Factory, env: Path, sample_images: SampleImages, engine: Engine
) -> None:
    before = BOM + env.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    env.write_bytes(before)
    said = use(down, "v0.3.0")
    assert said.code == 0, said.err
    assert env.read_bytes() == before.replace(b"agents:v0.2.0", b"agents:v0.3.0")
    assert compose_images(down, engine) == {sample_images.reference("v0.3.0")}


def test_a_symlink_stays_one_and_its_file_keeps_its_mode(
    down: Factory, env: Path, sample_images: SampleImages, tmp_path: Path, engine: Engine
) -> None:
    kept = tmp_path / "kept.env"
    kept.write_bytes(env.read_bytes())
    kept.chmod(0o400)
    env.unlink()
    env.symlink_to(kept)
    assert use(down, "v0.3.0").code == 0
    assert env.is_symlink() and env.readlink() == kept
    assert b"agents:v0.3.0" in kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o400
    assert compose_images(down, engine) == {sample_images.reference("v0.3.0")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "kept", 1)
    except (subprocess.CalledProcessError, OSError):
        pytest.skip("no Docker Engine answers to somebody who may not mount a disk either")
    yield disk
    disk.end()


def test_a_file_on_a_disk_that_is_read_only(
    down: Factory, env: Path, sample_images: SampleImages, small_disk: SmallDisk
) -> None:
    """Rights do not stop root, a read-only file system does."""
    kept = small_disk.path / "env"
    kept.write_bytes(env.read_bytes())
    env.unlink()
    env.symlink_to(kept)
    before = kept.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.path)], check=True)
    said = use(down, "v0.3.0")
    assert said.code == 1
    assert ".env could not be written. The system says: Read-only file system" in " ".join(said.err.split())
    assert env.is_symlink() and kept.read_bytes() == before
    assert down.cli("runs", "--json").document[0]["status"] == "undone"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello world\nAGENTS_IMAGE=PIN", "Line {0}:"),
        ("AGENTS_IMAGE='PIN", "The quote that line {0} opens"),  # closed by an apostrophe in a comment below
        ("AGENTS_IMAGE=PIN\nA=${{B", "Line {1}:"),
    ],
)
def test_a_line_that_compose_cannot_read_is_named(
    down: Factory, env: Path, sample_images: SampleImages, line: str, words: str
) -> None:
    at = env.read_text().splitlines().index(f"AGENTS_IMAGE={sample_images.reference('v0.2.0')}") + 1
    before = pin_line(env, sample_images, line.format())
    runs = down.cli("runs", "--json").document
    said = use(down, "v0.3.0")
    assert said.code == 2
    assert words.format(at, at + 1) in said.err
    assert env.read_bytes() == before
    assert down.cli("runs", "--json").document == runs


def test_no_env_at_all_is_no_switch(down: Factory, env: Path, tmp_path: Path) -> None:
    """The agents would start without a token."""
    env.unlink()
    said = use(down, "v0.3.0")
    assert said.code == 4
    assert "There is no .env" in said.err
    assert not env.exists()
    env.symlink_to(tmp_path / "nowhere")
    assert use(down, "v0.3.0").code == 4
    env.unlink()
    env.mkdir()
    said = use(down, "v0.3.0")
    assert said.code == 2 and "cannot be read" in said.err


# -- with the factory up -----------------------------------------------------------------------------------------


@pytest.fixture
def up(down: Factory, env: Path, sample_images: SampleImages) -> Factory:
    """The factory on v0.2.0, running."""
    said = down.cli("up", "--yes")
    assert said.code == 0, said.err
    assert running(down) == ["v0.2.0"]
    return down


def volumes(factory: Factory, engine: Engine) -> tuple[str, set[str]]:
    """The data in the agents' volumes, and the nameless volumes that its container holds."""
    container = f"{factory.project}-agents"
    listing = "cd /home/agent; find data repos -type f ! -name '*.log' | sort | xargs -r sha256sum"
    mounts = json.loads(engine.docker("inspect", container, "--format", "{{json .Mounts}}").stdout)
    return (
        engine.docker("exec", container, "sh", "-c", listing).stdout,
        {item["Name"] for item in mounts if len(item.get("Name", "")) == 64},
    )


@pytest.mark.slow
def test_a_pin_that_is_gone_is_written_and_taken_out_again_when_the_version_is_bad(
    up: Factory, env: Path, sample_images: SampleImages, engine: Engine
) -> None:
    """The way back leads to what runs, since there is no pin to lead there."""
    odd(sample_images, "v1.1.0", "exit")
    engine.docker("exec", f"{up.project}-agents", "sh", "-c", "echo precious >/home/agent/data/d")
    before = pin_line(env, sample_images, "# no pin")
    data = volumes(up, engine)
    bad = use(up, "v1.1.0")
    assert bad.code == 1, bad.err
    assert env.read_bytes() == before
    assert running(up) == ["v0.2.0"]
    good = use(up, "v0.3.0")
    assert good.code == 0, good.err
    assert env.read_bytes() == before + f"AGENTS_IMAGE={sample_images.reference('v0.3.0')}\n".encode()
    assert running(up) == ["v0.3.0"]
    env.write_bytes(before)
    # From what runs, which is no target just because no pin names it.
    back = up.cli("rollback", "--yes", "--soak", "0")
    assert back.code == 0, back.err
    assert running(up) == ["v0.2.0"]
    assert volumes(up, engine) == data and not data[1] and "data/d" in data[0]


@pytest.mark.slow
def test_a_pin_edited_by_hand_is_not_what_the_way_back_leads_to(
    up: Factory, env: Path, sample_images: SampleImages, engine: Engine
) -> None:
    """v0.2.0 runs, somebody has written v0.1.0: undo brings up what ran, and leaves v0.1.0's name alone."""
    odd(sample_images, "v1.1.1", "exit")
    engine.docker("pull", "-q", sample_images.reference("v0.1.0"))
    image = engine.docker("image", "inspect", sample_images.reference("v0.1.0"), "--format", "{{.Id}}").stdout
    before = pin_line(env, sample_images, "AGENTS_IMAGE=PIN", "v0.1.0")
    data = volumes(up, engine)
    assert use(up, "v1.1.1").code == 1
    assert env.read_bytes() == before
    assert running(up) == ["v0.2.0"]
    now = engine.docker("image", "inspect", sample_images.reference("v0.1.0"), "--format", "{{.Id}}").stdout
    assert now == image
    assert volumes(up, engine) == data
