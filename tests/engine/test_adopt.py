"""Stacks of every kind that upstream left, adopted on the real engine, switched, and taken back: nothing is lost."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.support.engine import ROOT, Engine, inspect
from tests.support.generations import SHAPES
from tests.support.old_stacks import (
    QWEN,
    SECRET,
    built_here,
    lay_out,
    lay_out_pulled,
    local_names,
)
from tests.support.processes import poll
from tests.support.registries import push_samples
from tests.support.sealed import install


@pytest.fixture(scope="module")
def names(engine: Engine, sample_images: SampleImages) -> dict[str, str]:
    """Local names of images, as a host has them that built its agents."""
    return local_names(engine, sample_images.stand_ins, sample_images.reference("v0.1.0"))


def test_a_dry_run_says_what_was_found_shows_no_secret_and_changes_nothing(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """Neither a token of `.env` nor what stands in clear in a compose file; and no yes that nobody gave."""
    old = lay_out(
        tmp_path,
        engine,
        names,
        sample_images.repository,
        "apr",
        change=lambda text: text.replace(
            "      CLAUDE_TIMEOUT:", "      HAND_KEY: hunter2-in-clear\n      CLAUDE_TIMEOUT:"
        ),
    )
    images = built_here(old, names, ("agents", "runner", "edge"))
    try:
        before = old.files()
        planned = old.adopt("--dry-run", "--json")
        assert planned.code == 0, planned.err
        found = planned.document["facts"]["adopt"]
        assert (found["generation"], found["mode"], found["data"]) == ("upstream-build", "build", [])
        shown = old.adopt("--dry-run")
        said = planned.out + planned.err + shown.out + shown.err
        assert SECRET not in said and "hunter2" not in said
        assert "environment HAND_KEY ([hidden])" in shown.out
        assert old.adopt().code == 2  # no terminal
        assert old.files() == before
        assert engine.ids("container", f"label=com.docker.compose.project={old.project}") == []
    finally:
        old.end(*images)


@pytest.mark.slow
def test_what_does_not_come_up_is_taken_back_by_itself(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """A stack with images goes to a version that ends at once: files, containers and data as before."""
    old = lay_out_pulled(tmp_path, engine, names, sample_images.repository)
    try:
        old.start()
        old.sh("forgejo", "mkdir -p /data/deep; echo precious >/data/deep/file")
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
        old.end()


@pytest.mark.slow
def test_a_service_that_was_ill_before_does_not_hold_the_adoption_up(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """A service of somebody's own that ends again and again: as ill afterwards, and the plan says so."""
    override = (
        f"services:\n  broken:\n    image: {names['busybox']}\n    command: ['false']\n    restart: always\n"
    )
    old = lay_out_pulled(tmp_path, engine, names, sample_images.repository)
    (old.directory / "docker-compose.override.yml").write_text(override)
    try:
        old.start()
        broken = f"{old.project}-broken-1"
        assert poll(60, lambda: int(str(inspect(engine, "container", broken)["RestartCount"])) > 2)
        said = old.adopt("--yes")
        assert said.code == 0, said.err
        assert "broken is not well as it is (restart" in said.err
        assert "and did not come up before either" in said.err
        assert "agents" in old.running()
    finally:
        old.end()


@pytest.mark.parametrize("shape", ["half-written", "destructive"])
def test_a_stopped_stack_is_adopted_and_taken_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages, shape: str
) -> None:
    """Nothing is started; files that Compose refuses go over into ones that it takes; undo is exact to the byte."""
    toml = QWEN if shape == "half-written" else ""
    old = lay_out(tmp_path, engine, names, sample_images.repository, shape, toml=toml)
    try:
        if "forgejo-anonymous" in SHAPES[shape].slugs:
            said = old.adopt("--dry-run", "--version", sample_images.reference("v0.1.0"))
            assert said.code == 4, said.err
            assert "Nobody knows where Forgejo's data is." in said.err
            engine.docker("volume", "create", "--label", engine.label, f"{old.project}_forgejo-data")
        before = old.files()
        assert old.accepted() == SHAPES[shape].valid
        said = old.adopt("--yes", "--version", sample_images.reference("v0.1.0"))
        assert said.code == 0, said.err
        assert f"{sample_images.reference('v0.1.0')}  here already" in said.err
        assert old.running() == []
        assert old.accepted()
        assert (
            f"AGENTS_IMAGE={sample_images.reference('v0.1.0')}"
            in (old.factory.directory / ".env").read_text()
        )
        said = old.adopt("--undo", "--yes")
        assert said.code == 0, said.err
        assert old.files() == before
        assert not (old.factory.directory / "site").exists()
    finally:
        old.end()
        engine.docker("volume", "rm", f"{old.project}_forgejo-data", check=False)


