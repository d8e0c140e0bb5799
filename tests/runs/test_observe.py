"""What a pin means, in words."""

from __future__ import annotations

import pytest

from disinto_tui.adapters.engine import LocalImage
from disinto_tui.runs.observe import VERSION_LABEL, pinned_version, version_of

KEPT = "docker.io/disinto-kept/acme:26b56ec44a5e"


def image(label: str, *tags: str) -> LocalImage:
    labels = {VERSION_LABEL: label} if label else {}
    return LocalImage("sha256:26b56ec44a5e", tags, (), labels, "", 1, "amd64", ())


@pytest.mark.parametrize(
    "pin", ["ghcr.io/disinto/agents:v0.3.0", f"ghcr.io/disinto/agents:v0.3.0@sha256:{'0' * 64}"]
)
def test_a_pin_means_its_tag_whatever_runs(pin: str) -> None:
    assert pinned_version(pin, {pin: image("0.2.9")}) == "v0.3.0"


def test_no_pin_means_nothing() -> None:
    assert pinned_version("", {}) == ""
    assert pinned_version("not a reference:", {}) == ""


@pytest.mark.parametrize("label", ["0.2.9", ""])
def test_an_image_kept_under_a_name_of_ours_means_what_it_says_of_itself(label: str) -> None:
    """Adopted from a build: the status said that another version ran than was pinned, which was the very same image."""
    kept = image(label, "acme-agents:latest", "disinto-kept/acme:26b56ec44a5e")
    assert pinned_version(KEPT, {KEPT: kept}) == version_of(kept, KEPT)
    assert (pinned_version(KEPT, {KEPT: kept}) == "v0.2.9") == bool(label)
    assert pinned_version(KEPT, {}) == "26b56ec44a5e"
