"""What an existing stack has beyond a new one goes over into the override; nothing is lost that somebody put in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core import stack_forms as forms
from disinto_tui.core.carry import Carried, CarryFacts, carry_over, merged
from disinto_tui.core.compose_read import read_compose
from disinto_tui.core.lineage import recognise
from disinto_tui.core.project import read_projects
from disinto_tui.core.stack import HostFacts, StackInputs, build_stack
from disinto_tui.core.stack_diff import semantic_diff
from disinto_tui.core.stack_dump import dump_override
from tests.support.generations import PROJECT, SHAPES

HOME = {"HOME": "/home/op"}


def new_stack(more: str = "") -> dict[str, Any]:
    projects = read_projects([("shop.toml", PROJECT + more)]).projects
    return build_stack(StackInputs(projects, host=HostFacts("/home/op", ssh_dir=True)))


def over(name: str, **facts: Any) -> tuple[dict[str, Any], dict[str, Any], Carried]:
    """The old stack's data, what Compose will see, and what was carried."""
    old = recognise([("docker-compose.yml", SHAPES[name].text)], {}).data
    new = new_stack()
    carried = carry_over(old, new, CarryFacts(HOME, **facts))
    return dict(old), merged(new, carried), carried


@pytest.mark.parametrize("name", SHAPES)
def test_data_stays_where_it_is(name: str) -> None:
    """Every mount of every generation keeps its source, but for those that are named as not kept."""
    old, after, carried = over(name, images={"agents-llama": "l:1", "reproduce": "r:1"})
    told = " ".join(map(str, carried.dropped))
    for service, item in old["services"].items():
        if service not in after["services"]:
            assert f"{service}: the service" in told
            continue
        now = forms.mounts(after["services"][service].get("volumes"), HOME)
        for target, mount in forms.mounts(item.get("volumes"), HOME).items():
            kept = target in now and now[target].source == mount.source
            assert kept or f"{target} is not kept" in told or f"{mount.source} as the site" in told, (
                service,
                mount,
            )
    assert dump_override(carried.override) == dump_override(
        read_compose(dump_override(carried.override)).data
    )


@pytest.mark.parametrize("name", ["apr", "head", "build-opt"])
def test_what_upstream_wrote_itself_is_no_hand_edit(name: str) -> None:
    _, _, carried = over(name)
    assert not [text for text in carried.moved if "environment" in text or "healthcheck" in text], (
        carried.moved
    )
    assert "ports" not in str(carried.override)


def test_hand_made_services_go_over_whole() -> None:
    _, after, carried = over("tracked", images={"agents-llama": "disinto/agents-llama:latest"})
    llama = after["services"]["agents-llama"]
    assert "build" not in llama
    assert "./data/llama:/home/agent/data" in llama["volumes"]
    assert "disinto-net" in forms.names(llama["networks"])
    assert "the service agents-llama" in carried.moved
    # What cannot be built without a checkout and has no image is left out, said as a danger.
    gone = next(item for item in carried.dropped if item.service == "reproduce")
    assert gone.danger and "no image of it" in gone.why


def test_bind_mounted_data_stays_bind_mounted() -> None:
    _, after, _ = over("tracked")
    mounts = forms.mounts(after["services"]["agents"]["volumes"])
    assert mounts["/home/agent/data"].source == "./data/agents"
    assert "/home/agent/disinto" not in mounts


def test_forgejo_keeps_the_odd_mount_and_gets_the_right_one() -> None:
    _, after, _ = over("tracked")
    mounts = forms.mounts(after["services"]["forgejo"]["volumes"])
    assert mounts["/data"].source == "forgejo-data"
    assert mounts["/var/lib/forgejo"].source == "./data/forgejo"


def test_dependencies_and_volumes_that_are_nowhere() -> None:
    _, after, carried = over("half-written")
    assert "agents-qwen-data" in after["volumes"]
    assert any("never filled in" in str(item) for item in carried.dropped)
    text = "services:\n  agents:\n    image: a/b\n  x:\n    image: c\n    depends_on: [gone]\n    volumes: ['v:/v']\n"
    new = new_stack()
    found = carry_over(read_compose(text).data, new, CarryFacts(HOME)).override
    assert "depends_on" not in found["services"]["x"]
    assert "v" in found["volumes"]


