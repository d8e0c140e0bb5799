"""What tests of the doctor's checks are made of: inspect documents, and the states of remarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from disinto_tui.runs.doctor_model import Remark


def states(remarks: Sequence[Remark]) -> list[str]:
    """Each remark's state."""
    return [item.state for item in remarks]


def container(service: str, status: str = "running", health: str = "", **more: Any) -> dict[str, Any]:
    """A container's inspect document, as far as the doctor reads it. `state` and `labels` add to theirs."""
    state: dict[str, Any] = {"Status": status, "ExitCode": 1, **more.pop("state", {})}
    if health:
        state["Health"] = {"Status": health}
    labels = {"com.docker.compose.service": service, **more.pop("labels", {})}
    return {
        "Id": "f" * 64,
        "Name": f"/p-{service}",
        "Config": {"Labels": labels},
        "State": state,
        "RestartCount": 0,
        **more,
    }
