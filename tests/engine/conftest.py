"""Fixtures for tests on a real engine: everything here is marked `engine`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.factory import QUICK, Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.support.registries import Registry, push_samples, push_stand_ins

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.engine)


@dataclass(frozen=True)
class SampleImages:
    """`repository` is HOST:PORT/PATH; `versions` maps a version to its reference with digest.

    The repository is the module's own: nobody else's pull has warmed the engine for it, and a version that
    another module pushes is no news here.
    """

    repository: str
    versions: dict[str, str]
    stand_ins: dict[str, str]

    def reference(self, version: str) -> str:
        return f"{self.repository}:{version}"


@pytest.fixture(scope="module")
def sample_images(
    engine: Engine, registry: Registry, request: pytest.FixtureRequest
) -> Iterator[SampleImages]:
    """v0.1.0, v0.2.0 and v0.3.0 of the sample agents image, and the stand-ins, in the registry."""
    before = engine.references()
    path = f"{engine.prefix}/{Path(request.node.name).stem.replace('_', '-')}/agents"
    versions = push_samples(registry, repository=path)
    yield SampleImages(f"{registry.address}/{path}", versions, push_stand_ins(registry))
    # Containers first: an image in use only loses its name and stays behind as <none>. No -f either:
    # what another session of tests is using stays.
    engine.sweep()
    pulled = [name for name in engine.references() - before if name.startswith(f"{registry.address}/")]
    if pulled:
        engine.docker("rmi", *pulled, check=False)


@contextlib.contextmanager
def a_factory(
    engine: Engine, images: SampleImages, home: Path, name: str, *, override: str = QUICK, start: bool = True
) -> Iterator[Factory]:
    """A factory on v0.2.0 for a module of its own, with an override beside its compose file; `start` False leaves
    `init` to the tests. All of it is removed afterwards."""
    project = f"{engine.prefix}-{name}"
    with ForgeDouble(default_state()) as forge:
        text = config_text(project, images.repository, forge.url, images.stand_ins)
        made = new_factory(home, engine.endpoint, project, text, warm=True)
        made.directory.mkdir()
        (made.directory / "docker-compose.override.yml").write_text(override)
        try:
            if start:
                said = made.init()
                assert said.code == 0, said.err
            yield made
        finally:
            engine.remove(f"label=com.docker.compose.project={project}")


@pytest.fixture
def project(engine: Engine, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a compose project for this test alone; all of it is removed afterwards."""
    slug = "".join(letter for letter in request.node.name.lower() if letter.isalnum())[:24]
    name = f"{engine.prefix}-{slug}"
    yield name
    engine.remove(f"label=com.docker.compose.project={name}")
