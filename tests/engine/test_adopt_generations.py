"""A running stack of every generation that upstream left, with data in its volumes: adopted, switched twice, undone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.runs.adopt_sources import BASES, OVERRIDES
from tests.engine.conftest import SampleImages, a_factory
from tests.support.engine import Engine
from tests.support.generations import SHAPES
from tests.support.old_stacks import (
    QWEN,
    SECRET,
    Old,
    built_here,
    lay_out,
    lean,
    local_names,
    off,
    quick,
    tracked_table,
)
from tests.support.pages import read as read_page
from tests.support.sealed import install

pytestmark = pytest.mark.slow
AT_ONCE = 2
OTHERS = ("/var/run/docker.sock", "/home/agent/disinto/projects", "/home/agent/disinto/state")
"""Mounts without data of the stack's own: the engine's, and what became a directory of the instance."""
WRITE = "mkdir -p {0}/precious && echo '{1}' >{0}/precious/file && chmod 640 {0}/precious/file"
READ = "find {} -path '*/precious/*' -type f -exec sha256sum {{}} + -exec stat -c '%a %n' {{}} + 2>/dev/null"
Data = dict[tuple[str, str], str]
"""By service and path in its container: hashes and modes of what was written there."""


def without(service: str) -> Callable[[str], str]:
    """The file without a service."""
    return lambda text: re.sub(rf"(?ms)^  {service}:\n.*?(?=^  \w|^\w)", "", text)


def without_its_ci_agent(text: str) -> str:
    """That one is on the host's network, where two cannot be at a time."""
    return lean(text, ["woodpecker-agent"])


def by_hand(text: str) -> str:
    """A value changed, two added (one a secret in clear), and a service more."""
    text = text.replace(
        "      CLAUDE_TIMEOUT: ${CLAUDE_TIMEOUT:-7200}",
        "      CLAUDE_TIMEOUT: '99'\n      MINE: 'yes'\n      HAND_KEY: hunter2-in-clear",
    )
    mine = "  mine:\n    image: caddy:alpine\n    networks: [disinto-net]\n    volumes: ['mine:/mine']\n\n"
    return text.replace("\nvolumes:\n", f"{mine}volumes:\n  mine:\n", 1)


def under_another_name(old: Old) -> None:
    """Named as Compose prefers it, and an override beside it named alike."""
    (old.directory / "docker-compose.yml").rename(old.directory / "compose.yaml")
    (old.directory / "compose.yaml").chmod(0o640)
    (old.directory / "compose.override.yml").write_text(MORE)


def with_a_further_file(old: Old) -> None:
    """COMPOSE_FILE in `.env` names one more, in a directory of its own."""
    (old.directory / "deploy").mkdir()
    (old.directory / "deploy/prod.yml").write_text(MORE)
    with (old.directory / ".env").open("a") as env:
        env.write("COMPOSE_FILE=docker-compose.yml:deploy/prod.yml\n")


MORE = """services:
  agents:
    environment:
      MINE: more
    volumes:
      - more:/more
      - ./notes:/notes
volumes:
  more:
"""


@dataclass(frozen=True)
class Case:
    """A generation. `edit` are an operator's changes; `ran` makes of the file the one that the stack was started from,
    where that is another (a generator ran again, a checkout updated); `start` goes before `up`; `built` are services
    whose image was built here; `arrange` changes the directory, whose compose file is `file` then; `sealed`
    whether sops has sealed its `.env`.

    What is expected: `let_go` are mounts that are not kept, on purpose (service, path); `rescued` those whose data is
    copied first; `dropped` services that do not go over, and what runs of them is left alone; `dangers` words of the
    plan; `holds` what agents must have in their environment once they are adopted."""

    shape: str
    edit: Callable[[str], str] = lean
    ran: Callable[[str], str] = str
    start: tuple[str, ...] = ()
    env: str = ""
    toml: str = ""
    built: tuple[str, ...] = ()
    arrange: Callable[[Old], None] = lambda old: None
    file: str = "docker-compose.yml"
    sealed: bool = False
    let_go: tuple[tuple[str, str], ...] = ()
    rescued: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


