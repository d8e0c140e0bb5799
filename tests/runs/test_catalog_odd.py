"""The versions of an instance when something is odd, silent, or somebody else's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.runs import catalog
from disinto_tui.runs.catalog import VersionSource, _Here
from disinto_tui.runs.env import read_env
from tests.adapters.support_stub import REPO, host_of, serving
from tests.runs.test_catalog import (
    Clock,
    all_details,
    clock,
    instance,
    no_engine,
    past,
    source,
    stub_with,
)

__all__ = ["clock", "no_engine"]


@pytest.mark.parametrize("platforms", [[], [{"os": "unknown", "architecture": "unknown"}]])
async def test_an_index_without_an_image_spoils_only_itself(
    tmp_path: Path, clock: Clock, platforms: list[dict[str, str]]
) -> None:
    stub = stub_with("v0.1.0")
    stub.index("v0.2.0", *({**stub.image(), "platform": platform} for platform in platforms))
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        metas = await all_details(of, "v0.2.0", "v0.1.0")
        await of.close()
    assert metas["v0.1.0"].known
    assert not metas["v0.2.0"].known
    assert metas["v0.2.0"].error


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError])
async def test_an_answer_nobody_foresaw_spoils_only_its_version(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        read = of._read

        async def odd(client: object, path: str, reference: str) -> object:
            if reference == "v0.2.0":
                raise kind("odd")
            return await read(client, path, reference)  # type: ignore[arg-type]

        monkeypatch.setattr(of, "_read", odd)
        metas = await all_details(of, "v0.2.0", "v0.1.0")
        await of.close()
    assert metas["v0.1.0"].known
    assert "odd" in metas["v0.2.0"].error


HERE = _Here("linux/amd64", {}, frozenset({"sha256:mine"}), frozenset(), ())


def hearing(
    of: VersionSource, monkeypatch: pytest.MonkeyPatch, *answers: _Here | Exception, slow: float = 0.0
) -> list[int]:
    """Let the engine answer that, one after the other, the last one for ever; the list grows with each question."""
    asked: list[int] = []

    async def ask() -> _Here:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(1)
        await asyncio.sleep(slow)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(of, "_ask_engine", ask)
    return asked


NO_ENGINE = Unavailable("No engine answers.", "It is down.", "Start it.", code="engine.down")


async def test_what_another_repository_left_here_is_no_version_of_this_one(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        other = "elsewhere.example/x/agents"
        past(made, "init", f"{other}:v8.0.0", "", 100.0, image="sha256:other")
        past(made, "switch", f"{other}:v9.0.0", f"{other}:v8.0.0", 200.0, image="sha256:mine")
        past(made, "switch", f"{host_of(url)}/{REPO}:v0.0.9", "", 50.0, image="sha256:mine")
        of = source(made, clock)
        ids = frozenset({"sha256:mine", "sha256:other"})
        hearing(of, monkeypatch, _Here("linux/amd64", {}, ids, frozenset(), ("v9.0.0",)))
        found = await of.asked()
        await of.close()
    assert list(found.tags) == ["v0.1.0", "v0.0.9"]
    assert found.marks["v0.0.9"].offline  # its image is here, under whatever name
    assert not found.marks["v0.1.0"].offline
    assert not any(marks.running for marks in found.marks.values())


async def test_a_tag_that_was_moved_since_it_runs_here_is_said(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        same = json.loads(stub.documents[stub.tags["v0.2.0"]][1])["config"]["digest"]
        here = {"v0.1.0": "sha256:other", "v0.2.0": same}
        told = _Here("linux/amd64", here, frozenset(here.values()), frozenset(), ("v0.1.0",), here)
        hearing(of, monkeypatch, told)
        catalog = await of.asked()
        metas = await all_details(of, "v0.1.0", "v0.2.0")
        await of.close()
    assert metas["v0.1.0"].here == "sha256:other"
    assert "▲ tag moved" in catalog.row("v0.1.0", metas["v0.1.0"]).words
    assert not metas["v0.2.0"].here


async def test_the_way_back_to_another_repository_has_a_name(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        past(made, "init", "elsewhere.example/x/agents:v8.0.0", "", 100.0)
        of = source(made, clock)
        found = await of.asked()
        await of.close()
    assert found.undo == "v8.0.0"
    assert "v8.0.0" not in found.tags


async def test_an_engine_that_is_down_is_said_and_what_it_told_is_kept(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        first = source(made, clock)
        told = _Here(
            "linux/amd64", {"v0.1.0": "sha256:mine"}, frozenset({"sha256:mine"}), frozenset(), ("v0.1.0",)
        )
        hearing(first, monkeypatch, told, NO_ENGINE)
        assert (await first.asked()).engine_error == ""
        for _ in range(2):  # the second time it is read from what the first one kept
            found = await first.asked()
            assert found.engine_error == "No engine answers. It is down."
            assert found.marks["v0.1.0"].running
            assert found.marks["v0.1.0"].local
        await first.close()
        again = source(made, clock)
        remembered = await again.remembered()
        await again.close()
    assert remembered is not None
    assert remembered.marks["v0.1.0"].running


async def test_a_silent_engine_is_waited_for_once(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        asked = hearing(of, monkeypatch, NO_ENGINE)
        await of.asked()
        await all_details(of, "v0.1.0")
        await all_details(of, "v0.2.0")
        assert len(asked) == 1
        await of.asked()
        assert len(asked) == 2
        await of.close()


async def test_who_asks_while_the_engine_is_asked_waits_for_that_answer(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        asked = hearing(of, monkeypatch, HERE, slow=0.2)
        await asyncio.gather(all_details(of, "v0.1.0"), of.asked())
        await of.close()
    assert len(asked) == 1


async def test_a_silent_registry_is_given_up_and_not_asked_about_each_version(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    silent, asked = False, 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if silent:
            await asyncio.sleep(3)
        return await stub(request)

    async with serving(handler) as url:
        of = source(instance(tmp_path, url), clock)
        await of.asked()
        await all_details(of, "v0.1.0")
        clock.now += 3600
        silent = True
        monkeypatch.setattr(catalog, "LIST_SECONDS", 0.2)
        found = await of.asked()
        assert found.error is not None
        assert found.error.code == "registry.timeout"
        assert "0.2 s" in found.error.why
        before = asked
        metas = await all_details(of, "v0.1.0", "v0.2.0")
        assert asked == before
        assert metas["v0.1.0"].known
        assert "did not answer" in metas["v0.1.0"].error
        assert "did not answer" in metas["v0.2.0"].error
        silent = False
        monkeypatch.setattr(catalog, "LIST_SECONDS", 5.0)
        assert (await of.asked()).error is None
        assert (await all_details(of, "v0.2.0"))["v0.2.0"].known
        await of.close()


async def test_an_environment_file_that_cannot_be_read_is_three_sentences(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = BadInput("It is sealed.", "No key opens it.", "Bring the key.", code="sops.key")

    def sealed(_: Instance) -> dict[str, str]:
        raise trouble

    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    monkeypatch.setattr(catalog, "read_env", sealed)
    of = source(Instance.at(tmp_path), clock)
    for asking in (of.remembered, of.asked):
        with pytest.raises(BadInput) as raised:
            await asking()
        assert raised.value is trouble
    with pytest.raises(BadInput):
        await all_details(of, "v0.1.0")
    await of.close()


async def test_an_environment_file_that_goes_away_while_the_list_is_asked_for_is_read_once(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        real, reads = read_env, 0

        def once(made: Instance) -> dict[str, str]:
            nonlocal reads
            reads += 1
            if reads > 1:
                raise BadInput("It is sealed.", "No key opens it.", "Bring the key.", code="sops.key")
            return real(made)

        monkeypatch.setattr(catalog, "read_env", once)
        assert (await of.asked()).marks["v0.1.0"].pinned
        await of.close()


async def test_files_of_another_user_are_three_sentences(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Instance) -> dict[str, str]:
        raise PermissionError(13, "Permission denied", "/x/.env")

    monkeypatch.setattr(catalog, "read_env", denied)
    of = source(Instance.at(tmp_path), clock)
    with pytest.raises(BadInput, match=r"/x/\.env cannot be used") as raised:
        await of.asked()
    assert raised.value.code == "files.rights"
