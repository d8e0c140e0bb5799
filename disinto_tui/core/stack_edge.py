"""The services around the agents: edge, staging, and the sidecar that reproduces bugs."""

from __future__ import annotations

from typing import Any

from .stack_services import (
    CADDYFILE,
    CLAUDE_CONFIG,
    CLAUDE_SHARED,
    FACTORY_REPOSITORY,
    NETWORK,
    SITE_DIRECTORY,
    TUNNEL_KEY,
    Service,
    StackInputs,
    bind_mount,
    claude_mounts,
    lasting,
    literal,
    ports,
    published,
    ssh_mounts,
    unconfined,
)


def _check(*test: str) -> Service:
    return {"test": list(test), "interval": "2s", "timeout": "3s", "retries": 15, "start_period": "15s"}


def _edge_depends(inputs: StackInputs) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if inputs.bundled:
        wanted["forgejo"] = {"condition": "service_healthy"}
        wanted["woodpecker"] = {"condition": "service_started"}
    wanted["staging"] = {"condition": "service_started"}
    return wanted


def _edge_ports(inputs: StackInputs) -> Service:
    host = inputs.factory.ports
    return ports(published(inputs, host.http, 80), published(inputs, host.https, 443))


def edge(inputs: StackInputs) -> Service:
    """One door to forge, CI and staging: a plain web proxy, or upstream's full edge when an image is set.

    The full one also runs the vault dispatcher, which takes the Docker socket and an admin's token; so it is
    never the default.
    """
    return _full_edge(inputs) if inputs.factory.images.edge else _plain_edge(inputs)


def _plain_edge(inputs: StackInputs) -> Service:
    return {
        "image": literal(inputs.factory.images.caddy),
        **lasting(inputs, "edge"),
        "depends_on": _edge_depends(inputs),
        **_edge_ports(inputs),
        "volumes": [
            bind_mount(f"./{CADDYFILE}", "/etc/caddy/Caddyfile", read_only=True),
            "caddy_data:/data",
        ],
        "healthcheck": _check("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:2019/config/"),
        "networks": [NETWORK],
    }


def _full_edge(inputs: StackInputs) -> Service:
    project = inputs.primary
    tunnel = {
        name: f"${{{name}:-{default}}}"
        for name, default in (
            ("EDGE_TUNNEL_HOST", ""),
            ("EDGE_TUNNEL_USER", "tunnel"),
            ("EDGE_TUNNEL_PORT", ""),
            ("EDGE_TUNNEL_FQDN", ""),
            ("EDGE_TUNNEL_FQDN_FORGE", ""),
            ("EDGE_TUNNEL_FQDN_CI", ""),
            ("EDGE_TUNNEL_FQDN_CHAT", ""),
            ("EDGE_ROUTING_MODE", "subpath"),
            ("FORWARD_AUTH_SECRET", ""),
            ("CHAT_OAUTH_CLIENT_ID", ""),
            ("CHAT_OAUTH_CLIENT_SECRET", ""),
            ("DISINTO_CHAT_ALLOWED_USERS", ""),
        )
    }
    key = [bind_mount(f"./{TUNNEL_KEY}", "/run/secrets/tunnel_key", read_only=True)]
    return {
        "image": literal(inputs.factory.images.edge),
        **lasting(inputs, "edge"),
        "init": True,
        "stop_grace_period": "10s",
        "depends_on": _edge_depends(inputs),
        **_edge_ports(inputs),
        "environment": {
            "DISINTO_VERSION": "${DISINTO_VERSION:-main}",
            "FORGE_URL": literal(inputs.forge_inside),
            # Here FORGE_REPO is the factory's own code, which the edge clones; the approvals it watches
            # for are the project's.
            "FORGE_REPO": f"${{FACTORY_REPO:-{FACTORY_REPOSITORY}}}",
            "FORGE_OPS_REPO": literal(project.ops_repo),
            "FORGE_TOKEN": "${FORGE_TOKEN:-}",
            "FORGE_PASS": "${FORGE_PASS:-}",
            "FORGE_ADMIN_TOKEN": "${FORGE_ADMIN_TOKEN:-}",
            "FORGE_ADMIN_USERS": "${FORGE_ADMIN_USERS:-disinto-admin}",
            "OPS_REPO_ROOT": "/opt/disinto-ops",
            "PROJECT_REPO_ROOT": "/opt/disinto",
            "PRIMARY_BRANCH": "main",
            "CLAUDE_CONFIG_DIR": CLAUDE_CONFIG,
            **tunnel,
            "CHAT_HOST": "127.0.0.1",
            "CHAT_PORT": "8080",
            "VOICE_HOST": "127.0.0.1",
            "VOICE_PORT": "8090",
            "GEMINI_API_KEY_FILE": "${GEMINI_API_KEY_FILE:-/secrets/gemini-api-key}",
        },
        "volumes": [
            bind_mount(f"./{CADDYFILE}", "/etc/caddy/Caddyfile"),
            "caddy_data:/data",
            bind_mount(literal(inputs.host.docker_socket), "/var/run/docker.sock"),
            *(key if inputs.host.tunnel_key else ()),
            *claude_mounts(inputs),
            bind_mount("${CHAT_HISTORY_DIR:-./state/chat-history}", "/var/lib/chat/history", create=True),
        ],
        "healthcheck": _check("CMD", "curl", "-fsS", "http://127.0.0.1:2019/config/"),
        "networks": [NETWORK],
    }


