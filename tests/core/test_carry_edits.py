"""Edits that are easily lost when a stack goes over: each was, once. (The random ones are in `test_carry`.)"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from disinto_tui.core import stack_forms as forms
from disinto_tui.core.carry import Carried, CarryFacts, carry_over, merged
from disinto_tui.core.compose_read import read_compose
from disinto_tui.core.stack_dump import dump_override
from tests.core.test_carry import HOME, new_stack
from tests.support.generations import SHAPES


def over(old: dict[str, Any], more: str = "", **facts: Any) -> tuple[dict[str, Any], Carried]:
    """What Compose will see, and what was carried. The override means the same when it is read again."""
    new = new_stack(more)
    carried = carry_over(old, new, CarryFacts(HOME, **facts))
    again = Carried(read_compose(dump_override(carried.override)).data if carried.override else {})
    assert merged(new, again) == merged(new, carried)
    return merged(new, carried), carried


def apr() -> dict[str, Any]:
    return read_compose(SHAPES["apr"].text).data


def ours() -> dict[str, Any]:
    return copy.deepcopy(new_stack())


# -- mounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mount",
    [
        {
            "type": "volume",
            "source": "agent-data",
            "target": "/home/agent/data",
            "volume": {"subpath": "mine"},
        },
        "agent-data:/home/agent/data:nocopy",
        "agent-data:/home/agent/data:ro",
        "agent-data:/home/agent/data:z",
    ],
)
def test_a_mount_that_differs_in_its_options_only_is_an_edit(mount: Any) -> None:
    old = apr()
    old["services"]["agents"]["volumes"][0] = mount
    after, _ = over(old, complete=True)
    assert mount in after["services"]["agents"]["volumes"]


def test_the_way_a_bind_is_made_is_no_edit() -> None:
    old = apr()
    old["services"]["agents"]["volumes"].append("./state:/home/agent/disinto/state")
    _, carried = over(old, complete=True)
    assert "/home/agent/disinto/state" not in str(carried.override)


def test_a_plain_edge_keeps_what_somebody_gave_it() -> None:
    """Its own Caddyfile, certificates, and variables that the Caddyfile reads; what only upstream's edge uses goes."""
    old = apr()
    edge = old["services"]["edge"]
    edge["volumes"] = [
        "./my/Caddyfile:/etc/caddy/Caddyfile:ro",
        "./certs:/certs:ro",
        "/var/run/docker.sock:/var/run/docker.sock",
    ]
    edge["environment"] = [*edge["environment"], "ACME_EMAIL=me@here"]
    after, carried = over(old, complete=True)
    mounts = forms.mounts(after["services"]["edge"]["volumes"], HOME)
    assert mounts["/etc/caddy/Caddyfile"].source == "./my/Caddyfile"
    assert mounts["/certs"].source == "./certs"
    assert "/var/run/docker.sock" not in mounts
    assert forms.environment(after["services"]["edge"]["environment"]) == {"ACME_EMAIL": "me@here"}
    assert any("docker.sock" in str(item) for item in carried.dropped)


# -- settings --------------------------------------------------------------------------------------------------------


def test_a_healthcheck_of_upstreams_is_an_edit_when_anything_in_it_differs() -> None:
    old = apr()
    check = {
        "test": ["CMD", "pgrep", "-f", "entrypoint.sh"],
        "interval": "60s",
        "timeout": "5s",
        "retries": 3,
        "start_period": "30s",
    }
    old["services"]["agents"]["healthcheck"] = check
    _, carried = over(old, complete=True)
    assert "healthcheck" not in str(carried.override)
    old["services"]["agents"]["healthcheck"] = {**check, "start_period": "600s"}
    after, _ = over(old, complete=True)
    assert after["services"]["agents"]["healthcheck"]["start_period"] == "600s"


@pytest.mark.parametrize(
    ("service", "command", "kept"),
    [
        ("staging-deploy", ["echo", "staging slot — replace with your deploy"], False),
        ("staging-deploy", "echo nothing yet", False),
        ("staging-deploy", ["sh", "-c", "rsync -a /build/ web:/srv/"], True),
        ("staging-deploy", "echo start && ./deploy.sh", True),
        ("staging", "caddy file-server --root /srv/site", False),
        ("staging", "caddy file-server --root /srv/site --browse", True),
    ],
)
def test_a_command_that_replaced_the_placeholder_is_kept(service: str, command: Any, kept: bool) -> None:
    old = apr()
    old["services"][service]["command"] = command
    after, _ = over(old, complete=True)
    assert (after["services"][service]["command"] == command) == kept


