"""The dates that `status` warns by: kept without the secrets, forgotten when they are no more, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.expiry import DAY
from disinto_tui.runs.credentials import FoundCredential
from disinto_tui.runs.expiries import expiring, remember
from disinto_tui.runs.release_checks import Finding, Severity

NOW = 1_795_564_800.0


def found(name: str, expires: float | None, severity: Severity = "ok", **more: bool) -> FoundCredential:
    finding = Finding("credential", severity, "")
    return FoundCredential(name, "push", "x", "environment", "", "", True, expires, finding, **more)


def test_what_ends_soon_is_said_until_it_is_replaced(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    assert expiring(instance, NOW) == []
    remember(
        instance, [found("FAR", NOW + 20 * DAY), found("NEAR", NOW + 3.5 * DAY), found("OVER", NOW - DAY)]
    )
    assert [(item.text, item.severity, item.command) for item in expiring(instance, NOW)] == [
        ("NEAR expires on 2026-11-28, in 3 days", "warning", "disinto credentials"),
        ("OVER expired on 2026-11-24", "warning", "disinto credentials"),
    ]
    assert len(expiring(instance, NOW + 10 * DAY)) == 3
    # Who did not answer, or does not know it any more, said nothing about the date.
    remember(instance, [found("NEAR", None, "warning", unanswered=True), found("OVER", None, "problem")])
    assert len(expiring(instance, NOW)) == 2
    remember(instance, [found("NEAR", NOW + 300 * DAY), found("OVER", None)])
    assert expiring(instance, NOW) == []
    file = tmp_path / ".disinto" / "credentials.json"
    assert sorted(json.loads(file.read_text())) == ["FAR", "NEAR"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"A": "soon", "B": true, "C": -1, "D": 1e300}'])
def test_a_file_that_is_no_such_thing_says_nothing(tmp_path: Path, text: str) -> None:
    instance = Instance.at(tmp_path)
    instance.ensure_private()
    (instance.private / "credentials.json").write_text(text)
    assert expiring(instance, NOW) == []