def staging(inputs: StackInputs) -> Service:
    """Serves the site directory, and nothing else of the instance."""
    # `caddy file-server` switches the admin port off, so upstream's probe of it never succeeds. The second
    # probe is for a site without a front page.
    probe = "wget -q --spider http://127.0.0.1/ || nc -w 1 127.0.0.1 80 </dev/null"
    return {
        "image": literal(inputs.factory.images.staging),
        **unconfined(),
        "command": ["caddy", "file-server", "--root", "/srv/site"],
        "volumes": [bind_mount(f"./{SITE_DIRECTORY}", "/srv/site", read_only=True)],
        "healthcheck": _check("CMD-SHELL", probe),
        "networks": [NETWORK],
    }


def staging_deploy(inputs: StackInputs) -> Service:
    """A placeholder: what deploys to staging replaces it. Off unless the profile `staging` is asked for."""
    return {
        "image": literal(inputs.factory.images.staging_deploy),
        **unconfined(),
        "profiles": ["staging"],
        "command": ["echo", "nothing deploys to staging yet"],
        "environment": {"DEPLOY_ENV": "staging"},
        "networks": [NETWORK],
    }


def reproduce(inputs: StackInputs) -> Service:
    """The sidecar that reproduces one bug, off unless the profile `reproduce` is asked for.

    Explicit environment: upstream hands it the whole `.env`, and with it every token of the factory.
    """
    project = inputs.primary
    forge = f"http://localhost:{inputs.factory.ports.forge}" if inputs.bundled else inputs.forge_inside
    return {
        "image": literal(inputs.factory.images.reproduce),
        **unconfined(),
        "profiles": ["reproduce"],
        "network_mode": "host",
        "environment": {
            # On the host's network the forge's service name means nothing.
            "FORGE_URL": literal(forge),
            "FORGE_REPO": literal(project.repo),
            "FORGE_OPS_REPO": literal(project.ops_repo),
            "FORGE_TOKEN": "${FORGE_TOKEN:-}",
            "FORGE_PASS": "${FORGE_PASS:-}",
            "ANTHROPIC_API_KEY": "${ANTHROPIC_API_KEY:-}",
            "CLAUDE_TIMEOUT": "${CLAUDE_TIMEOUT:-7200}",
            "CLAUDE_CONFIG_DIR": CLAUDE_CONFIG,
            "DISINTO_CONTAINER": "1",
            "PROJECT_NAME": literal(project.name),
            "PROJECT_REPO_ROOT": literal(f"/home/agent/repos/{project.name}"),
        },
        "volumes": [
            bind_mount(literal(inputs.host.docker_socket), "/var/run/docker.sock"),
            "agent-data:/home/agent/data",
            "project-repos:/home/agent/repos",
            bind_mount(CLAUDE_SHARED, CLAUDE_SHARED, create=True),
            *ssh_mounts(inputs),
        ],
    }
