"""`disinto doctor`: is this instance sound? Every check at once, each with a time of its own; reads only.

`plan_fix` makes a plan of what is safe to mend without asking twice; it runs like any other plan.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, ExitCode
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs import doctor_host, doctor_keep, doctor_remote, doctor_stack
from disinto_tui.runs.doctor_model import Check, Ground, Result, State, carried_out
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.project import project_name

CHECKS: tuple[Check, ...] = (
    Check("engine", "Engine", "Everything runs on it.", doctor_host.engine),
    Check("compose", "Compose", "It makes the containers, from files it has to accept.", doctor_host.compose),
    Check("disk", "Disk", "A full disk stops pulls, databases and the journal.", doctor_host.disk),
    Check("clock", "Clock", "With a wrong one tokens are refused and logs mislead.", doctor_host.clock),
    Check(
        "ports",
        "Ports",
        "A port that another program holds keeps a service from starting.",
        doctor_host.ports,
    ),
    Check(
        "env", ".env", "Compose, the tools and the factory's scripts each read it their way.", doctor_host.env
    ),
    Check(
        "permissions",
        "Permissions",
        "A token that others on this host can read is theirs too.",
        doctor_host.permissions,
    ),
    Check(
        "tokens",
        "Tokens",
        "An expired one stops the agents, or a release half-way.",
        doctor_remote.tokens,
        network=True,
    ),
    Check(
        "registry",
        "Registry",
        "Without it no other version can be pulled.",
        doctor_remote.registry,
        network=True,
    ),
    Check("platform", "Platform", "An image for another processor does not run here.", doctor_stack.platform),
    Check("pin", "Pinned = running", "What .env says is what you believe to run.", doctor_stack.pin),
    Check("drift", "Drift", "The next `up` recreates what differs, wanted or not.", doctor_stack.drift),
    Check(
        "shadows",
        "Volume shadows",
        "Data in a place without a name is gone with the next recreate.",
        doctor_stack.shadows,
        timeout=10,
    ),
    Check(
        "health", "Health", "What does not run does no work; and a switch judges by it.", doctor_stack.health
    ),
    Check(
        "heartbeat", "Heartbeat", "A loop that stands still looks alive from outside.", doctor_stack.heartbeat
    ),
    Check("restarts", "Restarts", "What dies and comes back fails slowly.", doctor_stack.restarts),
    Check(
        "leftovers",
        "Leftovers",
        "A half-made container makes the next recreate fail by its name.",
        doctor_keep.leftovers,
    ),
    Check("kept", "Known good", "Without the image a rollback waits for a registry.", doctor_keep.kept),
    Check(
        "journal",
        "Journal",
        "A run that stands half-way leaves a state that nobody wanted.",
        doctor_keep.journal,
    ),
    Check("backups", "Backups", "They are the way back of every file.", doctor_keep.backups),
)
"""Every check, in the order in which it is shown: from the ground up."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was looked at, in the order of `CHECKS`. `seconds` is how long it took."""

    directory: str
    results: tuple[Result, ...]
    seconds: float

    def count(self, state: State) -> int:
        """How many checks ended so."""
        return sum(item.state == state for item in self.results)

    @property
    def exit_code(self) -> ExitCode:
        """By severity: 1 with a problem, 3 when something could not be looked at, else 0 (a warning is for people)."""
        if self.count("problem"):
            return ExitCode.FAILED
        return ExitCode.UNAVAILABLE if self.count("unknown") else ExitCode.DONE

    @property
    def fixes(self) -> tuple[Step, ...]:
        """The steps that `--fix` would carry out."""
        return tuple(step for item in self.results for remark in item.remarks for step in remark.steps)

    def to_json(self) -> dict[str, Any]:
        """The document that `disinto doctor --json` prints."""
        states: tuple[State, ...] = ("ok", "warning", "problem", "unknown")
        return {
            "directory": self.directory,
            "seconds": round(self.seconds, 3),
            "counts": {state: self.count(state) for state in states},
            "checks": [item.to_json() for item in self.results],
        }


def chosen(names: Sequence[str], *, offline: bool = False) -> list[Check]:
    """The checks of those names, all without any; those that cross the network only when not `offline`.

    Raises BadInput `doctor.check` for a name that is none.
    """
    known = {check.id: check for check in CHECKS}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise BadInput(
                f"There is no check {name}.",
                f"The nearest is {near[0]}." if near else "It is none of those there are.",
                f"Choose of: {', '.join(known)}.",
                code="doctor.check",
            )
    return [check for check in CHECKS if (not names or check.id in names) and not (offline and check.network)]


async def examine(
    instance: Instance,
    names: Sequence[str] = (),
    *,
    offline: bool = False,
    now: float | None = None,
    on_result: Callable[[Result], None] | None = None,
    checks: Iterable[Check] | None = None,
) -> Report:
    """Look at everything (or at `names`), all at once. `on_result` gets each as it comes; `now` is unix seconds.

    Takes as long as the slowest check, each of which has its own limit. Raises BadInput `doctor.check`; what is wrong
    with the instance is in the report.
    """
    began = time.monotonic()
    wanted = list(checks) if checks is not None else chosen(names, offline=offline)
    ground = Ground(instance, offline, time.time() if now is None else now)

    async def one(check: Check) -> Result:
        result = await carried_out(check, ground)
        if on_result is not None:
            on_result(result)
        return result

    try:
        results = await asyncio.gather(*(one(check) for check in wanted))
    finally:
        await ground.close()
    return Report(str(instance.path), tuple(results), time.monotonic() - began)


async def plan_fix(instance: Instance, report: Report) -> Plan:
    """What of a report is mended safely, as a plan; without steps when there is nothing.

    Raises Refused `run.unfinished`: a run that stands half-way is finished or taken back first.
    """
    refuse_unfinished(instance)
    ground = Ground(instance)
    steps = report.fixes
    try:
        endpoint = await ground.endpoint()
        files_alone = all(step.op == "modes" for step in steps)  # for which nobody has to ask the engine
        project = project_name(instance) if files_alone else (await ground.found()).name
    finally:
        await ground.close()
    return Plan(
        "doctor",
        f"Mend {len(steps)} thing{'' if len(steps) == 1 else 's'} in {instance.path.name}",
        str(instance.path),
        project,
        endpoint,
        steps,
        undo="rights of files go back to what they were; what was removed never ran",
        notes=tuple(step.why for step in steps),
        facts={"summary": ("Mended.",)},
    )
