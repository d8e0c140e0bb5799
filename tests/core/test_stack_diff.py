"""The diff of two compose files: what an operator is told before one replaces the other."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from disinto_tui.core.model import Project
from disinto_tui.core.stack import HostFacts, StackInputs, build_stack
from disinto_tui.core.stack_diff import semantic_diff, shown_value
from disinto_tui.core.stack_forms import depends, environment, mounts, ports

STACK = build_stack(
    StackInputs((Project("app", "acme/app", "acme/app-ops"),), host=HostFacts("/home/ops", ssh_dir=True))
)


def told(old: str, new: str, **more: Any) -> list[str]:
    changes = semantic_diff(yaml.safe_load(old) or {}, yaml.safe_load(new) or {}, **more)
    return [("! " if change.danger else "  ") + str(change) for change in changes]


def test_nothing_changed() -> None:
    assert semantic_diff(STACK, STACK) == ()


def test_a_rewrite_that_loses_things_is_told_with_the_losses_first() -> None:
    old = """
    name: disinto
    services:
      agents:
        build: {context: ., dockerfile: docker/agents/Dockerfile}
        restart: unless-stopped
        environment:
          - FORGE_URL=http://forgejo:3000
          - FORGE_TOKEN=t0ps3cret
          - FORGE_PASS=${FORGE_PASS:-}
          - EXTRA
        volumes:
          - agent-data:/home/agent/data
          - project-repos:/home/agent/repos
          - ./projects:/home/agent/disinto/projects:ro
        ports: ["8080:80"]
      runner:
        build: .
        volumes: ["agent-data:/home/agent/data"]
    volumes: {agent-data: , project-repos: }
    """
    new = """
    name: disinto
    services:
      agents:
        image: ${AGENTS_IMAGE:?set it}
        restart: unless-stopped
        init: true
        environment:
          FORGE_URL: http://forge.example.org
          FORGE_TOKEN: ${FORGE_TOKEN:-}
          CLAUDE_TIMEOUT: 7200
        volumes:
          - agent-data:/home/agent/data
          - other:/home/agent/repos
          - {type: bind, source: ./projects/, target: /home/agent/disinto/projects/, read_only: true}
          - ./state:/home/agent/disinto/state
      edge:
        image: caddy:alpine
    volumes: {agent-data: , other: }
    """
    assert told(old, new) == [
        "! agents: mount /home/agent/repos changed from project-repos to other: /home/agent/repos then shows "
        "other data, and what is in project-repos is out of sight",
        "! agents: environment FORGE_PASS removed (${FORGE_PASS:-}): the service no longer gets it",
        "! agents: environment EXTRA removed (from outside): the service no longer gets it",
        "! agents: port 80 removed (host 8080): it can no longer be reached from the host",
        "! service runner removed (agent-data at /home/agent/data): the file no longer describes it; "
        "a running container goes on without it",
        "! volume project-repos removed: the volume stays on the host, but nothing uses it any more",
        "  agents: image changed from built from . to ${AGENTS_IMAGE:?set it}",
        "  agents: mount /home/agent/disinto/state added (./state)",
        "  agents: environment FORGE_URL changed from http://forgejo:3000 to http://forge.example.org",
        "  agents: environment FORGE_TOKEN changed from [hidden] to ${FORGE_TOKEN:-}",
        "  agents: environment CLAUDE_TIMEOUT added (7200)",
        "  agents: init added (true)",
        "  service edge added (caddy:alpine)",
        "  volume other added",
    ]


def test_another_project_name_is_the_first_danger() -> None:
    loss = "volumes and networks are named after the project, so everything would start empty"
    assert told("name: a", "name: b") == [f"! project name changed from a to b: {loss}"]
    assert told("services: {}", "name: b", old_project="b") == []
    assert told("services: {}", "name: b", old_project="a") == [f"! project name changed from a to b: {loss}"]
    assert told("{}", "name: b") == ["  project name added (b)"]
    assert told("name: a", "{}")[0].startswith("! project name removed (a): without it the directory's name")


def test_a_mount_that_moved_is_one_change() -> None:
    old = "services: {forgejo: {volumes: ['data:/var/lib/forgejo']}}"
    new = "services: {forgejo: {volumes: ['data:/data']}}"
    assert told(old, new) == [
        "! forgejo: mount data changed from /var/lib/forgejo to /data: what is at /var/lib/forgejo now comes "
        "from the image alone, and dies with the container"
    ]


def test_a_mount_that_becomes_read_only() -> None:
    assert told("services: {a: {volumes: ['x:/x']}}", "services: {a: {volumes: ['x:/x:ro']}}") == [
        "! a: mount /x changed from x to x, read-only: the service can no longer write there"
    ]


def test_powers_over_the_host_are_dangers() -> None:
    new = (
        "services: {a: {image: x, privileged: true, volumes: ['/var/run/docker.sock:/var/run/docker.sock']}}"
    )
    assert told("services: {}", new)[:2] == [
        "! a: privileged added: it can do on the host what root can",
        "! a: access to the engine added: it can start any container, and so do on the host what root can",
    ]
    assert told(new, new) == []


def test_a_forge_of_another_version_may_not_be_able_to_go_back() -> None:
    old, new = ("services: {forgejo: {image: 'forgejo:" + tag + "'}}" for tag in ("11", "12"))
    assert told(old, new) == [
        "! forgejo: image changed from forgejo:11 to forgejo:12: its database may be migrated, and an older "
        "image cannot read it then"
    ]


def test_a_changed_definition_of_a_named_volume_is_a_danger() -> None:
    assert told("volumes: {v: {}}", "volumes: {v: }") == []
    assert told("volumes: {v: }", "volumes: {v: {driver: x}}") == [
        "! volume v changed: Compose may offer to make it anew, which deletes the data"
    ]


def test_settings_that_stop_a_service_from_coming_back() -> None:
    old = "services: {a: {restart: always, env_file: .env, container_name: x}}"
    new = "services: {a: {profiles: [p]}}"
    assert told(old, new) == [
        "! a: restart removed (always): it stays down after a reboot or a crash",
        "! a: env_file removed (.env): variables it got from that file are gone",
        "! a: profiles added (p): it no longer starts by itself",
        "  a: container_name removed (x): scripts that call the container by its name have to follow",
    ]


def test_what_may_hold_a_secret_is_named_and_not_shown() -> None:
    old = "services: {a: {command: run --token t0ps3cret, labels: [x=t0ps3cret]}}"
    new = "services: {a: {command: run, environment: {KEY: t0ps3cret, U: '${X:-t0ps3cret}'}}}"
    lines = told(old, new)
    assert "t0ps3cret" not in "\n".join(lines)
    assert "  a: command changed" in lines


def test_what_changes_is_said_where_both_sides_would_read_the_same() -> None:
    def one(old: str, new: str) -> list[str]:
        return told(f"services: {{a: {old}}}", f"services: {{a: {new}}}")

    assert one("{depends_on: [forgejo]}", "{depends_on: {forgejo: {condition: service_healthy}}}") == [
        "  a: depends_on changed from forgejo to forgejo (healthy)"
    ]
    assert one("{environment: {KEY: one}}", "{environment: {KEY: two}}") == [
        "  a: environment KEY changed (a hidden value)"
    ]
    assert one(
        "{environment: {FORGE_URL: 'http://u:p@h'}}", "{environment: {FORGE_URL: 'http://u:q@h'}}"
    ) == ["  a: environment FORGE_URL changed (in what is not shown of http://[hidden]@h)"]
    assert one("{build: {context: ., args: {A: x}}}", "{build: {context: ., dockerfile: D}}") == [
        "  a: image changed from built from . to the same with other args, dockerfile"
    ]
    assert one("{build: ., image: 'a:1'}", "{build: ., image: 'a:2'}") == [
        "  a: image changed from built from . as a:1 to built from . as a:2"
    ]
    assert one(
        "{volumes: [{type: bind, source: /x, target: /x}]}",
        "{volumes: [{type: npipe, source: /x, target: /x}]}",
    ) == [
        "! a: mount /x changed from /x (a bind) to /x (a npipe): /x then shows other data, "
        "and what is in /x is out of sight"
    ]
    assert one("{ports: [80]}", "{ports: ['8080:80']}") == [
        "  a: port 80 changed from any free one to host 8080"
    ]


def test_a_reference_written_otherwise_is_the_same_reference() -> None:
    forms = ("$KEY", "${KEY}", "${KEY-}", "${KEY:-}")
    files = [f"services: {{a: {{environment: {{KEY: '{form}'}}}}}}" for form in forms]
    assert [told(files[0], file) for file in files] == [[]] * 4
    other = "services: {a: {environment: {KEY: '${OTHER}'}}}"
    assert told(files[0], other) == ["  a: environment KEY changed from $KEY to ${OTHER}"]


def test_a_value_is_shown_when_it_is_a_reference_or_its_name_holds_no_secret() -> None:
    assert shown_value("FORGE_TOKEN", "${FORGE_TOKEN:-}") == "${FORGE_TOKEN:-}"
    assert shown_value("FORGE_TOKEN", "$FORGE_TOKEN") == "$FORGE_TOKEN"
    assert shown_value("FORGE_TOKEN", "${FORGE_TOKEN:-abc}") == "[hidden]"
    assert shown_value("WOODPECKER_ENVIRONMENT", "FORGE_TOKEN:${FORGE_TOKEN}") == "[hidden]"
    assert shown_value("FORGE_URL", "http://u:p@h:3000/") == "http://[hidden]@h:3000/"
    assert shown_value("CLAUDE_CODE_OAUTH_TOKEN", "x") == "[hidden]"
    assert shown_value("WOODPECKER_GRPC_SECRET", "x") == "[hidden]"
    assert shown_value("FORGEJO__security__SECRET_KEY", "x") == "[hidden]"
    assert shown_value("ANY", "") == "empty"


def test_paths_of_the_operators_home_are_compared_by_what_they_come_to() -> None:
    old = "services: {a: {volumes: ['${HOME}/.ssh:/home/agent/.ssh:ro']}}"
    new = "services: {a: {volumes: ['${AGENT_SSH_DIR:-/home/ops/.ssh}:/home/agent/.ssh:ro']}}"
    assert len(told(old, new)) == 1
    assert told(old, new, environ={"HOME": "/home/ops"}) == []
    assert len(told(old, new, environ={"HOME": "/home/ops", "AGENT_SSH_DIR": "/k"})) == 1


def test_short_and_long_forms_are_one_form() -> None:
    assert environment(["A=1", "B=x=y", "C"]) == environment({"A": 1, "B": "x=y", "C": None})
    assert environment({"A": True}) == {"A": "true"}
    short = ["data:/d", "./p:/p:ro", "/anon", "${X:-/a}:${X:-/a}", "/s:/t:rw,z"]
    long = [
        {"type": "volume", "source": "data", "target": "/d/"},
        {
            "type": "bind",
            "source": "./p",
            "target": "/p",
            "read_only": True,
            "bind": {"create_host_path": True},
        },
        {"type": "volume", "target": "/anon"},
        {"type": "bind", "source": "${X:-/a}", "target": "${X:-/a}"},
        {"type": "bind", "source": "/s", "target": "/t"},
    ]
    assert mounts(short) == mounts(long)
    assert ports(["8080:80", "127.0.0.1:53:53/udp", 9000, "[::1]:1:2"]) == ports(
        [
            {"target": 80, "published": "8080"},
            {"target": 53, "published": 53, "protocol": "udp", "host_ip": "127.0.0.1"},
            {"target": 9000},
            {"target": 2, "published": "1", "host_ip": "::1"},
        ]
    )
    assert depends(["a"]) == depends({"a": {"condition": "service_started"}})


def test_a_file_of_unexpected_shape_is_compared_without_a_fall() -> None:
    odd: list[dict[str, Any]] = [
        {"services": []},
        {"services": {"a": None}},
        {"services": {"a": {"volumes": "x", "environment": 3, "ports": {"a": 1}, "build": 1}}},
        {"services": {"a": {"volumes": [None, 3, {}], "depends_on": [1], "networks": None}}, "volumes": 3},
    ]
    for old in odd:
        for new in odd:
            semantic_diff(old, new)


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text("a:/${}=", max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["target", "source", "a"]), inner, max_size=2),
    ),
    max_leaves=5,
)
SERVICE = st.dictionaries(
    st.sampled_from(
        ["image", "build", "volumes", "environment", "ports", "depends_on", "labels", "profiles"]
    ),
    PLAIN,
)
FILES = st.fixed_dictionaries({"services": st.dictionaries(st.sampled_from("ab"), SERVICE)})


@settings(deadline=None)
@given(FILES, FILES)
def test_any_two_files(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert semantic_diff(old, old) == ()
    changes = semantic_diff(old, new)
    assert [change.danger for change in changes] == sorted((c.danger for c in changes), reverse=True)
    assert all(f"from {change.after} to {change.after}" not in str(change) for change in changes)
    assert all("\n" not in str(change) and (change.loss or not change.danger) for change in changes)
