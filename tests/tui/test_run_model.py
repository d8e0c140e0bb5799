"""What a run's events come to, without a screen."""

from __future__ import annotations

import pytest

from disinto_tui.core.events import RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan, Step
from disinto_tui.tui.run_model import RunModel

STEPS = (Step("preflight", "Look", "x"), Step("tag-main", "Tag", "x"), Step("build-image", "Build", "x"))


def attempt(*states: str) -> list[RunStarted | StepStarted | StepEnded | RunEnded]:
    """One process at work: how the first steps ended, and that it failed."""
    events: list[RunStarted | StepStarted | StepEnded | RunEnded] = [RunStarted(1.0, "r", 1, 1.0, "b")]
    for step, state in zip(STEPS, states, strict=False):
        events += [
            StepStarted(1.0, step.id),
            StepEnded(2.0, step.id, state, 1.0),  # type: ignore[arg-type]
        ]
    return [*events, RunEnded(3.0, "failed", 1)]


@pytest.mark.parametrize(
    ("attempts", "made"),
    [
        ([("done", "done", "failed")], True),
        ([("done", "skipped", "failed")], False),  # it was there at this very commit: somebody else's
        ([("done", "done", "failed"), ("done", "skipped", "failed")], True),  # our own, found when resumed
        ([("done", "done", "failed"), ("done", "undone")], False),
        ([("done", "failed")], False),
    ],
)
def test_only_a_tag_that_a_release_made_itself_is_offered_to_be_taken_back(
    attempts: list[tuple[str, ...]], made: bool
) -> None:
    model = RunModel(Plan("release", "Release", "/x", "p", "", STEPS))
    for states in attempts:
        model.apply(attempt(*states))
    assert model.made_tag is made
