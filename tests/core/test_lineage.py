"""What an existing stack is recognised as, for every generation that upstream left behind."""

from __future__ import annotations

import pytest

from disinto_tui.core.compose_read import merge, read_compose
from disinto_tui.core.lineage import GENERATIONS, Lineage, build_inputs, recognise
from disinto_tui.core.stack_dump import dump_compose
from tests.support.generations import SHAPES, Shape


def look(shape: Shape, env: dict[str, str] | None = None, text: str | None = None) -> Lineage:
    files = [("docker-compose.yml", shape.text if text is None else text)]
    if shape.override:
        files.append(("docker-compose.override.yml", shape.override))
    local = ("agents-qwen", "agents-other") if shape.name == "half-written" else ()
    return recognise(files, env or {}, missing=("docker/chat/Dockerfile",), local_agents=local)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_generation_is_recognised(shape: Shape) -> None:
    found = look(shape)
    assert (found.generation, found.mode) == (shape.generation, shape.mode)
    slugs = {item.slug for item in found.findings}
    assert set(shape.slugs) <= slugs, slugs
    assert not found.refusals
    assert GENERATIONS[found.generation] == found.to_json()["words"]


def test_dangers_come_first() -> None:
    found = look(SHAPES["tracked"])
    assert found.findings[0].slug == "forgejo-anonymous"
    order = ["refuse", "danger", "warning", "note"]
    ranks = [order.index(item.severity) for item in found.findings]
    assert ranks == sorted(ranks)


def test_modes_are_told_for_each_service() -> None:
    modes = {item.name: item.mode for item in look(SHAPES["mixed"]).services}
    assert (modes["agents"], modes["agents-qwen"], modes["edge"]) == ("image", "build", "image")
    # Upstream takes any `build:` line for build mode: here one service that is not an agent has one.
    assert look(SHAPES["chat"]).mode == "image"


def test_ours_is_known_by_its_hash() -> None:
    text = dump_compose({"name": "x", "services": {"agents": {"image": "a/b:c"}}}, tool_version="1")
    assert recognise([("docker-compose.yml", text)], {}).generation == "ours"
    edited = text.replace("a/b:c", "a/b:d")
    assert recognise([("docker-compose.yml", edited)], {}).generation == "ours-edited"


@pytest.mark.parametrize(
    ("text", "slug", "words"),
    [
        ("services:\n  web:\n    image: nginx\n", "foreign", "not a factory's stack"),
        ("services: [\n", "unreadable", "line 2"),
        ("", "unreadable", "it is empty"),
        ("services:\n  - agents\n", "unreadable", "not a table"),
        ("services:\n  agents:\n    image: a\n  agents:\n    image: b\n", "duplicate", "lines 2 and 4"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, slug: str, words: str) -> None:
    found = recognise([("docker-compose.yml", text)], {})
    refusal = next(item for item in found.refusals if item.slug == slug)
    assert words in refusal.text
    assert refusal.now


def test_no_compose_file() -> None:
    assert recognise([], {}).refusals[0].slug == "none"


def test_the_same_said_twice_is_no_reason_to_refuse() -> None:
    text = "services:\n  agents:\n    image: a/b\n    restart: always\n    restart: always\n"
    found = recognise([("docker-compose.yml", text)], {})
    assert not found.refusals
    assert "duplicate-same" in {item.slug for item in found.findings}


def test_legacy_names_and_no_value_of_them() -> None:
    env = {
        "DISINTO_IMAGE_TAG": "v0.3.0",
        "CODEBERG_TOKEN": "s3cret",
        "ENABLE_LLAMA_AGENT": "1",
        "AGENTS_IMAGE": "v0.1.1",
    }
    found = look(SHAPES["head"], env)
    texts = [str(item) for item in found.findings if item.slug in ("legacy-name", "bare-pin")]
    assert len(texts) == 4
    assert any("DISINTO_IMAGE_TAG" in text and "AGENTS_IMAGE" in text for text in texts)
    assert any("CODEBERG_TOKEN" in text and "written as FORGE_TOKEN" in text for text in texts)
    assert "s3cret" not in str(texts)
    told = look(SHAPES["head"], {**env, "FORGE_TOKEN": "t"}).findings
    assert any("FORGE_TOKEN counts" in item.now for item in told)


def test_containers_that_no_file_describes() -> None:
    found = recognise([("docker-compose.yml", SHAPES["apr"].text)], {}, running=("agents", "old-thing"))
    assert [item.service for item in found.findings if item.slug == "orphan"] == ["old-thing"]


def test_what_a_build_needs() -> None:
    data = read_compose(SHAPES["chat"].text).data
    assert build_inputs(data) == {"chat": "docker/chat/Dockerfile"}
    assert build_inputs(read_compose(SHAPES["apr"].text).data)["agents"] == "docker/agents/Dockerfile"


def test_files_are_merged_as_compose_merges_them() -> None:
    base = read_compose(
        "services:\n  a:\n    image: x\n    environment: [A=1, B=2]\n    volumes: ['v:/d', './p:/q']\n"
        "    ports: ['1:1']\n    depends_on: [b]\n"
    ).data
    over = read_compose(
        "services:\n  a:\n    environment:\n      B: '3'\n      A: !reset null\n    volumes: ['w:/d']\n"
        "    ports: !override ['2:1']\n    depends_on:\n      c:\n        condition: service_healthy\n"
    ).data
    assert merge(base, over)["services"]["a"] == {
        "image": "x",
        "environment": {"B": "3"},
        "volumes": ["./p:/q", "w:/d"],
        "ports": ["2:1"],
        "depends_on": {"b": {"condition": "service_started"}, "c": {"condition": "service_healthy"}},
    }
