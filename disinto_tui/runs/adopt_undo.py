"""Plan `disinto adopt --undo`: the files as they were to the byte, and the old stack runs again.

Versions may have been switched since: of the files only the pin has changed then, and what matters is the data, which
stays in its volumes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.journal import RunDir, list_runs, run_status
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput, DisintoError, Refused
from disinto_tui.core.plan import FileChange, Plan, ServiceChange, Step
from disinto_tui.runs.adopt import Prepared
from disinto_tui.runs.health import by_service
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.ops_adopt import as_adopted, copied, originals, put_back_files
from disinto_tui.runs.ops_files import digest
from disinto_tui.runs.ops_retire import content

KIND = "adopt-undo"


async def plan_adopt_undo(instance: Instance) -> Prepared:
    """Plan the way back. Raises BadInput when nothing was adopted here, Refused when files were changed since, or are
    gone; Unavailable without an engine."""
    refuse_unfinished(instance)
    run = _adopted(instance)
    plan = run.plan()
    files = [dict(item) for step in plan.steps if step.op == "files" for item in step.params["files"]]
    pin = str(plan.facts["adopt"]["pin"])
    await _refuse_changed(instance, run, files, pin)
    staged = _originals(instance, run, files)
    moved = _moved(instance, run)
    before: Mapping[str, Any] = next(step.params for step in plan.steps if step.op == "old-stack")
    _refuse_gone(instance, before, {item["path"] for item in (*files, *moved)})
    made = [item for step in plan.steps if step.op == "directories" for item in step.params["directories"]]
    data = copied(plan.steps)
    engine = Engine(plan.endpoint)
    now = by_service(await engine.containers(plan.project))
    await _refuse_images(engine, before)
    back = {"files": put_back_files(instance, run.id, files), "directories": list(reversed(made))}
    # Nothing ran when it was adopted: what was started since is not of the old stack, and goes.
    stack = {**before, "ids": {}, "data": data, "act": True}
    move = {"files": moved, "run": run.id, "back": True}
    back_in = (
        (Step("retired", "Move the old files back", "retire-files", move, "as they were"),) if moved else ()
    )
    steps = (
        *back_in,
        Step("files", "Put the files back", "put-back", back, "to the byte"),
        Step("stack", "Start the old stack", "old-stack", stack, "with the images it had", atomic=True),
    )
    services = [
        ServiceChange(name, "recreate" if name in now else "create", "as it was", before["images"][name][0])
        for name in before["live"]
    ]
    services += [
        ServiceChange(name, "remove", "it was not there before; volumes stay")
        for name in sorted(set(now) - set(before["there"]))
    ]
    idle = [name for name in before["there"] if name not in before["live"] and name in now]
    services += [
        ServiceChange(name, "stop", "it did not run before")
        for name in idle
        if (now[name].get("State") or {}).get("Running")
    ]
    return Prepared(
        Plan(
            KIND,
            f"Take the adoption of {plan.project} back",
            str(instance.path),
            plan.project,
            plan.endpoint,
            steps,
            (
                *(_change(instance, item) for item in files),
                *(FileChange(item["path"], "create", note="as it was") for item in moved),
            ),
            tuple(services),
            downtime="about 0.5 s for each service" if before["live"] else "none, nothing ran before",
            undo="`disinto adopt` again",
            notes=(
                "data stays in its volumes, with everything that was written since",
                *(f"the volume {item['target']} is kept: it is data" for item in data),
                *(_unnamed(item) for item in data),
            ),
            facts={"undoes": run.id, "summary": (f"{plan.project} is as it was before it was adopted.",)},
        ),
        staged,
    )


def in_force(instance: Instance, run: RunDir) -> bool:
    """Whether `disinto adopt --undo` would take this run back. Reads the runs' ends, not what became of the files."""
    try:
        return _adopted(instance).id == run.id
    except DisintoError:
        return False


def _unnamed(item: Mapping[str, Any]) -> str:
    return (
        f"{item['service']}: the old file names no volume at {item['path']}; after a `docker compose down` it would "
        f"begin with an empty one, and its data is in {item['target']}"
    )


def _adopted(instance: Instance) -> RunDir:
    taken_back: set[str] = set()
    since: RunDir | None = None
    for run in list_runs(instance):
        plan = run.plan()
        if plan.kind not in ("adopt", "init", KIND) or run_status(run) != "done":
            continue
        if plan.kind == KIND:
            taken_back.add(str(plan.facts.get("undoes", "")))
        elif plan.kind == "init":
            since = run
        elif run.id not in taken_back and since is None:
            return run
        elif run.id not in taken_back and since is not None:
            raise Refused(
                "An init came after the adoption.",
                f"{since.id} made files anew, so the adoption cannot be taken out from under it.",
                f"The files as they were are in {instance.private / 'adopted'}.",
                code="adopt.init_since",
            )
    raise BadInput(
        "There is no adoption to take back.",
        f"No run of `disinto adopt` was finished in {instance.path}, or it is taken back already.",
        "`disinto runs` lists what was done.",
        code="adopt.none",
    )


