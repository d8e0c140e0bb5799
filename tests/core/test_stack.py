"""The stack: what stands in the compose file of a factory, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput
from disinto_tui.core.model import AGENT_VOLUMES, Ci, Factory, Images, LocalAgent, Ports, Project
from disinto_tui.core.redact import Secret
from disinto_tui.core.stack import (
    Foreign,
    GeneratedBy,
    HostFacts,
    StackInputs,
    Upstream,
    agents_services,
    build_stack,
    dump_compose,
    host_ports,
    inspect_header,
    referenced_variables,
    stack_mode,
)
from disinto_tui.core.stack_env import env_skeleton, missing_variables, render_variables, variables
from disinto_tui.core.stack_forms import mounts
from disinto_tui.core.stack_services import CLAUDE_SHARED

QWEN = LocalAgent("qwen", "http://10.0.0.5:8081", "qwen3", forge_user="qwen-bot", roles=("dev", "review"))
APP = Project("app", "acme/app", "acme/app-ops", ci=Ci(7))
EVERYTHING = HostFacts("/home/ops", True, True, True, True)


def stack_of(
    *projects: Project, factory: Factory | None = None, **inputs: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stack and its services."""
    given = projects or (APP,)
    if factory is not None:
        given = tuple(replace(project, factory=factory) for project in given)
    stack = build_stack(StackInputs(given, **inputs))
    return stack, stack["services"]


