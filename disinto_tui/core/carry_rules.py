"""What upstream's generators wrote into stacks, so that it is not taken for an operator's own (facts: 2.1 to 2.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_KEYS = frozenset({"image", "build", "pull_policy"})
TOLD = frozenset({*IMAGE_KEYS, "environment", "volumes", "ports", "depends_on", "networks"})
UNWANTED_MOUNTS = {
    "/home/agent/disinto/.env": (
        "agents do not read it, and it shows them every secret of the factory",
        False,
    ),
    "/home/agent/disinto": ("it hides the code of the image, so that no version would mean anything", True),
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
UPSTREAM_CHECKS = (
    "api/v1/version",
    "pgrep -f entrypoint.sh",
    "localhost:3333/healthz",
    "localhost:2019/config",
)
UPSTREAM_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "restart": ("unless-stopped",),
    "security_opt": (["apparmor=unconfined"],),
}
SHOWN = frozenset({"container_name", "restart", "network_mode", "privileged", "profiles", "user"})