def test_a_file_changed_since_is_not_overwritten_by_the_way_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    legacy = "DISINTO_IMAGE_TAG=v9\nREVIEW_BOT_TOKEN=abc\n"
    old = lay_out(tmp_path, engine, names, sample_images.repository, "head", env=legacy)
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
        old.end()


def test_a_sealed_file_gets_no_secret_by_a_command_line_and_says_the_same_as_the_stack(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages
) -> None:
    """What would go from `.env` cannot go from `.env.enc`: it is made to agree instead."""
    more = "DISINTO_IMAGE_TAG=v9\nCOMPOSE_FILE=docker-compose.yml:more.yml\nCODEBERG_BOT_USERNAMES=a,b\n"
    old = lay_out(tmp_path, engine, names, sample_images.repository, "head", env=more)
    env, sops = old.directory / ".env", install(tmp_path / "sops")
    old.factory.cli.env.update(sops.environment)
    (old.directory / "more.yml").write_text("services:\n  agents:\n    labels: {mine: here}\n")
    clear = env.read_text()
    env.write_text(clear.replace("FORGE_TOKEN=", "CODEBERG_TOKEN="))
    sealed = sops.seal(env)
    wanted = ("--yes", "--version", sample_images.reference("v0.1.0"))
    try:
        before = old.files()
        said = old.adopt(*wanted)
        assert said.code == 4, said.err
        assert "has no FORGE_TOKEN, which" in said.err and "the value of CODEBERG_TOKEN" in said.err
        assert old.files() == before

        env.write_text(clear)
        sops.seal(env)
        before = old.files()
        said = old.adopt(*wanted)
        assert said.code == 0, said.err
        opened = dict(line.split("=", 1) for line in sops.open(sealed).splitlines() if "=" in line)
        assert opened["AGENTS_IMAGE"] == sample_images.reference("v0.1.0")
        assert opened["DISINTO_IMAGE_TAG"] == "v0.1.0"
        assert opened["COMPOSE_FILE"] == "docker-compose.yml:docker-compose.override.yml"
        assert opened["FORGE_BOT_USERNAMES"] == "a,b"
        assert SECRET not in sops.log.read_text() and not env.exists()
        assert SECRET.encode() not in b"".join(
            path.read_bytes() for path in old.directory.rglob("*") if path.is_file()
        )
        adopted = sealed.read_bytes()
        sops("set", str(sealed), '["MINE"]', '"1"')
        said = old.adopt("--undo", "--yes")
        assert said.code == 4 and ".env.enc was changed since it was adopted." in said.err
        sealed.write_bytes(adopted)
        assert old.adopt("--undo", "--yes").code == 0
        assert old.files() == before
    finally:
        old.end()


@pytest.mark.parametrize("way", ["finish", "undo"])
def test_an_adoption_that_is_killed_is_finished_or_taken_back(
    tmp_path: Path, engine: Engine, names: dict[str, str], sample_images: SampleImages, way: str
) -> None:
    """SIGKILL right after the files were written, the journal saying that they are being written."""
    old = lay_out(tmp_path, engine, names, sample_images.repository, "head")
    before = old.factory.files()
    run = old.factory.cli.planned("adopt", "--version", sample_images.reference("v0.1.0"), "--yes")
    when = json.dumps({"line": "wrote docker-compose.override.yml"})
    argv = ("-m", "tests.support.kill_run", str(run), when)
    killed = old.factory.cli.python(*argv, stdin="{}\n", cwd=ROOT)
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
        ("compose.yaml", "services: {}\n", 4, "and the stack is not made from it."),
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
    old = lay_out(tmp_path, engine, names, sample_images.repository, "head")
    (old.factory.directory / name).write_text(text)
    before = old.factory.files()
    said = old.adopt("--yes", "--version", sample_images.reference("v0.1.0"))
    assert said.code == code, said.err
    assert words in said.err
    assert old.factory.files() == before and not (old.factory.directory / ".disinto").exists()