def test_a_pull_policy_is_kept() -> None:
    old = apr()
    old["services"]["forgejo"]["pull_policy"] = "always"
    after, carried = over(old, complete=True)
    assert after["services"]["forgejo"]["pull_policy"] == "always"
    assert "forgejo: pull_policy always" in carried.moved


def test_what_was_taken_out_of_a_generated_file_stays_out() -> None:
    """A service that shall start without a profile, one that is no longer privileged, a CI that is not open."""
    old = apr()
    del old["services"]["staging-deploy"]["profiles"]
    del old["services"]["woodpecker-agent"]["privileged"]
    del old["services"]["woodpecker"]["environment"]["WOODPECKER_OPEN"]
    after, _ = over(old, complete=True)
    assert "profiles" not in after["services"]["staging-deploy"]
    assert "privileged" not in after["services"]["woodpecker-agent"]
    assert "WOODPECKER_OPEN" not in after["services"]["woodpecker"]["environment"]


def test_a_literal_key_of_a_model_that_no_project_file_has_is_kept() -> None:
    qwen = '[agents.qwen]\nbase_url = "http://m"\nmodel = "q"\nforge_user = "qwen-bot"\n'
    old = apr()
    old["services"]["agents-qwen"] = {"image": "x", "environment": {"ANTHROPIC_API_KEY": "sk-mine"}}
    after, carried = over(old, qwen)
    assert after["services"]["agents-qwen"]["environment"]["ANTHROPIC_API_KEY"] == "sk-mine"
    assert "sk-mine" not in str([carried.moved, carried.dropped])
    after, _ = over(old, qwen, api_keys={"agents-qwen": "sk-mine"})
    assert after["services"]["agents-qwen"]["environment"]["ANTHROPIC_API_KEY"].startswith("${")


# -- what services are to each other ----------------------------------------------------------------------------------


def test_dependencies_of_a_file_of_ours_are_as_somebody_made_them() -> None:
    old = ours()
    old["services"]["agents"]["depends_on"] = {
        "forgejo": {"condition": "service_started"},
        "edge": {"condition": "service_healthy", "restart": True},
    }
    after, _ = over(old, exact=True)
    assert after["services"]["agents"]["depends_on"] == old["services"]["agents"]["depends_on"]


def test_dependencies_that_somebody_added_to_a_file_of_upstreams_stay() -> None:
    old = apr()
    old["services"]["agents"]["depends_on"] = ["forgejo", "woodpecker", "staging"]
    after, _ = over(old, complete=True)
    depends = forms.depends(after["services"]["agents"]["depends_on"])
    assert depends == {
        "forgejo": "service_healthy",
        "woodpecker": "service_started",
        "staging": "service_started",
    }


def test_a_service_that_depends_on_one_that_is_left_out_is_let_go_of_it() -> None:
    old = read_compose(SHAPES["chat"].text).data
    old["services"]["mine"] = {
        "image": "x",
        "depends_on": {"chat": {"condition": "service_started"}, "agents": None},
    }
    after, _ = over(old, complete=True)
    assert set(after["services"]["mine"]["depends_on"]) == {"agents"}


@pytest.mark.parametrize("more", [{"required": False}, {"restart": True}])
def test_what_a_dependency_says_beyond_its_condition_stays(more: dict[str, bool]) -> None:
    for old, facts in ((ours(), {"exact": True}), (apr(), {"complete": True})):
        old["services"]["edge"]["depends_on"] = {"woodpecker": {"condition": "service_started", **more}}
        after, _ = over(old, **facts)
        assert after["services"]["edge"]["depends_on"]["woodpecker"] == {
            "condition": "service_started",
            **more,
        }


@pytest.mark.parametrize("service", ["agents", "woodpecker"])
def test_a_healthcheck_that_is_off_stays_off(service: str) -> None:
    """Also where upstream had none to compare it with."""
    for old, facts in ((ours(), {"exact": True}), (apr(), {"complete": True})):
        old["services"][service]["healthcheck"] = {"disable": True}
        after, _ = over(old, **facts)
        assert after["services"][service]["healthcheck"] == {"disable": True}