def targets(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {target: (mount.source, mount.read_only) for target, mount in mounts(service["volumes"]).items()}


def test_a_bundled_factory_has_all_its_services_in_order() -> None:
    stack, services = stack_of(replace(APP, agents=(QWEN,)))
    assert stack["name"] == "disinto"
    assert list(services) == [
        "forgejo",
        "woodpecker",
        "woodpecker-agent",
        "agents",
        "runner",
        "agents-qwen",
        "edge",
        "staging",
        "staging-deploy",
    ]
    assert stack["networks"] == {"disinto-net": {"driver": "bridge"}}
    assert list(stack["volumes"]) == [
        "forgejo-data",
        "woodpecker-data",
        "agent-data",
        "project-repos",
        "caddy_data",
        "agents-qwen-data",
        "project-repos-qwen",
    ]


def test_image_mode_has_one_reference_for_all_and_no_build() -> None:
    stack, services = stack_of(replace(APP, agents=(QWEN,)))
    images = {services[name]["image"] for name in agents_services(stack)}
    assert len(images) == 1
    assert images.pop().startswith("${AGENTS_IMAGE:?")
    assert not any("build" in service or "pull_policy" in service for service in services.values())
    assert stack_mode(stack) == "image"


def test_build_mode_builds_those_and_names_no_image() -> None:
    stack, services = stack_of(replace(APP, agents=(QWEN,)), image_mode=False, build_context="/src/disinto")
    for name in ("agents", "runner", "agents-qwen"):
        assert services[name]["build"] == {
            "context": "/src/disinto",
            "dockerfile": "docker/agents/Dockerfile",
        }
        assert services[name]["pull_policy"] == "build"
        assert "image" not in services[name]
    assert stack_mode(stack) == "build"
    assert "AGENTS_IMAGE" not in referenced_variables(stack)


def test_every_service_of_the_agents_image_mounts_its_volumes_one_to_one() -> None:
    _, services = stack_of(replace(APP, agents=(QWEN,)))
    shared = {
        "/home/agent/disinto/projects": ("./projects", True),
        "/home/agent/disinto/state": ("./state", False),
    }
    for name in ("agents", "runner"):
        found = {
            target: mount for target, mount in targets(services[name]).items() if target in AGENT_VOLUMES
        }
        assert found == {
            "/home/agent/data": ("agent-data", False),
            "/home/agent/repos": ("project-repos", False),
            **shared,
        }
    own = targets(services["agents-qwen"])
    assert {target: own[target] for target in AGENT_VOLUMES} == {
        "/home/agent/data": ("agents-qwen-data", False),
        "/home/agent/repos": ("project-repos-qwen", False),
        **shared,
    }


def test_the_agents_environment() -> None:
    _, services = stack_of()
    env = services["agents"]["environment"]
    assert {key: value for key, value in env.items() if not value.startswith("${")} == {
        "FORGE_URL": "http://forgejo:3000",
        "FORGE_REPO": "acme/app",
        "FORGE_OPS_REPO": "acme/app-ops",
        "WOODPECKER_REPO_ID": "7",
        "WOODPECKER_DATA_DIR": "/woodpecker-data",
        "DISINTO_CONTAINER": "1",
        "PROJECT_NAME": "app",
        "PROJECT_REPO_ROOT": "/home/agent/repos/app",
    }
    assert "FORGE_ADMIN_PASS" not in env
    assert "FACTORY_REPO" not in env, "it would turn on a live checkout, and the version would pin nothing"


def test_a_live_checkout_is_for_build_mode_and_asked_for() -> None:
    _, services = stack_of(image_mode=False)
    assert services["agents"]["environment"]["FACTORY_REPO"] == "${FACTORY_REPO:-}"


def test_a_local_agents_environment() -> None:
    env = stack_of(replace(APP, agents=(QWEN,)))[1]["agents-qwen"]["environment"]
    assert env["AGENT_ROLES"] == "dev,review"
    assert env["FORGE_TOKEN"] == "${FORGE_TOKEN_QWEN_BOT:-}"
    assert env["FORGE_PASS"] == "${FORGE_PASS_QWEN_BOT:-}"
    assert env["FORGE_BOT_USER_QWEN_BOT"] == "qwen-bot"
    assert env["ANTHROPIC_API_KEY"] == "${ANTHROPIC_API_KEY_QWEN:-sk-no-key-required}"
    assert (env["ANTHROPIC_BASE_URL"], env["CLAUDE_MODEL"]) == ("http://10.0.0.5:8081", "qwen3")
    assert env["POLL_INTERVAL"] == "60"


def test_a_real_api_key_goes_to_env_and_never_into_the_stack() -> None:
    project = replace(APP, agents=(replace(QWEN, api_key="sk-r3al$key"),))
    stack, services = stack_of(project)
    text = dump_compose(stack, tool_version="1.0")
    assert "r3al" not in text
    assert services["agents-qwen"]["environment"]["ANTHROPIC_API_KEY"] == "${ANTHROPIC_API_KEY_QWEN:-}"
    env = env_skeleton(StackInputs((project,)), {})
    assert EnvFile.parse(env.encode()).get("ANTHROPIC_API_KEY_QWEN") == "sk-r3al$key"


def test_an_external_forge_leaves_forge_and_ci_out() -> None:
    project = replace(APP, forge_url="https://forge.example.org", agents=(QWEN,))
    stack, services = stack_of(project, factory=Factory(forge="external"))
    assert list(services) == ["agents", "runner", "agents-qwen", "edge", "staging", "staging-deploy"]
    assert "depends_on" not in services["agents"]
    assert list(services["edge"]["depends_on"]) == ["staging"]
    for name in ("agents", "runner", "agents-qwen"):
        assert services[name]["environment"]["FORGE_URL"] == "https://forge.example.org"
        assert "WOODPECKER_DATA_DIR" not in services[name]["environment"]
        assert "/woodpecker-data" not in targets(services[name])
    assert "woodpecker-data" not in stack["volumes"]
    assert "forgejo-data" not in stack["volumes"]


def test_two_factories_on_one_host_share_no_name_and_no_port() -> None:
    ports = Ports(forge=3100, ci=8100, ci_grpc=9100, ci_health=3433, http=8080, https=8443)
    _, services = stack_of(factory=Factory(project="acme", ports=ports))
    names = [service["container_name"] for service in services.values() if "container_name" in service]
    assert names == ["acme-forgejo", "acme-woodpecker", "acme-woodpecker-agent", "acme-agents", "acme-edge"]
    env = services["woodpecker-agent"]["environment"]
    assert env["WOODPECKER_BACKEND_DOCKER_NETWORK"] == "acme_disinto-net"
    assert env["WOODPECKER_SERVER"] == "localhost:9100"
    assert env["WOODPECKER_HEALTHCHECK_ADDR"] == "127.0.0.1:3433"
    taken = {port for _, _, port in host_ports(StackInputs((replace(APP, factory=Factory(ports=ports)),)))}
    assert taken == {3100, 8100, 9100, 3433, 8080, 8443}


def test_an_adopted_instance_keeps_its_containers_names() -> None:
    _, services = stack_of(factory=Factory(project="factory_x"), container_prefix="disinto")
    assert services["agents"]["container_name"] == "disinto-agents"


@pytest.mark.parametrize(
    ("bind", "forge", "ci_server"),
    [
        ("", "3000:3000", "localhost:9000"),
        ("0.0.0.0", "0.0.0.0:3000:3000", "localhost:9000"),
        ("127.0.0.1", "127.0.0.1:3000:3000", "127.0.0.1:9000"),
        ("10.1.2.3", "10.1.2.3:3000:3000", "10.1.2.3:9000"),
        ("::1", "[::1]:3000:3000", "[::1]:9000"),
    ],
)
def test_ports_are_published_on_the_address_asked_for(bind: str, forge: str, ci_server: str) -> None:
    _, services = stack_of(factory=Factory(bind=bind))
    assert services["forgejo"]["ports"] == [forge]
    assert services["woodpecker-agent"]["environment"]["WOODPECKER_SERVER"] == ci_server


def test_port_0_publishes_nothing() -> None:
    _, services = stack_of(factory=Factory(ports=Ports(forge=0, ci=0, http=0, https=0)))
    assert "ports" not in services["forgejo"]
    assert "ports" not in services["edge"]
    assert services["woodpecker"]["ports"] == ["9000:9000"], "the CI agent reaches the server through it"


def test_the_plain_edge_gets_neither_engine_nor_token() -> None:
    edge = stack_of()[1]["edge"]
    assert edge["image"] == "caddy:alpine"
    assert "environment" not in edge
    assert targets(edge) == {
        "/etc/caddy/Caddyfile": ("./docker/Caddyfile", True),
        "/data": ("caddy_data", False),
    }


def test_the_full_edge_is_asked_for_by_its_image() -> None:
    factory = Factory(images=Images(edge="registry.example.org/edge:v1"))
    edge = stack_of(factory=factory, host=EVERYTHING)[1]["edge"]
    assert edge["image"] == "registry.example.org/edge:v1"
    assert targets(edge)["/var/run/docker.sock"] == ("/var/run/docker.sock", False)
    assert targets(edge)["/run/secrets/tunnel_key"] == ("./secrets/tunnel_key", True)
    assert edge["environment"]["FORGE_OPS_REPO"] == "acme/app-ops"
    assert edge["environment"]["DISINTO_VERSION"] == "${DISINTO_VERSION:-main}"
    assert "/run/secrets/tunnel_key" not in targets(stack_of(factory=factory)[1]["edge"])


def test_reproduce_is_there_when_it_is_configured_and_gets_no_env_file() -> None:
    factory = Factory(images=Images(reproduce="registry.example.org/reproduce:v1"))
    service = stack_of(factory=factory)[1]["reproduce"]
    assert service["profiles"] == ["reproduce"]
    assert "env_file" not in service
    assert service["environment"]["FORGE_URL"] == "http://localhost:3000", "it is on the host's network"


def test_optional_files_are_mounted_only_when_the_host_has_them() -> None:
    optional = {"/home/agent/.claude.json", "/home/agent/.ssh", "/home/agent/.config/sops/age"}
    assert not optional & set(targets(stack_of()[1]["agents"]))
    with_all = targets(stack_of(host=EVERYTHING)[1]["agents"])
    assert {target: with_all[target] for target in optional} == {
        "/home/agent/.claude.json": ("${CLAUDE_CONFIG_FILE:-/home/ops/.claude.json}", True),
        "/home/agent/.ssh": ("${AGENT_SSH_DIR:-/home/ops/.ssh}", True),
        "/home/agent/.config/sops/age": ("${SOPS_AGE_DIR:-/home/ops/.config/sops/age}", True),
    }


def test_a_missing_bind_source_is_an_error_and_no_new_directory() -> None:
    _, services = stack_of(host=EVERYTHING)
    binds = [m for service in services.values() for m in service.get("volumes", ()) if isinstance(m, dict)]
    assert len(binds) > 8
    created = {mount["target"] for mount in binds if mount["bind"]["create_host_path"]}
    assert created == {CLAUDE_SHARED}, "the entrypoint makes that one the agent's"


def test_the_first_verdict_on_health_comes_within_seconds() -> None:
    _, services = stack_of(replace(APP, agents=(QWEN,)))
    for name in ("forgejo", "woodpecker", "woodpecker-agent", "agents", "agents-qwen", "edge", "staging"):
        check = services[name]["healthcheck"]
        assert check["interval"] in ("2s", "3s")
        assert "start_interval" not in check, "engines before 25 refuse it"


def test_a_polling_loop_stops_at_once() -> None:
    _, services = stack_of(replace(APP, agents=(QWEN,)))
    for name in ("agents", "runner", "agents-qwen"):
        assert services[name]["init"] is True
        assert services[name]["stop_grace_period"] == "5s"


def test_several_projects_share_the_agents_and_the_highest_ci_number() -> None:
    other = Project("zoo", "acme/zoo", "acme/zoo-ops", ci=Ci(12), agents=(QWEN,))
    _, services = stack_of(APP, other)
    assert services["agents"]["environment"]["PROJECT_NAME"] == "app"
    assert services["agents"]["environment"]["WOODPECKER_REPO_ID"] == "12"
    assert services["agents-qwen"]["environment"]["PROJECT_NAME"] == "zoo"
    assert services["agents-qwen"]["environment"]["FORGE_REPO"] == "acme/zoo"


def test_without_ci_the_number_is_empty() -> None:
    assert stack_of(replace(APP, ci=Ci(0)))[1]["agents"]["environment"]["WOODPECKER_REPO_ID"] == ""


def test_two_agents_of_one_service_and_no_project_are_refused() -> None:
    with pytest.raises(BadInput) as caught:
        stack_of(replace(APP, agents=(QWEN, replace(QWEN, name="Qwen"))))
    assert caught.value.code == "stack.services"
    with pytest.raises(BadInput) as caught:
        build_stack(StackInputs(()))
    assert caught.value.code == "stack.empty"


def test_what_is_literal_is_not_interpolated() -> None:
    agent = replace(QWEN, model="m$HOME", base_url="http://h/$X")
    _, services = stack_of(replace(APP, agents=(agent,)), host=replace(EVERYTHING, home="/home/$x"))
    assert services["agents-qwen"]["environment"]["CLAUDE_MODEL"] == "m$$HOME"
    assert services["agents-qwen"]["environment"]["ANTHROPIC_BASE_URL"] == "http://h/$$X"
    assert targets(services["agents"])["/home/agent/.ssh"][0] == "${AGENT_SSH_DIR:-/home/$$x/.ssh}"


# The text of the file


def test_the_file_reads_back_as_the_data_and_is_always_the_same() -> None:
    stack, _ = stack_of(replace(APP, agents=(QWEN,)), host=EVERYTHING)
    text = dump_compose(stack, tool_version="1.0")
    assert yaml.safe_load(text) == stack
    assert text == dump_compose(stack, tool_version="1.0")
    assert not any(mark in text for mark in ("&id", "*id", "{}", ": null", "\t"))
    assert all(len(line) < 160 for line in text.splitlines())


def test_a_service_as_it_is_written() -> None:
    stack, _ = stack_of()
    text = dump_compose(stack, tool_version="1.0")
    start = text.index("  # Serves ./site.")
    assert text[start : text.index("  # Placeholder")] == (
        "  # Serves ./site.\n"
        "  staging:\n"
        "    image: caddy:alpine\n"
        "    security_opt:\n"
        "      - apparmor=unconfined\n"
        "    command:\n"
        "      - caddy\n"
        "      - file-server\n"
        "      - --root\n"
        "      - /srv/site\n"
        "    volumes:\n"
        "      - type: bind\n"
        "        source: ./site\n"
        "        target: /srv/site\n"
        "        read_only: true\n"
        "        bind:\n"
        "          create_host_path: false\n"
        "    healthcheck:\n"
        "      test:\n"
        "        - CMD-SHELL\n"
        "        - wget -q --spider http://127.0.0.1/ || nc -w 1 127.0.0.1 80 </dev/null\n"
        "      interval: 2s\n"
        "      timeout: 3s\n"
        "      retries: 15\n"
        "      start_period: 15s\n"
        "    networks:\n"
        "      - disinto-net\n"
        "\n"
    )
    assert text.endswith(
        "# Data lives here under <name>_<volume>. These lines never change on a live instance.\n"
        "volumes:\n  forgejo-data:\n  woodpecker-data:\n  agent-data:\n  project-repos:\n  caddy_data:\n"
    )


def test_texts_that_yaml_readers_take_for_something_else_are_quoted() -> None:
    numbers = ["1", "1e3", "0o17", "0x1F", "22:22", "1.5", "-1", ".5", "2001-01-01"]
    words = ["yes", "No", "~", "null", "on", "y", "a:b", "=", "<<", "é", *"'\"*&!%@`#-?:,[]{}>|"]
    words += [*numbers, "", "a\nb", "a: b", "a #b", "- a", " a ", "a\ta"]
    stack = {"services": {"a": {"environment": {f"K{n}": word for n, word in enumerate(words)}}}}
    text = dump_compose(stack, tool_version="1.0")
    assert yaml.safe_load(text) == stack
    for word in ("1e3", "0o17", "y", "22:22"):
        assert f': "{word}"\n' in dump_compose({"x": word}, tool_version="1.0")


def test_the_header_knows_who_wrote_the_file_and_whether_it_was_touched() -> None:
    text = dump_compose(stack_of()[0], tool_version="1.2.3")
    assert inspect_header(text) == GeneratedBy("1.2.3", True)
    assert inspect_header(text.replace("\n", "\r\n")) == GeneratedBy("1.2.3", True)
    assert inspect_header(text + "#\n") == GeneratedBy("1.2.3", False)
    assert inspect_header(text.replace("3000:3000", "3001:3000")) == GeneratedBy("1.2.3", False)
    assert inspect_header(text.replace("# content", "# contents")) == GeneratedBy("1.2.3", False)
    assert inspect_header(text.replace("# docker-compose.override.yml", "# note")) == GeneratedBy(
        "1.2.3", False
    )
    generated = "# docker-compose.yml — generated by disinto init\n# Do not edit\nservices:\n"
    assert inspect_header(generated) == Upstream()
    assert inspect_header("services: {}\n") == Foreign()
    assert inspect_header("") == Foreign()


def test_only_plain_data_is_written() -> None:
    with pytest.raises(ValueError, match="plain"):
        dump_compose({"x": object()}, tool_version="1")


# The variables


def test_every_variable_the_stack_asks_for_is_explained() -> None:
    full = Images(edge="a/edge:v1", reproduce="a/reproduce:v1")
    for factory in (Factory(), Factory(images=full), Factory(forge="external", images=full)):
        for image_mode in (True, False):
            project = replace(APP, agents=(QWEN,), factory=factory, forge_url="https://forge.example.org")
            inputs = StackInputs((project,), image_mode=image_mode, host=EVERYTHING)
            known = {variable.name: variable for variable in variables(inputs)}
            assert referenced_variables(build_stack(inputs)) <= set(known)
            assert all(variable.what.endswith(".") for variable in known.values())


def test_the_first_env_file() -> None:
    inputs = StackInputs((replace(APP, agents=(QWEN,)),))
    values = {
        "FORGE_TOKEN": Secret("to$ken # x"),
        "AGENTS_IMAGE": "ghcr.io/disinto/agents:v0.3.0",
        "WOODPECKER_AGENT_SECRET": Secret("s3cret"),
        "HUMAN_TOKEN": Secret("h"),
    }
    text = env_skeleton(inputs, values)
    read = EnvFile.parse(text.encode())
    assert next(iter(read.values())) == "AGENTS_IMAGE"
    assert "AGENTS_IMAGE=ghcr.io/disinto/agents:v0.3.0\n" in text
    assert "FORGE_TOKEN='to$ken # x'\n" in text
    assert read.get("FORGE_TOKEN") == "to$ken # x"
    assert "# CLAUDE_TIMEOUT=7200\n" in text
    assert "Secret. Read by: woodpecker, woodpecker-agent.\nWOODPECKER_AGENT_SECRET='s3cret'\n" in text
    assert "HUMAN_TOKEN='h'\n" in text[text.index("--- Others ---") :]


def test_an_image_in_build_mode_is_a_comment() -> None:
    text = env_skeleton(StackInputs((APP,), image_mode=False), {})
    assert "# AGENTS_IMAGE=\n" in text
    assert EnvFile.parse(text.encode()).get("AGENTS_IMAGE") is None


def test_an_existing_env_file_only_gains_what_it_lacks() -> None:
    old = StackInputs((APP,))
    existing = EnvFile.parse(env_skeleton(old, {"AGENTS_IMAGE": "a/b:v1.0.0"}).encode()).values()
    assert missing_variables(old, existing) == ()
    new = StackInputs((replace(APP, agents=(QWEN,)),))
    missing = missing_variables(new, existing)
    assert [variable.name for variable in missing] == ["FORGE_TOKEN_QWEN_BOT", "FORGE_PASS_QWEN_BOT"]
    assert render_variables(missing, {"FORGE_TOKEN_QWEN_BOT": Secret("t")}) == (
        "\n# --- Agents with models of their own ---\n"
        "# Token of qwen-bot of app. Secret. Read by: agents-qwen.\n"
        "FORGE_TOKEN_QWEN_BOT='t'\n"
        "# Password of qwen-bot of app. Secret. Read by: agents-qwen.\n"
        "FORGE_PASS_QWEN_BOT=\n"
    )
