"""Switching where things are not as they usually are: digests whose names are gone, two services, overrides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import SampleImages, a_factory
from tests.engine.test_switch import SOAK, ident, odd, pinned, running, use
from tests.support.engine import Engine, inspect
from tests.support.factory import IMPATIENT, Factory


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    """A running factory whose agents have a neighbour on the same image, made with an override."""
    neighbour = (
        f"  helper:\n    image: ${{AGENTS_IMAGE}}\n    container_name: {engine.prefix}-odd-helper\n"
        "    healthcheck:\n      start_period: 1s\n      interval: 1s\n      retries: 3\n"
    )
    home = tmp_path_factory.mktemp("home")
    with a_factory(engine, sample_images, home, "odd", override=IMPATIENT + neighbour) as made:
        yield made


@pytest.fixture(autouse=True)
def back(factory: Factory) -> None:
    if not pinned(factory).endswith(":v0.2.0") or running(factory) != ["v0.2.0"]:
        assert use(factory, "v0.2.0").code == 0


def image_of(engine: Engine, factory: Factory, service: str) -> str:
    return str(inspect(engine, "container", f"{factory.project}-{service}")["Image"])


def test_a_service_is_switched_for_its_image_and_not_for_its_name(factory: Factory, engine: Engine) -> None:
    edge = ident(engine, factory, "edge")
    said = use(factory, "v0.3.0")
    assert said.code == 0, said.err
    assert image_of(engine, factory, "helper") == image_of(engine, factory, "agents")
    assert ident(engine, factory, "edge") == edge


def test_an_override_that_decides_the_image_is_refused_with_its_reason(
    factory: Factory, sample_images: SampleImages
) -> None:
    override = factory.directory / "docker-compose.override.yml"
    kept = override.read_text()
    fixed = f"services:\n  agents:\n    image: {sample_images.reference('v0.1.0')}\n"
    override.write_text(fixed)
    try:
        said = use(factory, "v0.3.0")
        assert said.code == 4, said.err
        assert "The pin does not decide what agents runs." in said.err
        assert "docker-compose.override.yml" in said.err
    finally:
        override.write_text(kept)


def test_the_way_back_to_a_digest_whose_name_was_taken_away(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    assert use(factory, "v0.3.0", "--digest").code == 0
    image = image_of(engine, factory, "agents")
    engine.docker("rmi", "-f", sample_images.reference("v0.3.0"), check=False)
    odd(sample_images, "v1.1.0", "unhealthy")
    said = use(factory, "v1.1.0")
    assert said.code == 1
    assert "Going back failed" not in said.err
    assert image_of(engine, factory, "agents") == image
    assert "@sha256:" in pinned(factory)
    assert factory.cli("use", "v0.2.0", *SOAK).code == 0


def test_two_services_on_two_images_come_back_together(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    """The neighbour stood still during a switch, and was started by hand: it runs what it ran before."""
    container = f"{factory.project}-helper"
    engine.docker("stop", "-t", "1", container)
    assert use(factory, "v0.3.0").code == 0
    engine.docker("start", container)
    assert image_of(engine, factory, "helper") != image_of(engine, factory, "agents")
    odd(sample_images, "v1.1.1", "exit")
    said = use(factory, "v1.1.1")
    assert said.code == 1
    assert "Going back failed" not in said.err, said.err
    assert pinned(factory).endswith(":v0.3.0")
    assert factory.cli("use", "v0.2.0", *SOAK).code == 0  # it holds up nothing
    kept = {name for name in engine.references() if name.startswith(f"disinto-kept/{factory.project}:")}
    assert any(name.startswith(f"disinto-kept/{factory.project}:v0.3.0-") for name in kept)


def test_a_failure_before_the_recreate_condemns_nobody(factory: Factory, engine: Engine) -> None:
    assert use(factory, "v0.3.0").code == 0
    assert use(factory, "v0.2.0").code == 0
    container = f"{factory.project}-agents"
    script = "printf '#!/bin/sh\\nsleep 60\\n' >/tmp/claude; chmod +x /tmp/claude"
    engine.docker("exec", container, "sh", "-c", script)
    engine.docker("exec", "-d", container, "/tmp/claude")
    late = factory.cli("use", "v0.3.0", *SOAK, "--when-idle", "--deadline", "1")
    assert late.code == 3, late.err
    rows = {row["tag"]: row for row in factory.cli("versions", "--json").document["versions"]}
    assert rows["v0.3.0"]["past"]["outcome"] in ("good", "unverified")


NEEDS = "    depends_on:\n      edge:\n        condition: service_healthy\n"


def drifted(factory: Factory) -> dict[str, list[str]]:
    """Which services the status says are not as the files say."""
    listed = factory.cli("status", "--json", "--offline").document["services"]
    return {item["name"]: item["drift"] for item in listed if item["drift"]}


@pytest.mark.slow
def test_what_depends_on_others_is_not_called_changed_after_a_switch_and_they_stay(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    """As agents depend on a bundled forge. An older Compose marks what `up --no-deps` makes as another definition, and
    the next `up` would make it anew, agents at work or not."""
    override = factory.directory / "docker-compose.override.yml"
    kept = override.read_text()
    override.write_text(kept.replace("  agents:\n", f"  agents:\n{NEEDS}", 1))
    try:
        assert factory.cli("up", "--yes").code == 0
        edge = ident(engine, factory, "edge")
        assert use(factory, "v0.3.0").code == 0
        assert drifted(factory) == {}
        odd(sample_images, "v1.1.2", "exit")
        assert use(factory, "v1.1.2").code == 1  # and back
        assert (drifted(factory), running(factory)) == ({}, ["v0.3.0"])
        # A dependency that was changed and not applied is no part of a switch.
        text = override.read_text()
        override.write_text(text + "  edge:\n    environment:\n      CHANGED: 'yes'\n")
        assert use(factory, "v0.2.0").code == 0
        assert ident(engine, factory, "edge") == edge
    finally:
        override.write_text(kept)
        assert factory.cli("up", "--yes").code == 0


@pytest.mark.parametrize("argv", [("--soak", "-5"), ("--soak", "nan"), ("--deadline", "-1")])
def test_spans_that_are_none_are_refused(factory: Factory, argv: tuple[str, str]) -> None:
    said = factory.cli("use", "v0.3.0", "--yes", *argv)
    assert said.code == 2
    assert argv[0] in said.err
