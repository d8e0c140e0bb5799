"""How a run ended, in the words the run screen shows below the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from disinto_tui.core.errors import DisintoError, error_from_json
from disinto_tui.core.words import clock_text
from disinto_tui.tui.run_model import RunModel

Said = tuple[str, str, str]
"""A mark (or a space), its tone, and a text; the text may be wrapped behind the mark."""


def verdict_lines(model: RunModel, died: DisintoError | None) -> list[Said]:
    """What happened, why, what now; or what came of it. `died` says why its process went away without a word."""
    ended = model.ended
    if died is not None:
        return _three("✗", "bad", died)
    if ended is None:
        return []
    if ended.error is not None:
        back = ended.state == "undone"
        stopped = ended.state == "cancelled"
        mark, tone = ("↺", "warn") if back else ("■", "warn") if stopped else ("✗", "bad")
        return _three(mark, tone, error_from_json(ended.error))
    if ended.state == "undone":
        left = _left(model)
        said = "It is taken back, as far as it can be." if left else "Everything is as it was before."
        return [("↺", "warn", said), *left]
    if model.plan.kind == "release":
        return list(_released(model, ended.result))
    return [(" " if number else "✓", "good", text) for number, text in enumerate(ended.summary)]


def pull_line(model: RunModel) -> str:
    """The command that pulls what was released; "" when nothing was."""
    ended = model.ended
    if model.plan.kind != "release" or ended is None or not ended.result.get("pushed"):
        return ""
    return f"docker pull {ended.result.get('to', '')}"


def _three(mark: str, tone: str, error: DisintoError) -> list[Said]:
    return [(mark, tone, error.what), (" ", tone, error.why), (" ", "plain", error.now)]


def _left(model: RunModel) -> list[Said]:
    """What the steps said that was not taken back, or how."""
    return [
        (" ", "dim", f"{step.id}: {step.reason}")
        for step in model.steps
        if step.state == "undone" and step.reason
    ]


def _released(model: RunModel, result: Mapping[str, Any]) -> Iterator[Said]:
    ended = model.ended
    seconds = ended.at - model.first_at if ended is not None else 0.0
    yield "✓", "good", f"{result.get('version', '')} is released, in {clock_text(seconds)}."
    if line := pull_line(model):
        yield " ", "strong", line
        yield " ", "plain", str(result.get("image_digest", ""))
    facts = []
    if "public" in result:
        facts.append("anybody may pull it" if result["public"] else "private: who pulls it needs a login")
    mirrors = result.get("mirrors") or {}
    taken = [name for name, state in mirrors.items() if not str(state).startswith("failed")]
    if taken:
        facts.append(f"on {', '.join(taken)}")
    facts.append("this factory runs it" if result.get("restarted") else "this factory stays on its version")
    yield " ", "dim", " · ".join(facts)
    written = [str(result[name]) for name in ("result_file", "result_pull") if result.get(name)]
    if written:
        yield " ", "dim", f"result in {' and '.join(written)}"
    for text in result.get("warnings") or ():
        yield "▲", "warn", str(text)
    if result.get("log_clipped"):
        yield "▲", "warn", f"BuildKit cut lines out of the build's log, {result['log_clipped']} times."