async def _refuse_changed(instance: Instance, run: RunDir, files: list[dict[str, Any]], pin: str) -> None:
    changed = []
    for item in files:
        data = read_bytes(instance.path / item["path"])
        if digest(data) == item["after"]:
            continue
        if item["path"] == ".env" and data is not None and _only_the_pin(data, pin, item["after"]):
            continue
        sealed = item["path"] == instance.sealed_env_file.name and data is not None
        if sealed and await _only_the_sealed_pin(instance, data or b"", pin, as_adopted(instance, run.id)):
            continue
        changed.append(item["path"])
    if changed:
        raise Refused(
            f"{' and '.join(changed)} {'was' if len(changed) == 1 else 'were'} changed since it was adopted.",
            "Putting the old files back would lose that.",
            "Keep a copy of what is yours, put the file back as it was adopted "
            f"({_adopted_copy(instance, run, changed)}), then try again.",
            code="adopt.changed",
        )


def _adopted_copy(instance: Instance, run: RunDir, names: Sequence[str]) -> str:
    """How to put a file back as the adoption wrote it."""
    place = as_adopted(instance, run.id)
    if not all((place / name).exists() for name in names):
        return "without your change"
    return "; ".join(f"`cp {place / name} {instance.path / name}`" for name in names)


def _only_the_pin(data: bytes, pin: str, after: str) -> bool:
    try:
        return digest(EnvFile.parse(data).set("AGENTS_IMAGE", pin).data) == after
    except DisintoError:
        return False


async def _only_the_sealed_pin(instance: Instance, data: bytes, pin: str, place: Path) -> bool:
    """The same for what sops sealed, which is never twice the same: both are opened, in memory."""
    then = read_bytes(place / instance.sealed_env_file.name)
    if then is None:
        return False
    from disinto_tui.adapters import sops

    now, before = [
        {**EnvFile.parse(await sops.opened(instance, sealed)).values({}), "AGENTS_IMAGE": pin}
        for sealed in (data, then)
    ]
    return now == before


def _originals(instance: Instance, run: RunDir, files: list[dict[str, Any]]) -> dict[str, bytes]:
    staged: dict[str, bytes] = {}
    for item in files:
        if not item["before"]:
            continue
        data = read_bytes(originals(instance, run.id) / item["path"])
        if data is None or digest(data) != item["before"]:
            raise Refused(
                f"The original {item['path']} is not there any more.",
                f"{originals(instance, run.id)} should have it.",
                "Restore it from a backup of your own.",
                code="adopt.originals",
            )
        staged[item["path"]] = data
    return staged


def _moved(instance: Instance, run: RunDir) -> list[dict[str, Any]]:
    """The files that the adoption moved away. Raises Refused when one is gone, or another stands in its place."""
    moved = [
        dict(item) for step in run.plan().steps if step.op == "retire-files" for item in step.params["files"]
    ]
    for item in moved:
        place = originals(instance, run.id) / item["path"]
        if digest(content(instance, place)) != item["content"]:
            raise Refused(
                f"The original {item['path']} is not there any more.",
                f"{place} should be it, unchanged.",
                "Restore it from a backup of your own.",
                code="adopt.originals",
            )
        if os.path.lexists(instance.path / item["path"]):
            raise Refused(
                f"There is a new {item['path']} in {instance.path}.",
                "It was not there when it was adopted, and the old one would take its place.",
                "Move it away, then try again.",
                code="adopt.changed",
            )
    return moved


def _refuse_gone(instance: Instance, before: Mapping[str, Any], back: Collection[str]) -> None:
    """Raise Refused when a file that the old stack was made from, and that stayed, is gone; `back` are those that come
    back."""
    for path in before["files"]:
        if path not in {str(instance.path / name) for name in back} and not Path(path).is_file():
            raise Refused(
                f"{path} is gone.",
                "The old stack was made from it, too, and would not be what it was.",
                "Put it back, then try again.",
                code="adopt.originals",
            )


async def _refuse_images(engine: Engine, before: Mapping[str, Any]) -> None:
    for name in before["live"]:
        reference, image = before["images"][name]
        if await engine.image(image) is None:
            raise Refused(
                f"The image that {name} ran is gone.",
                f"{reference} ({image[7:19]}) is not on this host any more, so the old stack would not start.",
                "Build or pull it again under that name, then try again.",
                code="adopt.image",
            )


def _change(instance: Instance, item: Mapping[str, Any]) -> FileChange:
    secret = item["path"] in (instance.env_file.name, instance.sealed_env_file.name)
    return FileChange(item["path"], "change" if item["before"] else "remove", secret=secret, note="as it was")
