"""What upstream's generators wrote into stacks, so that it is not taken for an operator's own (facts: 2.1 to 2.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

IMAGE_KEYS = frozenset({"image", "build", "pull_policy"})
TOLD = frozenset({*IMAGE_KEYS, "environment", "volumes", "ports", "depends_on", "networks"})
UNWANTED_MOUNTS = {
    "/home/agent/disinto/.env": (
        "agents do not read it, and it shows them every secret of the factory",
        False,
    ),
    "/home/agent/disinto": (
        "it hides the code of the image, so that no version would mean anything (what agents found in its projects/ "
        "and state/ they find in those of this directory from now on: copy what is missing there)",
        True,
    ),
}
UPSTREAM: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "agents": {
        "FORGE_REPO": ("${FORGE_REPO:-disinto-admin/disinto}", "${FORGE_REPO:-}"),
        "FORGE_OPS_REPO": ("${FORGE_OPS_REPO:-disinto-admin/disinto-ops}",),
        "PROJECT_NAME": ("${PROJECT_NAME:-project}",),
        "PROJECT_REPO_ROOT": ("/home/agent/repos/${PROJECT_NAME:-project}",),
        "WOODPECKER_REPO_ID": ("",),
    },
    "runner": {"PROJECT_REPO_ROOT": ("/home/agent/repos/${PROJECT_NAME:-project}",)},
    "woodpecker": {
        "WOODPECKER_ENVIRONMENT": ("FORGE_TOKEN:${FORGE_TOKEN}",),
        "WOODPECKER_SERVER": ("http://woodpecker:9000",),
    },
    "woodpecker-agent": {
        "WOODPECKER_SERVER": ("localhost:9000",),
        "WOODPECKER_HEALTHCHECK_ADDR": (":3333",),
        "WOODPECKER_BACKEND_DOCKER_NETWORK": (
            "disinto_disinto-net",
            "${WOODPECKER_CI_NETWORK:-disinto_disinto-net}",
        ),
    },
    "edge": {
        "FORGE_REPO": ("${FORGE_REPO:-disinto-admin/disinto}",),
        "FORGE_OPS_REPO": ("${FORGE_OPS_REPO:-disinto-admin/disinto-ops}",),
    },
}
"""Values upstream's generators wrote which ours replaces knowing better (the reasons stand in `stack_services`)."""
UPSTREAM_IMAGES = ("codeberg.org/forgejo/forgejo:1",)
"""A tag that does not exist (facts: 2.1)."""
UPSTREAM_CHECKS: Mapping[str, tuple[str, str, str, str, str]] = {
    "forgejo": ("wget -q --spider http://localhost:3000/api/v1/version", "5s", "3s", "30", "30s"),
    "agents": ("pgrep -f entrypoint.sh", "60s", "5s", "3", "30s"),
    "woodpecker-agent": ("wget -q --spider http://localhost:3333/healthz", "30s", "5s", "3", "15s"),
    "edge": ("curl -fsS http://localhost:2019/config/", "30s", "5s", "3", "15s"),
    "staging": ("wget -q --spider http://localhost:2019/config/", "30s", "5s", "3", "10s"),
}
"""Upstream's healthchecks: test, interval, timeout, retries, start period. One that differs in anything is an edit."""
CHECK_KEYS = ("interval", "timeout", "retries", "start_period")
UPSTREAM_SITE = "caddy file-server --root /srv/site"
PLACEHOLDER_COMMAND = re.compile(r"\Aecho [^;&|`$()<>]*\Z")
"""What staging-deploy does as long as nobody put a deployment there: one line is printed."""
UPSTREAM_EDGE = re.compile(
    r"\A(?:DISINTO_(?:VERSION|CONTAINER|CHAT_ALLOWED_USERS)|FORGE_(?:URL|REPO|OPS_REPO|TOKEN|PASS|ADMIN_TOKEN|ADMIN_USERS"
    r"|SUPERVISOR_TOKEN)|(?:OPS|PROJECT)_REPO_ROOT|PRIMARY_BRANCH|CLAUDE_(?:CONFIG_DIR|MODEL)|ANTHROPIC_API_KEY"
    r"|EDGE_TUNNEL_(?:HOST|USER|PORT|FQDN|FQDN_FORGE|FQDN_CI|FQDN_CHAT)|EDGE_ROUTING_MODE|FORWARD_AUTH_SECRET"
    r"|CHAT_OAUTH_CLIENT_(?:ID|SECRET)|(?:CHAT|VOICE)_(?:HOST|PORT)|GEMINI_API_KEY_FILE)\Z"
)
"""What upstream's edge is told, and a plain proxy has no use for. Anything else may be read by a Caddyfile."""
UPSTREAM_EDGE_MOUNTS = re.compile(
    r"\A(?:/var/run/docker\.sock|/run/secrets/tunnel_key|/var/lib/chat/history|/usr/local/bin/claude"
    r"|/(?:root|home/agent)/\.claude(?:\.json)?|/opt/disinto(?:-logs|-ops)?(?:/.*)?|\$\{?CLAUDE_SHARED_DIR.*"
    r"|/var/lib/disinto/claude-shared)\Z"
)
GENERATED = ("forgejo", "woodpecker", "woodpecker-agent", "runner", "edge", "staging", "staging-deploy")
"""What every generator writes: where one is missing, somebody took it out. (Facts: 2.1 to 2.7.)"""
ALWAYS = {
    "woodpecker": ("WOODPECKER_OPEN",),
}
"""Variables that every generator writes and whose absence was chosen."""
ALWAYS_SET = frozenset({"privileged", "profiles"})
UPSTREAM_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "restart": ("unless-stopped",),
    "security_opt": (["apparmor=unconfined"],),
}
SHOWN = frozenset({"container_name", "restart", "network_mode", "privileged", "profiles", "user"})
