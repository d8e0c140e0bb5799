"""What services depend on, from Compose's definitions."""

from __future__ import annotations

from typing import Any

from disinto_tui.runs.needs import needs_of


def on(**conditions: str) -> dict[str, Any]:
    return {"depends_on": {name: {"condition": f"service_{word}"} for name, word in conditions.items()}}


STACK = {
    "forgejo": {},
    "woodpecker": on(forgejo="healthy"),
    "agents": on(forgejo="started", woodpecker="started"),
    "agents-qwen": on(agents="healthy"),
    "edge": {},
}


def test_a_service_that_needs_nobody() -> None:
    assert needs_of(STACK, ["edge"]) == {}
    assert needs_of(STACK, ["nobody"]) == {}


def test_what_others_need_counts_and_the_strictest_condition() -> None:
    assert needs_of(STACK, ["agents"]) == {"forgejo": "service_healthy", "woodpecker": "service_started"}


def test_services_that_need_one_another_are_made_together() -> None:
    assert needs_of(STACK, ["agents", "agents-qwen"]) == needs_of(STACK, ["agents"])
    assert needs_of({"a": on(b="started"), "b": on(a="started")}, ["a"]) == {"b": "service_started"}