def test_container_names_and_the_networks_stay() -> None:
    _, after, _ = over("apr")
    assert after["services"]["agents"]["container_name"] == "disinto-agents"
    text = (
        SHAPES["apr"]
        .text.replace("disinto-agents", "my-agents")
        .replace("    driver: bridge", "    driver: bridge\n    name: my-net")
    )
    found = carry_over(read_compose(text).data, new_stack(), CarryFacts(HOME)).override
    assert found["services"]["agents"]["container_name"] == "my-agents"
    assert found["networks"]["disinto-net"]["name"] == "my-net"


def test_flags_that_stop_agents_are_dropped() -> None:
    text = SHAPES["apr"].text.replace(
        '      DISINTO_CONTAINER: "1"', '      DISINTO_CONTAINER: "1"\n      ENABLE_LLAMA_AGENT: "1"', 1
    )
    carried = carry_over(read_compose(text).data, new_stack(), CarryFacts(HOME))
    assert "ENABLE_LLAMA_AGENT" not in str(carried.override)
    assert any("ENABLE_LLAMA_AGENT" in str(item) for item in carried.dropped)


# -- hand edits ----------------------------------------------------------------------------------------------------

_NAMES = st.from_regex(r"\AMINE_[A-Z]{1,6}\Z")
_VALUES = st.from_regex(r"\A[a-z0-9/$ :#-]{1,12}\Z").map(lambda text: text.replace("$", "$$"))
_SERVICES = st.sampled_from(["forgejo", "woodpecker", "agents", "runner", "edge", "staging"])
_KEYS = {
    "labels": {"mine": "yes"},
    "mem_limit": "512m",
    "restart": "on-failure",
    "user": "1000",
    "extra_hosts": ["db:10.0.0.1"],
    "stop_grace_period": "99s",
    "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
    "cap_drop": ["NET_RAW"],
}
Edit = tuple[str, str, Any]
_EDITS = st.lists(
    st.one_of(
        st.tuples(_SERVICES, st.just("env"), st.tuples(_NAMES, _VALUES)),
        st.tuples(_SERVICES, st.just("env-change"), _VALUES),
        st.tuples(_SERVICES, st.just("mount"), st.from_regex(r"\A/mine/[a-z]{1,5}\Z")),
        st.tuples(_SERVICES, st.just("port"), st.integers(20000, 30000)),
        st.tuples(_SERVICES, st.just("key"), st.sampled_from(sorted(_KEYS))),
        st.tuples(_NAMES.map(str.lower), st.just("service"), st.just("busybox:1")),
        st.tuples(_SERVICES, st.just("check"), st.sampled_from(["7s", "99s"])),
        st.tuples(_SERVICES, st.just("depends"), _SERVICES),
        st.tuples(_SERVICES, st.just("network"), _NAMES.map(str.lower)),
        st.tuples(_SERVICES, st.just("option"), st.sampled_from(["ro", "nocopy", "z"])),
        st.tuples(_SERVICES, st.just("command"), st.sampled_from([["sh", "-c", "x"], "echo a; b"])),
    ),
    min_size=1,
    max_size=5,
)