BUILT = ("agents", "runner", "edge")
CHECKOUT = ("agents", "/home/agent/disinto")
REPOS = ("agents", "/home/agent/repos")
FORGE = ("forgejo", "/data")
ANONYMOUS = "anonymous volume of this one container"
CASES = (
    Case(
        "apr",
        by_hand,
        env="DISINTO_IMAGE_TAG=v9\n",
        built=BUILT,
        holds=("CLAUDE_TIMEOUT=99", "MINE=yes", "HAND_KEY=hunter2-in-clear"),
    ),
    Case("head", without_its_ci_agent, env="DISINTO_IMAGE_TAG=v0.1.0\n"),
    Case("build-opt", built=BUILT, arrange=under_another_name, file="compose.yaml", holds=("MINE=more",)),
    # Upstream took its volume's declaration away one day; the container is of the file before.
    Case(
        "chat",
        env="DISINTO_IMAGE_TAG=v0.1.0\nCLAUDE_BIN_DIR=/bin/true\n",
        ran=lambda text: text.replace("\nvolumes:\n", "\nvolumes:\n  chat-config:\n", 1),
        built=("chat",),
        sealed=True,
        dropped=("chat",),
        dangers=("chat: the service is not kept",),
    ),
    Case("half-written", ran=without("agents-qwen"), toml=QWEN, built=BUILT),
    Case(
        "mixed",
        env="DISINTO_IMAGE_TAG=v0.1.0\n",
        toml=QWEN,
        arrange=with_a_further_file,
        holds=("MINE=more",),
    ),
    Case(
        "tracked",
        let_go=(CHECKOUT,),
        rescued=(FORGE, REPOS),
        dangers=(ANONYMOUS, "hides the code of the image"),
    ),
    Case("tracked-runner", let_go=(CHECKOUT,), rescued=(REPOS,)),
    Case("destructive", let_go=(CHECKOUT,), rescued=(FORGE, REPOS), dangers=(ANONYMOUS,)),
    Case(
        "tracked-last",
        ran=lambda text: text.replace("      - woodpecker\n", ""),
        let_go=(CHECKOUT,),
        rescued=(REPOS,),
    ),
    Case("hired", start=("--profile", "local-model"), built=BUILT),
    Case("ours"),
)


@pytest.fixture(scope="module")
def names(engine: Engine, sample_images: SampleImages) -> dict[str, str]:
    """Local names of images, as a host has them that built its agents."""
    return local_names(engine, sample_images.stand_ins, sample_images.reference("v0.1.0"))


@pytest.fixture(params=CASES, ids=lambda case: case.shape)
def case(request: pytest.FixtureRequest) -> Case:
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture(scope="module")
def journeys(
    request: pytest.FixtureRequest,
    engine: Engine,
    names: dict[str, str],
    sample_images: SampleImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[None]]]:
    """What comes of each case, by its shape: some go at a time, since they wait more than they work."""
    calls = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    wanted = [call.params["case"] for call in calls if call is not None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            one.shape: pool.submit(
                of_ours if one.shape == "ours" else of_upstream,
                one,
                Ground(tmp_path_factory.mktemp(one.shape), engine, names, sample_images),
            )
            for one in wanted
        }
        pool.shutdown(cancel_futures=True)


def test_a_running_stack_is_adopted_switched_twice_and_undone(
    case: Case, journeys: Mapping[str, Future[None]]
) -> None:
    journeys[case.shape].result()


@dataclass(frozen=True)
class Ground:
    """What a case stands on."""

    home: Path
    engine: Engine
    names: dict[str, str]
    images: SampleImages


@contextlib.contextmanager
def running(case: Case, ground: Ground) -> Iterator[Old]:
    """The stack of the case, running; then its file as it is when it is adopted."""
    shape, names = SHAPES[case.shape], ground.names
    tracked = shape.generation == "tracked"
    stack = lay_out(
        ground.home,
        ground.engine,
        names,
        ground.images.repository,
        case.shape,
        toml=case.toml + (tracked_table(ground.engine, names, case.shape) if tracked else ""),
        env=case.env,
        override=shape.override or (off(names) if tracked else ""),
        change=lambda text: case.edit(quick(text)),
    )
    images = built_here(stack, names, case.built)
    case.arrange(stack)
    file = stack.directory / case.file
    text = file.read_text()
    try:
        file.write_text(case.ran(text))
        stack.start(*case.start)
        file.write_text(text)
        if case.sealed:
            sops = install(ground.home / "sops")
            sops.seal(stack.directory / ".env")
            stack.factory.cli.env.update(sops.environment)
        yield stack
    finally:
        stack.end(*images)