def test_a_deployment_of_an_image_of_ones_own_is_not_given_our_command() -> None:
    old = apr()
    old["services"]["staging-deploy"]["image"] = "me/deploy:1"
    del old["services"]["staging-deploy"]["command"]
    after, _ = over(old, complete=True)
    assert after["services"]["staging-deploy"]["image"] == "me/deploy:1"
    assert "command" not in after["services"]["staging-deploy"]


def test_a_service_that_was_apart_from_the_others_stays_apart() -> None:
    """On the default network, where a generator's stack has its own: it is not put on that one."""
    old = apr()
    old["services"]["mine"] = {"image": "x"}
    after, _ = over(old, complete=True)
    assert forms.names(after["services"]["mine"].get("networks")) in ((), ("default",))


@pytest.mark.parametrize("facts", [{"exact": True}, {"complete": True}])
def test_a_network_that_a_service_was_taken_off_stays_off(facts: dict[str, bool]) -> None:
    old = ours() if "exact" in facts else apr()
    old["networks"] = {**old["networks"], "mine": None}
    old["services"]["staging"]["networks"] = ["mine"]
    old["services"]["agents"]["networks"] = {"mine": {"aliases": ["a"]}}
    after, _ = over(old, **facts)
    assert forms.names(after["services"]["staging"]["networks"]) == ("mine",)
    assert after["services"]["agents"]["networks"] == {"mine": {"aliases": ["a"]}}


@pytest.mark.parametrize("networks", [["disinto-net"], None])
@pytest.mark.parametrize("facts", [{}, {"complete": True}])
def test_a_ci_agent_on_networks_of_the_stack_is_not_put_on_the_hosts(
    networks: Any, facts: dict[str, bool]
) -> None:
    """Compose refuses `network_mode` beside `networks`."""
    old = apr()
    del old["services"]["woodpecker-agent"]["network_mode"]
    if networks:
        old["services"]["woodpecker-agent"]["networks"] = networks
    after, _ = over(old, **facts)
    assert "network_mode" not in after["services"]["woodpecker-agent"]
    assert list(forms.names(after["services"]["woodpecker-agent"]["networks"])) == (networks or ["default"])


def test_a_default_network_that_somebody_described_keeps_its_services() -> None:
    old = read_compose(SHAPES["tracked"].text).data
    old["networks"] = {"default": {"name": "proxy", "external": True}}
    after, _ = over(old)
    assert forms.names(after["services"]["forgejo"]["networks"]) == ("default", "disinto-net")
    assert after["networks"]["default"] == {"name": "proxy", "external": True}


def test_aliases_on_the_default_network_stay() -> None:
    old = apr()
    old["services"]["mine"] = {"image": "x", "networks": {"default": {"aliases": ["db"]}}}
    after, _ = over(old)
    assert after["services"]["mine"]["networks"] == {"default": {"aliases": ["db"]}}
    old = read_compose(SHAPES["tracked"].text).data
    old["services"]["mine"] = {"image": "x", "networks": {"default": {"aliases": ["db"]}}}
    after, _ = over(old)  # where the others were, too, and are on ours now
    assert after["services"]["mine"]["networks"] == {"default": {"aliases": ["db"]}, "disinto-net": None}


@pytest.mark.parametrize("facts", [{"exact": True, "complete": True}, {"complete": True}])
def test_a_service_that_was_taken_out_stays_out(facts: dict[str, bool]) -> None:
    old = ours() if "exact" in facts else apr()
    for name in ("staging", "staging-deploy"):
        del old["services"][name]
    depends = old["services"]["edge"]["depends_on"]
    old["services"]["edge"]["depends_on"] = [name for name in depends if name != "staging"]
    after, carried = over(old, **facts)
    assert not {"staging", "staging-deploy"} & set(after["services"])
    assert "staging" not in after["services"]["edge"]["depends_on"]
    assert "the service staging taken out" in carried.moved


def test_a_hand_made_stack_gets_what_it_never_had() -> None:
    after, _ = over(read_compose(SHAPES["tracked"].text).data)
    assert {"woodpecker", "edge", "staging"} <= set(after["services"])


def test_a_build_of_somebodys_own_that_cannot_be_replaced_is_a_danger() -> None:
    old = apr()
    old["services"]["forgejo"] = {**old["services"]["forgejo"], "build": "./my-forgejo"}
    del old["services"]["forgejo"]["image"]
    _, carried = over(old, complete=True)
    told = [item for item in carried.dropped if item.service == "forgejo"]
    assert told and told[0].danger and "no image of it" in told[0].why