def edited(data: dict[str, Any], edits: list[Edit]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for name, kind, what in edits:
        service = data["services"].setdefault(name, {"image": "busybox:1"})
        if kind in ("env", "env-change"):
            table = forms.environment(service.get("environment"))
            key, value = what if kind == "env" else (next(iter(table), "MINE"), what)
            service["environment"] = {**table, key: value}
        elif kind == "mount":
            service["volumes"] = [*service.get("volumes", []), f"./mine:{what}"]
        elif kind == "port":
            service["ports"] = [*service.get("ports", []), f"{what}:{what}"]
        elif kind == "key":
            service[what] = _KEYS[what]
        elif kind == "check":
            service["healthcheck"] = {
                "test": ["CMD", "true"],
                **service.get("healthcheck", {}),
                "interval": what,
            }
        elif kind == "depends":
            depends = forms.depends(service.get("depends_on"))
            service["depends_on"] = {
                key: {"condition": how} for key, how in {**depends, what: "service_healthy"}.items()
            }
        elif kind == "network":
            service["networks"] = [*forms.names(service.get("networks")), what]
            data["networks"] = {**(data.get("networks") or {}), what: None}
        elif kind == "option":
            service["volumes"] = [*service.get("volumes", []), f"./optional:/optional:{what}"]
        elif kind == "command":
            service["command"] = what
    return data


def is_there(after: dict[str, Any], old: dict[str, Any], edits: list[Edit]) -> None:
    """Each edit is what Compose will see (compared with the edited file, where a later edit wins)."""
    for name, kind, what in edits:
        was, now = old["services"][name], after["services"][name]
        if kind in ("env", "env-change"):
            table = forms.environment(was["environment"])
            keys = [what[0]] if kind == "env" else list(table)[:1]
            for key in keys:
                assert forms.environment(now["environment"])[key] == table[key]
        elif kind == "mount":
            assert forms.mounts(now["volumes"])[what].source == "./mine"
        elif kind == "port":
            assert forms.ports(now["ports"])[f"{what}/tcp"] == str(what)
        elif kind == "key":
            got = now[what]
            assert forms.plain(got) == forms.plain(was[what]), (what, got)
        elif kind == "check":
            assert now["healthcheck"] == was["healthcheck"]
        elif kind == "depends":
            assert forms.depends(now["depends_on"])[what] == "service_healthy"
        elif kind == "network":
            assert what in forms.names(now["networks"])
            assert what in after["networks"]
        elif kind == "option":
            item = next(item for item in was["volumes"][::-1] if "/optional:" in str(item))
            assert item in now["volumes"]
        elif kind == "command":
            assert now["command"] == was["command"]
        else:
            assert now["image"] == "busybox:1"


@cache
def _upstreams(name: str) -> dict[str, Any]:
    return read_compose(SHAPES[name].text).data


def _full_edge() -> str:
    return '[factory.images]\nedge = "ghcr.io/disinto/edge:v1"\n'


@given(_EDITS)
def test_hand_edits_of_a_file_of_ours_are_never_lost(edits: list[Edit]) -> None:
    new = new_stack()
    old = edited(new, edits)
    carried = carry_over(old, new, CarryFacts(HOME, exact=True))
    after = merged(new, carried)
    is_there(after, old, edits)
    assert not [change for change in semantic_diff(old, after, environ=HOME) if change.danger]


@given(_EDITS, st.sampled_from(["apr", "head", "build-opt"]), st.booleans())
def test_hand_edits_of_a_file_of_upstreams_are_never_lost(edits: list[Edit], name: str, full: bool) -> None:
    # What tells upstream's edge something says nothing to a plain proxy; its reason is told.
    edits = [edit for edit in edits if full or edit[:2] != ("edge", "env-change")]
    old, new = edited(_upstreams(name), edits), new_stack(_full_edge() if full else "")
    carried = carry_over(old, new, CarryFacts(HOME, complete=True, full_edge=full))
    is_there(merged(new, carried), old, edits)


@given(st.data())
def test_what_was_taken_out_of_a_file_of_ours_stays_out(data: st.DataObject) -> None:
    new = new_stack()
    old = copy.deepcopy(new)
    name = data.draw(st.sampled_from(["forgejo", "woodpecker", "agents", "edge"]))
    service = old["services"][name]
    part = data.draw(
        st.sampled_from([key for key in ("environment", "volumes", "ports") if service.get(key)])
    )
    taken: Callable[[Any], Any] = forms.mounts if part == "volumes" else forms.ports
    if part == "environment":
        gone = data.draw(st.sampled_from(sorted(service[part])))
        del service[part][gone]
        taken = forms.environment
    else:
        at = data.draw(st.integers(0, len(service[part]) - 1))
        gone = next(iter(taken([service[part].pop(at)])))
    after = merged(new, carry_over(old, new, CarryFacts(HOME, exact=True)))
    assert taken(after["services"][name].get(part)) == taken(service.get(part))
    assert gone not in taken(after["services"][name].get(part))


def test_an_untouched_file_of_ours_needs_no_override() -> None:
    new = new_stack()
    carried = carry_over(copy.deepcopy(new), new, CarryFacts(HOME, exact=True))
    assert (carried.override, carried.moved, carried.dropped) == ({}, [], [])