def of_upstream(case: Case, ground: Ground) -> None:
    """One that upstream's generator made, or kept in git."""
    shape = SHAPES[case.shape]
    wanted = [ground.images.reference(name) for name in ("v0.2.0", "v0.3.0")]
    with running(case, ground) as old:
        assert case.sealed or old.accepted() == shape.valid

        def adopted() -> None:
            there = {name for name in (*BASES, *OVERRIDES) if (old.directory / name).exists()}
            assert there <= {"docker-compose.yml", "docker-compose.override.yml"}
            if not case.sealed:
                assert "COMPOSE_FILE" not in (old.directory / ".env").read_text()

        plan = there_and_back(old, case, wanted, adopted)
        # What upstream kept in git is known by its name for Forgejo, which a test must not take.
        found = plan["facts"]["adopt"]
        assert (found["generation"], found["mode"]) == (
            shape.generation.replace("tracked", "hand"),
            shape.mode,
        )
        for words in told_by_the_page(case.shape):
            assert any(danger.startswith(words) for danger in plan["dangers"]), (words, plan["dangers"])
        if case.shape == "apr":
            assert f"docker.io/disinto-kept/{old.project}:" in found["pin"]
            assert old.adopt("--undo", "--yes").code == 2  # once is enough


def told_by_the_page(shape: str) -> list[str]:
    """The dangers that the page about this generation shows, up to their first `…`; volumes have other names here."""
    page = {"apr": "docs/from-build.md", "head": "docs/from-image-tag.md"}.get(shape)
    if page is None:
        return []
    (block,) = (block for block in read_page(page).blocks() if block.startswith("Adopt acme\n"))
    found = re.findall(r"▲ (.*(?:\n    .*)*)", block)
    words = [" ".join(one.split()).partition("…")[0].strip() for one in found if "volume" not in one]
    assert len(words) > 1
    return words


def of_ours(case: Case, ground: Ground) -> None:
    """One of this tool's own, edited by hand: `init` refuses it and names `adopt`, which makes the file as `init`
    would, and its edits go into the override."""
    with a_factory(ground.engine, ground.images, ground.home, "edited") as made:
        file = made.directory / "docker-compose.yml"
        ours = file.read_text()
        file.write_text(ours.replace("    init: true\n", "    mem_limit: 64m\n", 1))
        old = Old(made, ground.engine)
        assert made.cli("up", "--yes").code == 0
        assert "`disinto adopt` moves your part" in made.init("--no-start").err
        pin = (made.directory / ".env").read_bytes()

        def adopted() -> None:
            assert file.read_text() == ours
            override = (made.directory / "docker-compose.override.yml").read_text()
            assert "mem_limit: 64m" in override and "init: !reset" in override
            assert (made.directory / ".env").read_bytes() == pin
            assert containers(old)["agents"]["HostConfig"]["Memory"] == 64 << 20
            assert "Nothing to do." in old.adopt("--yes").err

        wanted = [ground.images.reference(name) for name in ("v0.3.0", "v0.2.0")]
        plan = there_and_back(old, case, wanted, adopted)
        assert plan["facts"]["adopt"]["generation"] == "ours-edited"


