"""What pages tell to type, typed as it stands there, on a directory that is empty: on the real engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.engine.test_init import states
from tests.support.engine import Engine
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, default_state
from tests.support.pages import lines_with, read
from tests.support.processes import free_port
from tests.support.registries import Registry, push_samples, push_stand_ins
from tests.support.typist import Typist

BOOTSTRAP, CONFIGURATION, OPERATING, VERSIONS = (
    read(f"docs/{name}.md") for name in ("bootstrap", "configuration", "operating", "versions")
)
PORTS = ("http", "https", "forge", "ci", "ci_grpc", "ci_health")


def edited(sample: str, values: dict[str, dict[str, object]]) -> str:
    """The sample with keys set, as somebody does it: the # before the name taken away."""
    table, done = "", []
    for plain in sample.splitlines():
        line = plain
        if header := re.fullmatch(r"\[([\w.]+)\]", line):
            table = header[1]
        key = re.match(r"#?(\w+) = ", line)
        if key and key[1] in values.get(table, {}):
            value = values[table].pop(key[1])
            line = f"{key[1]} = {value}" if isinstance(value, int) else f'{key[1]} = "{value}"'
        done.append(line)
    assert not any(values.values()), "every key that is set stands in the sample"
    return "\n".join(done) + "\n"


@pytest.fixture(scope="module")
def project(engine: Engine) -> Iterator[str]:
    name = f"{engine.prefix}-pages"
    yield name
    engine.remove(f"label=com.docker.compose.project={name}")


@pytest.fixture(scope="module")
def repository(engine: Engine, registry: Registry) -> str:
    """HOST:PORT/PATH with the versions that the pages name."""
    path = f"{engine.prefix}/test-pages/agents"
    push_samples(registry, ["v0.1.1", "v0.2.9", "v0.3.0"], repository=path)
    return f"{registry.address}/{path}"


@pytest.fixture(scope="module")
def typist(
    engine: Engine,
    registry: Registry,
    repository: str,
    project: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Typist]:
    """A factory as docs/bootstrap.md makes one: the sample, the edits it names, and where this ground's images are."""
    home = tmp_path_factory.mktemp("home")
    directory = home / "factory"
    directory.mkdir()
    who = Typist.at(home, directory, DOCKER_HOST=engine.endpoint)
    with ForgeDouble(default_state()) as forge:
        sample, with_questions, without = lines_with(BOOTSTRAP, "disinto init --sample")
        who.types(sample)
        config = directory / "acme.toml"
        stand_ins = push_stand_ins(registry)
        config.write_text(
            edited(
                config.read_text(),
                {
                    "": {"name": "shop", "repo": "acme/shop", "forge_url": forge.url},
                    "factory": {
                        "forge": "external",
                        "agents_image": repository,
                        "project": project,
                        "bind": "127.0.0.1",
                    },
                    "factory.ports": {name: free_port() for name in PORTS},
                    "factory.images": {
                        "caddy": stand_ins["web"],
                        "staging": stand_ins["web"],
                        "staging_deploy": stand_ins["busybox"],
                    },
                },
            )
        )
        before = engine.references()
        said = who.types(with_questions, ("Forge token", ADMIN_TOKEN), ("Make it?", "y"))
        assert ADMIN_TOKEN not in said
        (home / "forge-token").write_text(ADMIN_TOKEN + "\n")
        assert "Nothing to do." in who.types(without), "the same again changes nothing"
        yield who
    engine.sweep()
    gone = [name for name in engine.references() - before if name.startswith(f"{repository}:")]
    if gone:
        engine.docker("rmi", *gone, check=False)


@pytest.mark.slow
def test_bootstrap_makes_what_it_says(typist: Typist, engine: Engine, project: str, repository: str) -> None:
    """Its lines as written; the newest release is pinned; what is there afterwards is its table of files."""
    assert f"\nAGENTS_IMAGE={repository}:v0.3.0\n" in (typist.directory / ".env").read_text()
    assert states(engine, project)["agents"] == f"{repository}:v0.3.0"
    (table,) = (rows for rows in BOOTSTRAP.tables if rows[0] == ["file", "what"])
    told = {
        name.replace("NAME", "shop"): row[1] for row in table[1:] for name in re.findall(r"`([^`]+)`", row[0])
    }
    files = {
        str(path.relative_to(typist.directory))
        for path in typist.directory.rglob("*")
        if path.is_file() and ".disinto" not in path.parts
    }
    assert files - {"acme.toml"} == set(told) - {".disinto/"}
    for name, what in told.items():
        mode = re.search(r"0\d{3}", what)
        assert mode is None or (typist.directory / name).stat().st_mode & 0o777 == int(mode[0], 8)


@pytest.mark.slow
def test_one_version_once(typist: Typist, engine: Engine, project: str, repository: str) -> None:
    """The block of docs/configuration.md."""
    once, back = lines_with(CONFIGURATION, "AGENTS_IMAGE=v0.1.1 disinto up")
    env = (typist.directory / ".env").read_bytes()
    typist.types(once)
    assert states(engine, project)["agents"] == f"{repository}:v0.1.1"
    assert (typist.directory / ".env").read_bytes() == env
    typist.types(back)
    assert states(engine, project)["agents"] == f"{repository}:v0.3.0"


@pytest.mark.slow
def test_what_only_looks(typist: Typist) -> None:
    """The first lines of docs/versions.md, and those of docs/operating.md's table that change nothing."""
    look, one, *_ = lines_with(VERSIONS, "disinto versions ")
    said = typist.types(look)
    assert all(version in said for version in ("v0.1.1", "v0.2.9", "v0.3.0"))
    assert "v0.3.0" in typist.types(one)
    (table,) = (rows for rows in OPERATING.tables if rows[0][0] == "you want to")
    told = {call for row in table[1:] for call in re.findall(r"`(disinto [^`]*)`", row[1])}
    for call in ("disinto status", "disinto runs", "disinto doctor [--fix]"):
        assert call in told
        typist.types(call.partition(" [")[0])
