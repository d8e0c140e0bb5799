"""The version list as data: order, filters, what is said of a version, what a pull would fetch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.catalog import (
    Catalog,
    Marks,
    Meta,
    Past,
    bytes_to_pull,
    chain_ids,
    changes,
    count_versions,
    newest_of,
)
from disinto_tui.core.catalog_text import (
    about,
    fresh_text,
    made_text,
    platforms_text,
    pull_text,
    volumes_text,
)
from disinto_tui.core.errors import Unavailable
from disinto_tui.core.model import AGENT_VOLUMES
from disinto_tui.core.version import TagKind, classify_tag, sort_tags

NOW = 1_795_000_000.0
DOWN = Unavailable("It did not answer.", "Nobody knows.", "Try again.", code="registry.down")


def catalog(*tags: str, **marks: Marks) -> Catalog:
    ordered = sort_tags(tags)
    named = {name.replace("_", ".").replace("rc", "-rc"): value for name, value in marks.items()}
    return Catalog("ghcr.io/d/agents", ordered, count_versions(ordered), named, NOW)


def test_versions_stand_first_newest_first_and_other_tags_are_hidden() -> None:
    found = catalog("latest", "v0.9.0", "v0.10.0", "v0.10.0-rc.1", "sha-abc", "main")
    assert found.filtered() == ["v0.10.0", "v0.10.0-rc.1", "v0.9.0"]
    assert found.hidden == 3
    assert found.filtered(others=True)[3:] == ["latest", "main", "sha-abc"]
    assert found.row("v0.10.0-rc.1").kind == "pre-release"
    assert found.row("main").kind == "other"


@given(st.lists(st.sampled_from(["latest", "main", "v1", "v1.0.0", "v2.0.0-rc.1", "v0.1.0", "x"])))
def test_the_count_of_versions_is_where_other_tags_begin(tags: list[str]) -> None:
    ordered = sort_tags(tags)
    count = count_versions(ordered)
    assert all(classify_tag(tag) is not TagKind.OTHER for tag in ordered[:count])
    assert all(classify_tag(tag) is TagKind.OTHER for tag in ordered[count:])


def test_the_newest_is_a_release_unless_there_is_none() -> None:
    assert newest_of(["v1.0.0-rc.1", "v0.9.0", "latest"]) == "v0.9.0"
    assert newest_of(["v1.0.0-rc.1", "v1.0.0-rc.2"]) == "v1.0.0-rc.2"
    assert newest_of(["latest"]) == ""


def test_a_filter_is_words_and_marks() -> None:
    found = catalog(
        "v0.3.0",
        "v0.3.1",
        "v0.4.0-RC.1",
        v0_3_0=Marks(local=True, past=Past("good", NOW)),
        v0_3_1=Marks(past=Past("reverted", NOW)),
    )
    assert found.filtered("0.3") == ["v0.3.1", "v0.3.0"]
    assert found.filtered("rc 0.4") == ["v0.4.0-RC.1"]
    assert found.filtered(":good") == ["v0.3.0"]
    assert found.filtered(":reverted") == ["v0.3.1"]
    assert found.filtered(":local 1") == []
    assert found.filtered(":") == []  # a colon alone is a word, and no tag has one
    assert found.filtered("nothing") == []


def test_what_is_said_of_a_version() -> None:
    running = Marks(local=True, running=True, pinned=True, past=Past("good", NOW))
    assert catalog("v1.0.0", v1_0_0=running).row("v1.0.0").words == ("● running",)
    reverted = Marks(local=True, past=Past("reverted", NOW))
    assert catalog("v1.0.0", v1_0_0=reverted).row("v1.0.0").words == ("✗ reverted", "local")
    other = catalog("v1.0.0").row("v1.0.0", Meta(digest="sha256:0", fits=False))
    assert other.words == ("▲ other processor",)


def test_a_running_version_that_was_rolled_back_from_says_so() -> None:
    marks = Marks(running=True, past=Past("left", NOW))
    assert catalog("v1.0.0", v1_0_0=marks).row("v1.0.0").words == ("● running", "✗ rolled back from")


# -- layers ------------------------------------------------------------------------------------------------------


def test_chain_ids_follow_the_specification() -> None:
    a, b = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    assert chain_ids([]) == []
    assert chain_ids([a]) == [a]
    assert chain_ids([a, b])[1] == "sha256:" + hashlib.sha256(f"{a} {b}".encode()).hexdigest()


def test_only_layers_that_stand_on_what_is_here_are_saved() -> None:
    layers, diffs = [("l1", 100), ("l2", 20), ("l3", 3)], ["d1", "d2", "d3"]
    one, two, three = chain_ids(diffs)
    assert bytes_to_pull(layers, diffs, set()) == 123
    assert bytes_to_pull(layers, diffs, {one}) == 23
    assert bytes_to_pull(layers, diffs, {one, two, three}) == 0
    # The second layer alone is of no use without the one below it.
    assert bytes_to_pull(layers, diffs, {two}) == 123


def test_layers_that_cannot_be_matched_are_all_fetched() -> None:
    assert bytes_to_pull([("l1", 100)], [], {"d1"}) == 100


def test_a_layer_that_comes_twice_is_fetched_once() -> None:
    assert bytes_to_pull([("l1", 100), ("l1", 100)], ["d1", "d1"], set()) == 100


# -- what changed ------------------------------------------------------------------------------------------------


def test_what_changed_between_two_versions_begins_with_volumes() -> None:
    old = Meta(digest="sha256:1", size=1, volumes=("/a",), user="agent", revision="1" * 40, labels={"x": "1"})
    new = Meta(digest="sha256:2", size=1, volumes=("/b",), user="", revision="2" * 40, labels={"x": "2"})
    assert changes(new, old) == [
        "+ volume /b",
        "- volume /a",
        "user: agent → root",
        f"revision: {'1' * 12} → {'2' * 12}",
        "label x: 1 → 2",
    ]
    assert changes(new, new) == []
    assert changes(Meta(), old) == []


def test_what_only_a_registry_tells_is_not_held_against_an_image_known_to_the_engine_alone() -> None:
    whole = Meta(digest="sha256:1", size=1, entrypoint=("/entrypoint.sh",), user="agent", healthcheck=True)
    local = Meta(digest="sha256:2", pull=0, volumes=("/v",))
    assert changes(local, whole) == ["+ volume /v"]
    assert changes(whole, local) == ["- volume /v"]


# -- words -------------------------------------------------------------------------------------------------------


def test_what_is_not_known_is_told_from_what_is_nothing() -> None:
    assert pull_text(None) == "…"
    assert pull_text(Meta(pull=0)) == "-"
    assert pull_text(Meta(pull=-1)) == "?"
    assert pull_text(Meta(pull=41_000_000)) == "41 MB"
    assert made_text(None, NOW) == "…"
    assert made_text(Meta(), NOW) == "-"


def test_dates_with_nanoseconds_and_zones_are_read() -> None:
    for text in ("1970-01-02T00:00:00.123456789Z", "1970-01-02T02:00:00+02:00"):
        assert made_text(Meta(created=text), 86_400 + 60) == "60 s"
    assert made_text(Meta(created="yesterday"), NOW) == "-"


def test_volumes_without_a_mount_are_named() -> None:
    assert volumes_text(Meta(volumes=tuple(AGENT_VOLUMES))) == "4 of 4 mounts match"
    odd = volumes_text(Meta(volumes=("/home/agent/data", "/var/lib/x")))
    assert "1 of 4" in odd
    assert "/var/lib/x would be an anonymous volume" in odd
    assert "does not declare /home/agent/disinto/projects" in odd


def test_platforms_say_whether_it_runs_here() -> None:
    assert platforms_text(Meta(platforms=("linux/amd64",), fits=True)).endswith("✓ runs here")
    assert platforms_text(Meta(platforms=("linux/s390x",), fits=False)).endswith("▲ does not run here")


def test_the_age_of_a_list_is_said() -> None:
    fresh = catalog("v1.0.0")
    assert fresh_text(fresh, NOW + 2) == "registry just now"
    assert fresh_text(Catalog("r", asked_at=NOW, error=DOWN), NOW + 3 * 3600) == "offline, of 3 h ago"
    assert fresh_text(Catalog("r"), NOW) == "only what is on this host"


@dataclass(frozen=True)
class Start:
    kind: str
    at: float
    outcome: str
    reason: str = ""
    by: str = ""
    lines: tuple[str, ...] = ()


def test_everything_about_a_version() -> None:
    marks = Marks(local=True, offline=True, past=Past("reverted", NOW - 86_400 * 5, "It was unhealthy."))
    found = catalog("v1.0.0", "v0.9.0", v1_0_0=marks, v0_9_0=Marks(running=True))
    meta = Meta(
        digest="sha256:1",
        created="2026-11-01T00:00:00Z",
        title="Better",
        revision="abc",
        size=100,
        pull=30,
        labels={"x": "1"},
    )
    past = [Start("switch", NOW - 86_400 * 5, "reverted", "It was unhealthy.", "ops")]
    lines = about(found.row("v1.0.0", meta), past, found, Meta(digest="sha256:2", revision="aaa"), NOW)
    text = dict(lines)
    assert text["version"] == "v1.0.0 · ✗ reverted, 5 d ago"
    assert text["made"].startswith("2026-11-01 00:00 UTC")
    assert text["pull"] == "30 B of 100 B"
    assert text["ran here"] == "switch 5 d ago by ops, reverted: It was unhealthy."
    assert ("against v0.9.0", "revision: aaa → abc") in lines
    assert text["labels"] == "x=1"
    assert "works without a registry" in text["offline"]


def test_a_version_nobody_could_ask_about_says_why() -> None:
    found = catalog("v1.0.0")
    text = dict(about(found.row("v1.0.0", Meta(error="It did not answer.")), [], found, None, NOW))
    assert text["not asked"] == "It did not answer."
    assert "digest" not in text