def there_and_back(
    old: Old, case: Case, versions: Sequence[str], adopted: Callable[[], None]
) -> dict[str, Any]:
    """Adopt, switch to each version, undo; `adopted` is called in between. The plan of the adoption.

    Compared are the data in every volume and bind mount by its hash, every file by its bytes and mode, and every
    container by its settings.
    """
    before = containers(old)
    ran = old.running()
    write(old, before, "first")
    data = read(old, before)
    assert {(name, path) for name, item in before.items() for path in places(item, writable=True)} <= set(
        data
    )
    (old.directory / "state/.dev-active").touch()
    files = old.files()
    volumes = {mount["Name"] for item in before.values() for mount in item["Mounts"] if "Name" in mount}

    said = old.adopt("--yes")
    assert said.code == 0, said.err
    plan: dict[str, Any] = json.loads(
        next(old.directory.glob(".disinto/runs/*-adopt-*/plan.json")).read_bytes()
    )
    told = [(item["service"], item["path"]) for item in plan["facts"]["adopt"]["data"]]
    assert sorted(told) == sorted(case.rescued)
    for words in case.dangers:
        assert any(words in danger for danger in plan["dangers"]), plan["dangers"]
    assert case.sealed or old.accepted()
    now = containers(old)
    assert set(ran) - set(case.dropped) <= set(old.running())
    assert {name: now[name]["Name"] for name in before} == {name: before[name]["Name"] for name in before}
    assert now["agents"]["Image"] == before["agents"]["Image"]
    assert set(case.holds) <= set(now["agents"]["Config"]["Env"])
    assert kept(read(old, now), case, data) == kept(data, case)
    adopted()

    for version in versions:
        said = old.factory.cli("use", version, "--yes", "--soak", "0.1")
        assert said.code == 0, said.err
        now = containers(old)
        assert now["agents"]["Config"]["Image"].startswith(version)
    # What the first of them had lost would be missed here, too: nothing brings data back.
    assert kept(read(old, now), case, data) == kept(data, case)
    write(old, {name: item for name, item in now.items() if name in before}, "later")
    later = read(old, now)

    said = old.adopt("--undo", "--yes")
    assert said.code == 0, said.err
    back = containers(old)
    assert old.running() == ran
    assert about(back, ran) == about(before, ran)
    assert kept(read(old, back), case, data) == kept(later, case, data)
    assert sources(back, case) == sources(before, case)
    assert volumes <= set(old.engine.ids("volume"))  # the anonymous ones, too
    after = {name: item for name, item in old.files().items() if not mounted(name)}
    assert after == {name: item for name, item in files.items() if not mounted(name)}
    secrets = (SECRET.encode(), b"hunter2-in-clear")
    where = "*" if case.sealed else ".disinto/runs/*/*"
    written = [path for path in old.directory.rglob(where) if path.is_file()]
    assert [str(path) for path in written if any(word in path.read_bytes() for word in secrets)] == []
    return plan


def containers(old: Old) -> dict[str, dict[str, Any]]:
    """The project's containers by service, as inspect documents."""
    ids = old.engine.ids("container", f"label=com.docker.compose.project={old.project}")
    documents: list[dict[str, Any]] = json.loads(old.engine.docker("inspect", *ids).stdout)
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in documents}


def places(document: dict[str, Any], *, writable: bool = False) -> dict[str, dict[str, Any]]:
    """A container's mounts that hold data, by path: files and sockets do not."""
    return {
        mount["Destination"]: mount
        for mount in document["Mounts"]
        if mount["Destination"] not in OTHERS
        and not Path(mount["Source"]).is_file()
        and (mount["RW"] or not writable)
    }


def write(old: Old, documents: dict[str, dict[str, Any]], word: str) -> None:
    """Something precious into everything that a container can write to."""
    for service, document in documents.items():
        paths = places(document, writable=True)
        if paths:
            script = " && ".join(WRITE.format(path, f"{word} {service} {path}") for path in paths)
            old.engine.docker("exec", document["Id"], "sh", "-c", script)


def read(old: Old, documents: dict[str, dict[str, Any]]) -> Data:
    """What is there of it."""
    found: Data = {}
    for service, document in documents.items():
        paths = list(places(document))
        if not paths:
            continue
        script = READ.format(" ".join(paths))
        lines = old.engine.docker("exec", document["Id"], "sh", "-c", script, check=False).stdout.splitlines()
        for path in paths:
            there = sorted(line for line in lines if f" {path}/precious" in line)
            if there:
                found[service, path] = "\n".join(there)
    return found


def kept(found: Data, case: Case, of: Data | None = None) -> Data:
    """Of what was found, that which has to be there (and was in `of`)."""
    return {
        (service, path): text
        for (service, path), text in found.items()
        if service not in case.dropped
        and (service, path) not in case.let_go
        and (of is None or (service, path) in of)
    }


def about(documents: dict[str, dict[str, Any]], services: Sequence[str]) -> dict[str, Any]:
    """What must be the same again."""
    return {
        name: {
            "name": documents[name]["Name"],
            "image": documents[name]["Image"],
            "environment": sorted(documents[name]["Config"]["Env"]),
            "networks": sorted(documents[name]["NetworkSettings"]["Networks"]),
            "ports": documents[name]["HostConfig"]["PortBindings"],
        }
        for name in services
    }


def sources(documents: dict[str, dict[str, Any]], case: Case) -> dict[tuple[str, str], str]:
    """Where the data of each path is, but for what was copied elsewhere."""
    return {
        (service, path): mount.get("Name") or mount["Source"]
        for service, document in documents.items()
        for path, mount in places(document).items()
        if (service, path) not in case.rescued
    }


def mounted(name: str) -> bool:
    """Whether containers write it: a bind mount of the stack's, or the agents' states."""
    return name.startswith(("data/", "disinto/", "notes/")) or (
        name.startswith("state/") and "-active" not in name
    )
