"""`pin_digest = true` in `[factory]`: what is pinned is an image, and not what a tag means today."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import SampleImages, a_factory
from tests.support.engine import Engine
from tests.support.factory import Factory
from tests.support.registries import push_samples

SOAK = ("--yes", "--soak", "0.2")


@pytest.fixture(scope="module")
def factory(
    engine: Engine, sample_images: SampleImages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Factory]:
    home = tmp_path_factory.mktemp("home")
    with a_factory(engine, sample_images, home, "digest", start=False) as made:
        made.change_config("[factory]\n", "[factory]\npin_digest = true\n")
        yield made


def pinned(factory: Factory) -> str:
    lines = (factory.directory / ".env").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("AGENTS_IMAGE="))


def test_init_use_and_rollback_pin_it(factory: Factory, engine: Engine, sample_images: SampleImages) -> None:
    said = factory.init()
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.versions["v0.2.0"]
    assert "Nothing to do." in factory.init().err
    said = factory.cli("use", "v0.3.0", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.versions["v0.3.0"]
    assert factory.cli("up", "--yes").code == 0
    status = factory.cli("status", "--offline", "--json")
    assert status.code == 0, status.out
    assert status.document["running_versions"] == ["v0.3.0"]
    assert status.document["attention"] == []
    said = factory.cli("rollback", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.versions["v0.2.0"]
    said = factory.cli("use", "v0.2.0", "--no-digest", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.reference("v0.2.0")
    # A tag that moves: the setting says which image is meant from now on.
    address, _, path = sample_images.repository.partition("/")
    push_samples(address, ["v0.2.0"], repository=path, options=["--payload-kib", "3"])
    said = factory.cli("use", "v0.2.0", *SOAK)
    assert said.code == 0, said.err
    moved = pinned(factory)
    assert moved.startswith(sample_images.reference("v0.2.0") + "@sha256:")
    assert moved != sample_images.versions["v0.2.0"]
    kept = {
        name for name in engine.references() if name.startswith(f"disinto-kept/{factory.project}:v0.2.0-")
    }
    assert len(kept) == 2  # the image from before is what undo leads to, whatever the tag means by now
    # Back to what the tag meant before: it was seen healthy here, so nothing is asked and nothing pulled.
    said = factory.cli("rollback", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) == sample_images.versions["v0.2.0"]
    row = factory.cli("versions", "--json").document["versions"][1]
    assert row["tag"] == "v0.2.0" and row["running"] and row["meta"]["here"].startswith("sha256:")
    assert "tag moved" in factory.cli("versions").out


def test_a_digest_without_a_tag_makes_no_latest(
    factory: Factory, engine: Engine, sample_images: SampleImages
) -> None:
    exact = sample_images.versions["v0.1.0"].replace(":v0.1.0@", "@")
    said = factory.cli("use", exact, *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) == exact
    assert factory.cli("status", "--offline", "--json").document["running_versions"] == ["v0.1.0"]
    assert f"{sample_images.repository}:latest" not in engine.references()
    said = factory.cli("rollback", *SOAK)
    assert said.code == 0, said.err
    assert pinned(factory) != exact
    said = factory.cli("use", exact, *SOAK)
    assert said.code == 0, said.err
    assert "pulling" not in said.err
    assert factory.cli("use", "v0.2.0", *SOAK).code == 0


def test_a_project_file_that_cannot_be_read_is_said(factory: Factory) -> None:
    (path,) = (factory.directory / "projects").glob("*.toml")
    kept = path.read_text()
    path.write_text(kept.replace("pin_digest = true", 'pin_digest = "yes"'))
    try:
        said = factory.cli("use", "v0.3.0", "--dry-run")
        assert said.code == 0, said.err
        assert f"projects/{path.name} cannot be read, so a pin_digest in it does not count" in said.out
    finally:
        path.write_text(kept)
