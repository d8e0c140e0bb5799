"""What the wizard of a release says in its one line of facts, and how it shows credentials as findings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from disinto_tui.runs.release_checks import Finding
from disinto_tui.tui.widgets.home_lines import Line

if TYPE_CHECKING:
    from disinto_tui.runs.credentials import FoundCredential
    from disinto_tui.runs.release import PreparedRelease
    from disinto_tui.runs.release_offer import Published
    from disinto_tui.runs.request import PreparedRequest


def newest(found: Published | None, asking: bool) -> Line:
    """What is published."""
    if asking:
        return (("newest   ", "dim"), ("asking the registry …", "dim"))
    if found is None:
        return ()
    if found.trouble is not None:
        said = f"{found.trouble.what} {found.trouble.why}"
        return (("newest   ", "dim"), ("▲ ", "warn"), (said, "plain"))
    if not found.newest:
        return (("newest   ", "dim"), (f"none yet in {found.images}", "plain"))
    return (("newest   ", "dim"), (found.newest, "strong"), (f"  of {found.images}", "dim"))


def what(version: str, images: str) -> Line:
    """What is released."""
    return (("release  ", "dim"), (version, "strong"), (f"  of {images}" if images else "", "dim"))


def judged(findings: Sequence[Finding]) -> Line:
    """How the findings add up."""
    problems = sum(item.severity == "problem" for item in findings)
    warnings = sum(item.severity == "warning" for item in findings)
    if problems:
        return (("   ✗ ", "bad"), (f"{problems} to mend first", "strong"))
    if not findings:
        return ()
    return (("   ● ready", "good"), (f", {warnings} worth knowing" if warnings else "", "warn"))


def findings_of(found: Sequence[FoundCredential]) -> list[Finding]:
    """Credentials as findings, named after what they are for."""
    return [replace(item.finding, name=item.purpose) for item in found]


def found_of(prepared: PreparedRelease | PreparedRequest) -> Sequence[Finding]:
    """What was found on the way to a plan."""
    examined = getattr(prepared, "examined", None)
    return examined.findings if examined is not None else prepared.findings  # type: ignore[union-attr]
