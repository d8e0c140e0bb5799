"""The secrets of a run that is begun again, by somebody who did not begin it: found anew, where each is kept."""

from __future__ import annotations

from collections.abc import Mapping

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.plan import Plan
from disinto_tui.core.redact import Secret


async def secrets_for(
    instance: Instance, plan: Plan, given: Mapping[str, Secret] | None = None
) -> dict[str, str]:
    """The clear texts by name that a plan's run is handed: a release's and a formula's; other kinds need none.

    `given` was typed in for this run, and wins over every other place. What is found nowhere is left out, and is no
    error here: the step that misses it says so. Raises BadInput `credential.name`, `credential.value`.
    """
    from disinto_tui.adapters.credentials import CredentialFinder
    from disinto_tui.runs.credentials import secrets_of_plan

    finder = CredentialFinder(instance.path, given or {})
    if plan.kind == "release":
        return await secrets_of_plan(plan, finder)
    held = [await finder.find(name) for name in plan.secrets] if plan.kind == "formula" else []
    return {item.name: item.value.reveal() for item in held if item is not None}
