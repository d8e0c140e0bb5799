"""The versions of an instance, from a registry whose every answer the test decides, and with no engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, create_run
from disinto_tui.adapters.registry_auth import NoCredentials
from disinto_tui.core.catalog import Meta
from disinto_tui.core.events import RunEnded, RunStarted, RunState
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.catalog import IN_FLIGHT, VersionSource
from disinto_tui.runs.versions import open_registry
from tests.adapters.support_stub import REPO, StubRegistry, host_of, registry_error, serving
from tests.support.processes import free_port


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


def instance(directory: Path, url: str, pin: str = "v0.1.0") -> Instance:
    (directory / "docker-compose.yml").write_text("services: {}\n")
    (directory / ".env").write_text(f"AGENTS_IMAGE={host_of(url)}/{REPO}:{pin}\n")
    return Instance.at(directory)


def source(made: Instance, clock: Clock) -> VersionSource:
    return VersionSource(made, credentials=NoCredentials(), clock=clock)


async def all_details(of: VersionSource, *tags: str, offline: bool = False) -> dict[str, Meta]:
    found: dict[str, Meta] = {}
    async for batch in of.details(tags, offline=offline):
        found.update(batch)
    return found


def stub_with(*tags: str) -> StubRegistry:
    stub = StubRegistry()
    for tag in tags:
        stub.image(tag)
    return stub


async def test_the_list_and_what_each_version_is(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0", "v0.2.0", "latest")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        assert await of.remembered() is None
        found = await of.asked()
        assert list(found.tags) == ["v0.2.0", "v0.1.0", "latest"]
        assert found.error is None
        assert found.marks["v0.1.0"].pinned
        assert found.marks["v0.2.0"].newest
        metas = await all_details(of, "v0.2.0", "v0.1.0")
        await of.close()
    assert metas["v0.2.0"].digest == stub.tags["v0.2.0"]
    assert metas["v0.2.0"].size == 100
    assert metas["v0.2.0"].created.startswith("2026-05-06")
    assert metas["v0.2.0"].at == 1000.0


async def test_the_second_opening_asks_for_nothing_it_knows(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        first = source(made, clock)
        await first.asked()
        await all_details(first, "v0.1.0", "v0.2.0")
        await first.close()
        stub.requests.clear()
        second = source(made, clock)
        found = await second.remembered()
        assert found is not None
        assert list(found.tags) == ["v0.2.0", "v0.1.0"]
        assert found.asked_at == 1000.0
        known = second.known("v0.2.0")
        assert known is not None and known.size == 100
        assert stub.requests == []
        # Within a minute nothing is asked; later the digest alone is, and the blobs are remembered.
        assert (await all_details(second, "v0.2.0"))["v0.2.0"].at == 1000.0
        assert stub.requests == []
        clock.now += 3600
        assert (await all_details(second, "v0.2.0"))["v0.2.0"].at == clock.now
        assert [request[0] for request in stub.requests] == ["HEAD"]
        await second.close()


async def test_a_tag_that_was_moved_is_noticed(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        before = (await all_details(of, "v0.1.0"))["v0.1.0"].digest
        stub.image("v0.1.0", User="other")
        clock.now += 3600
        after = (await all_details(of, "v0.1.0"))["v0.1.0"]
        await of.close()
    assert after.digest == stub.tags["v0.1.0"] != before
    assert after.user == "other"


async def test_a_registry_that_is_gone_leaves_the_list_with_its_age(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        of = source(made, clock)
        await of.asked()
        await all_details(of, "v0.2.0")
        await of.close()
    clock.now += 3 * 3600
    later = source(made, clock)
    found = await later.asked()
    assert found.error is not None and found.error.code.startswith("registry.")
    assert list(found.tags) == ["v0.2.0", "v0.1.0"]
    assert found.asked_at == 1000.0
    metas = await all_details(later, "v0.2.0", "v0.1.0")
    assert metas["v0.2.0"].size == 100 and metas["v0.2.0"].error
    assert not metas["v0.1.0"].known and "did not answer" in metas["v0.1.0"].error
    await later.close()


async def test_offline_asks_no_registry(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        found = await of.asked(offline=True)
        assert found.error is None and not found.asked_at
        assert not (await all_details(of, "v0.1.0", offline=True))["v0.1.0"].known
        await of.close()
    assert stub.requests == []


async def test_one_bad_version_does_not_hide_the_others(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with("v0.1.0", "v0.2.0")

    def broken(request: web.BaseRequest) -> web.StreamResponse | None:
        return registry_error("MANIFEST_UNKNOWN", 404) if request.path.endswith("/v0.2.0") else None

    stub.faults.append(broken)
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        metas = await all_details(of, "v0.2.0", "v0.1.0")
        await of.close()
    assert metas["v0.1.0"].known
    assert not metas["v0.2.0"].known and metas["v0.2.0"].error


async def test_an_image_for_another_processor_is_shown_and_said(tmp_path: Path, clock: Clock) -> None:
    stub = StubRegistry()
    stub.image("v0.1.0", architecture="s390x")
    stub.index("v0.2.0", stub.image(architecture="s390x"), stub.image(architecture="arm64", variant="v8"))
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        metas = await all_details(of, "v0.1.0", "v0.2.0")
        await of.close()
    assert metas["v0.1.0"].platforms == ("linux/s390x",)
    assert metas["v0.2.0"].platforms == ("linux/s390x", "linux/arm64/v8")
    assert metas["v0.2.0"].created


async def test_closing_the_details_ends_what_is_under_way(tmp_path: Path, clock: Clock) -> None:
    stub = stub_with(*(f"v0.{number}.0" for number in range(40)))
    gate, waiting = asyncio.Event(), 0
    most = 0

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal waiting, most
        if "/manifests/" in request.path:
            waiting += 1
            most = max(most, waiting)
            try:
                await gate.wait()
            finally:
                waiting -= 1
        return await stub(request)

    async with serving(slow) as url:
        of = source(instance(tmp_path, url), clock)
        gate.set()
        await of.asked()  # the very first request is alone: it finds out how the registry is spoken to
        gate.clear()
        details = of.details([f"v0.{number}.0" for number in range(40)])
        first = asyncio.ensure_future(anext(details))
        for _ in range(500):
            if waiting == IN_FLIGHT:
                break
            await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await details.aclose()
        await of.close()
        gate.set()
    assert most == IN_FLIGHT


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"format": 1, "repository": "other"}', b"\xff\xfe"])
async def test_a_cache_that_cannot_be_read_is_no_cache(tmp_path: Path, clock: Clock, junk: bytes) -> None:
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        made = instance(tmp_path, url)
        of = source(made, clock)
        await of.asked()
        await all_details(of, "v0.1.0")
        await of.close()
        files = [path for path in (tmp_path / ".disinto" / "cache").rglob("*") if path.is_file()]
        assert len(files) == 3
        for path in files:
            path.write_bytes(junk)
        again = source(made, clock)
        assert await again.remembered() is None
        assert again.known("v0.1.0") is None
        assert (await all_details(again, "v0.1.0"))["v0.1.0"].known
        await again.close()


async def test_images_that_no_tag_means_any_more_are_let_go_of(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disinto_tui.adapters.version_cache._STALE", 1)
    stub = stub_with("v0.1.0")
    async with serving(stub) as url:
        of = source(instance(tmp_path, url), clock)
        for number in range(4):
            stub.image("v0.1.0", User=f"u{number}")
            clock.now += 3600
            assert (await all_details(of, "v0.1.0"))["v0.1.0"].user == f"u{number}"
        await of.close()
        assert len(list((tmp_path / ".disinto" / "cache").rglob("images/*.json"))) <= 2
        again = source(instance(tmp_path, url), clock)
        await again.asked(offline=True)
        assert again.known("v0.1.0") is not None
        await again.close()


# -- what happened here ------------------------------------------------------------------------------------------


def past(
    made: Instance, kind: str, to: str, before: str, at: float, state: RunState = "done", image: str = ""
) -> None:
    """A finished run in the journal."""
    facts = {"to": to, "from": before, "digest": "", "by": "ops"}
    steps = (Step("watch", "Watch", "watch-switch", {}),)
    run = create_run(made, Plan(kind, kind, str(made.path), "p", "unix:///s", steps, facts=facts))
    error = (
        {"what": "agents did not come up.", "why": "It is unhealthy.", "code": "service.unhealthy"}
        if state != "done"
        else None
    )
    writer = JournalWriter(run)
    writer.write(RunStarted(at, run.id, 1, 1.0, "boot"))
    result = {"watched": ["agents"], "image_id": image}
    writer.write(RunEnded(at + 5, state, 0 if error is None else 1, error=error, result=result))
    writer.close()


async def test_history_is_in_the_list(tmp_path: Path, clock: Clock) -> None:
    address = f"127.0.0.1:{free_port()}"
    made = instance(tmp_path, f"http://{address}", "v0.2.0")
    name = f"{address}/{REPO}"
    past(made, "init", f"{name}:v0.1.0", "", 100.0)
    past(made, "switch", f"{name}:v0.2.0", f"{name}:v0.1.0", 200.0)
    past(made, "switch", f"{name}:v0.3.0", f"{name}:v0.2.0", 300.0, "undone")
    past(made, "switch", "elsewhere.example/x/agents:v9.0.0", f"{name}:v0.2.0", 350.0, "undone")
    of = source(made, clock)
    found = await of.asked()
    await of.close()
    assert list(found.tags) == ["v0.3.0", "v0.2.0", "v0.1.0"]
    assert found.undo == "v0.1.0"
    reverted = found.marks["v0.3.0"].past
    assert reverted is not None
    assert (reverted.outcome, reverted.at, reverted.by) == ("reverted", 300.0, "ops")
    assert "unhealthy" in reverted.reason
    good = found.marks["v0.1.0"].past
    assert good is not None and good.good
    assert [entry.version for entry in of.entries("v0.3.0")] == ["v0.3.0"]
    assert json.loads(json.dumps(found.row("v0.3.0").to_json()))["past"]["outcome"] == "reverted"


class Insecure:
    """An engine that lists a network as insecure."""

    asked = 0

    async def insecure_registries(self) -> tuple[str, ...]:
        self.asked += 1
        return ("10.0.0.0/8", "127.0.0.0/8")


async def test_a_registry_the_engine_lists_as_insecure_is_asked_over_plain_http_too() -> None:
    engine = Insecure()

    async def bases(host: str) -> list[str]:
        client = await open_registry(host, engine, NoCredentials())  # type: ignore[arg-type]
        return client._wire.bases()

    assert await bases("10.1.2.3:5000") == ["https://10.1.2.3:5000", "http://10.1.2.3:5000"]
    assert await bases("192.0.2.1:5000") == ["https://192.0.2.1:5000"]
    assert engine.asked == 2
    await bases("127.0.0.1:5000")
    assert engine.asked == 2  # this host needs no list
