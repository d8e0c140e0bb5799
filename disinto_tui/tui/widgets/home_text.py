"""What Home says, as pieces of text with a tone. Pure functions of a view and the time."""

from __future__ import annotations

from collections.abc import Mapping

from disinto_tui.core.view import TROUBLED, Attention, InstanceView, ServiceState, ServiceView
from disinto_tui.core.words import age_text
from disinto_tui.tui.widgets.home_lines import Line, Piece

MARKS: Mapping[ServiceState, tuple[str, str, str]] = {
    "healthy": ("●", "healthy", "good"),
    "running": ("●", "running", "plain"),
    "starting": ("◌", "starting", "warn"),
    "unhealthy": ("▲", "unhealthy", "bad"),
    "restarting": ("▲", "restarting", "bad"),
    "exited": ("■", "exited", "bad"),
    "created": ("○", "not started", "dim"),
    "paused": ("‖", "paused", "warn"),
    "dead": ("✗", "dead", "bad"),
    "absent": ("○", "not created", "dim"),
}
"""Glyph, word and tone of a service's state: the word says it all, the rest helps to find it."""

RUN_MARKS: Mapping[str, tuple[str, str]] = {
    "done": ("✓", "good"),
    "failed": ("✗", "bad"),
    "running": ("▶", "good"),
    "interrupted": ("▲", "bad"),
    "cancelled": ("■", "warn"),
    "undone": ("↺", "warn"),
    "planned": ("·", "dim"),
}


def age(seconds: float) -> str:
    """A span for people: `12 s`, `4 min`, `3 h`, `9 d`. Below a minute only `< 1 min`, so that it need not tick."""
    return "< 1 min" if seconds < 60 else age_text(max(seconds, 90))


def size(count: int | None) -> str:
    """Bytes of memory for people: `410 M`; `-` when not known."""
    if count is None:
        return "-"
    for unit, value in (("G", 1 << 30), ("M", 1 << 20)):
        if count >= value * 10 or (unit == "M"):
            return f"{count / value:.0f} {unit}"
        if count >= value:
            return f"{count / value:.1f} {unit}"
    return f"{count} B"


def percent(value: float | None) -> str:
    """CPU for people: `12 %`; `-` when not known."""
    return "-" if value is None else f"{value:.0f} %"


def state_piece(service: ServiceView) -> Piece:
    """`● healthy`, `▲ restarting (4)`, `■ exited (1)`."""
    mark, word, tone = MARKS[service.state]
    if service.state == "exited" and service.exit_code is not None:
        word += f" ({service.exit_code})"
        tone = "bad" if service.exit_code else "warn"
    elif service.restarts:
        word += f" ({service.restarts})"
    return f"{mark} {word}", tone


def health(view: InstanceView, now: float) -> Piece:
    """The one answer to "is it healthy", in words."""
    if view.engine_error:
        return "▲ the engine does not answer", "bad"
    services = view.services
    total = len(services)
    troubled = [item for item in services if item.state in TROUBLED]
    if troubled and not any(item.state not in ("exited", "created", "absent") for item in services):
        return "■ stopped", "warn"
    if len(troubled) == 1:
        return f"▲ {troubled[0].name} is {troubled[0].state}", "bad"
    if troubled:
        return f"▲ {len(troubled)} of {total} services are in trouble", "bad"
    missing = [item for item in services if item.state in ("absent", "created")]
    if total and len(missing) == total:
        return "○ not started", "warn"
    if missing:
        return f"○ {len(missing)} of {total} services are not started", "warn"
    starting = [item for item in services if item.state == "starting"]
    if starting:
        return f"◌ starting: {total - len(starting)} of {total} are there", "warn"
    if any(item.state == "paused" for item in services):
        return "‖ paused", "warn"
    if not total:
        return "○ no services", "dim"
    since = view.healthy_since
    if since is None:
        return "● running", "plain"
    word = "healthy" if any(item.state == "healthy" for item in services) else "running"
    return f"● {word} for {age(now - since)}", "good"


def glance(view: InstanceView | None, remote_asked: bool, now: float) -> tuple[list[Line], list[Line]]:
    """The two lines at the left and the two at the right of the zone under the header."""
    if view is None:
        return [((" ", "plain"), ("asking the engine …", "dim")), ()], [(), ()]
    if not has_factory(view):
        engine = (
            "▲ the engine does not answer" if view.engine_error else f"Docker Engine {view.engine_version}"
        )
        return [
            ((" no factory here", "strong"),),
            ((f" {view.directory}", "dim"),),
        ], [((engine, "bad" if view.engine_error else "dim"),), ()]
    running = ", ".join(view.running_versions)
    head = running or ("?" if view.engine_error else view.pinned_version or "no version")
    left = [
        ((f" {head}", "strong"), ("  ", "plain"), health(view, now)),
        _pin(view),
    ]
    return left, [_newest(view, remote_asked), _forge(view, remote_asked)]


def has_factory(view: InstanceView) -> bool:
    """Whether there is anything of a factory: services in the file, containers, or a pin."""
    return bool(view.services) or view.mode != "none" or bool(view.pinned)


def _pin(view: InstanceView) -> Line:
    if view.pinned:
        return ((" pinned  ", "dim"), (view.pinned, "plain"))
    if view.mode == "build":
        return ((" build mode  ", "dim"), ("no pin, built from a checkout", "plain"))
    return ((" pinned  ", "dim"), ("nothing", "plain"))


def _newest(view: InstanceView, asked: bool) -> Line:
    if view.newest:
        word, tone = _compared(view)
        return (("newest ", "dim"), (view.newest, "strong"), (f"  {word}", tone))
    if view.newest_error:
        return (("newest ", "dim"), ("▲ the registry did not say", "warn"))
    return (("newest ", "dim"), ("none yet" if asked else "asking …", "dim"))


def _compared(view: InstanceView) -> Piece:
    """How the newest version stands to what runs."""
    from disinto_tui.core.version import sort_tags

    if not view.running_versions:
        return "", "dim"
    if view.newest in view.running_versions:
        return "✓ runs here", "good"
    first = sort_tags([view.newest, *view.running_versions])[0]
    return ("↑ newer than here", "warn") if first == view.newest else ("older than here", "dim")


_ANSWERS = {
    "adopt": "↵ take it over",
    "use": "↵ switch",
    "rollback": "↵ go back",
    "versions": "↵ versions",
    "requests": "↵ where it stands",
}


def helps(item: Attention) -> str:
    """What to do about something that needs the operator: a key when one does it here, else a command."""
    command = item.command.split()
    if item.key == "enter":
        return "↵ finish it or take it back"
    if command[:2] == ["disinto", "logs"]:
        return "↵ its log"
    if command == ["disinto", "up"]:
        return "↵ up"
    if command[:1] == ["disinto"] and len(command) > 1 and command[1] in _ANSWERS:
        return _ANSWERS[command[1]]
    if command[:2] == ["disinto", "init"]:
        return "↵ init"
    return item.command


def _forge(view: InstanceView, asked: bool) -> Line:
    if not view.forge_url:
        return (("forge  ", "dim"), ("not named in .env", "dim"))
    if view.forge == "reachable":
        return (("forge  ", "dim"), ("● reachable", "good"))
    if view.forge == "unreachable":
        return (("forge  ", "dim"), ("▲ unreachable", "bad"))
    return (("forge  ", "dim"), ("not asked" if asked else "asking …", "dim"))
