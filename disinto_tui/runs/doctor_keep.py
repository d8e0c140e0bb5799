"""Checks of what was left and what is kept: orphans, interrupted work, images to go back to, journal, backups."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from disinto_tui.adapters.engine_look import looks_left
from disinto_tui.adapters.instance import Instance, unfinished
from disinto_tui.adapters.journal import KEPT_WHOLE, RunDir, list_runs, run_status, unfinished_run
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import Step
from disinto_tui.core.words import age_text, size_text
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.health import container_state, is_leftover, service_of
from disinto_tui.runs.history import history, rollback_order
from disinto_tui.runs.holder import describe
from disinto_tui.runs.ops_keep import KEEP_REPOSITORY
from disinto_tui.runs.project import find_project

MUCH_BYTES = 1_000_000_000
"""Backups and logs of runs that take more than this are worth a word."""
_COMPOSE = "com.docker.compose."


async def leftovers(ground: Ground) -> Sequence[Remark]:
    """Nothing lies about of what was interrupted, or of services that are no more."""
    if describe(ground.instance).state == "busy":
        return [Remark("ok", "a run is at work here; what it leaves is looked at afterwards")]
    engine = await ground.engine()
    everything = await find_project(engine, ground.instance, await ground.env(), one_off=True)
    remarks = container_remarks(everything.containers, await ground.definitions_or_none() or {})
    looks = await looks_left(engine)
    if looks:
        count = f"{len(looks)} container{'' if len(looks) == 1 else 's'}"
        text = f"{count} of a look into images that was killed"
        remarks.append(
            Remark(
                "warning", text, f"docker rm -v {' '.join(item[:12] for item in looks)}", _remove(looks, text)
            )
        )
    for path in unfinished_files(ground.instance):
        text = f"{path.name} was being written when its writer was killed; the file itself is whole"
        remarks.append(Remark("warning", text, f"rm {quote(str(path))}"))
    return remarks or [Remark("ok", "nothing was left behind")]


def container_remarks(
    containers: Sequence[Mapping[str, Any]], definitions: Mapping[str, Any]
) -> list[Remark]:
    """From inspect documents, those of `docker compose run` included, and the services there are."""
    remarks = []
    for inspect in containers:
        name, state = str(inspect.get("Name", "")).lstrip("/"), container_state(inspect)
        labels = (inspect.get("Config") or {}).get("Labels") or {}
        identity, service = str(inspect["Id"]), service_of(inspect)
        if is_leftover(inspect):
            text = f"{name} was left by a recreate that was interrupted, and never ran"
            remarks.append(Remark("warning", text, f"docker rm {name}", _remove([identity], text)))
        elif labels.get(f"{_COMPOSE}oneoff") == "True":
            if state in ("exited", "created", "dead"):
                text = f"{name} is what is left of a `docker compose run {service}`"
                remarks.append(Remark("warning", text, f"docker rm {name}"))
        elif definitions and service not in definitions:
            text = f"{name} belongs to the service {service}, which is in no compose file any more"
            cure = f"Put the service back, or look at it and remove it: `docker rm -f {name}`."
            remarks.append(Remark("warning", text, cure))
    return remarks


def _remove(containers: Sequence[str], why: str) -> tuple[Step, ...]:
    params = {"containers": list(containers)}
    names = ", ".join(item[:12] for item in containers)
    return (
        Step(
            f"remove-{containers[0][:12]}",
            f"Remove {names}",
            "remove-leftovers",
            params,
            why,
        ),
    )


def unfinished_files(instance: Instance) -> list[Path]:
    """Files that stand beside the one they were to become, of a writer that was killed."""
    names = (instance.env_file, instance.sealed_env_file, instance.compose_file)
    return [path for name in names if (path := unfinished(name)).exists()]


async def kept(ground: Ground) -> Sequence[Remark]:
    """The version that `rollback` goes to is on this host, under a name that no prune takes."""
    values, found = (await ground.env()).values, await ground.found()
    order = rollback_order(history(ground.instance), values.get("AGENTS_IMAGE", ""))
    if not order:
        return [Remark("ok", "no other version was seen healthy here yet, so there is none to keep")]
    entry = order[0]
    engine = await ground.engine()
    image = await engine.image(entry.image or entry.reference)
    if image is None:
        text = f"{entry.version}, which `disinto rollback` goes to, is not on this host: that would need its registry"
        return [Remark("warning", text, f"docker pull {entry.reference}")]
    name = f"{KEEP_REPOSITORY}/{found.name}:"
    if not any(tag.startswith(name) for tag in image.tags):
        params = {"images": [image.id], "reference": entry.reference}
        step = Step(
            "keep",
            f"Keep {entry.version}",
            "keep-image",
            params,
            f"{entry.version} gets a name of ours, so that no prune takes it",
        )
        text = f"{entry.version}, which `disinto rollback` goes to, has no name of ours: a prune may take it"
        return [Remark("warning", text, "disinto doctor kept --fix", (step,))]
    return [Remark("ok", f"{entry.version} is here to go back to, offline too")]


async def journal(ground: Ground) -> Sequence[Remark]:
    """No run stands half-way, no dead process holds the instance, and every run can be read."""
    instance = ground.instance
    remarks: list[Remark] = []
    holder = describe(instance)
    if holder.state == "left":
        remarks.append(Remark("problem", holder.words, "disinto unlock"))
    elif holder.state == "unknown":
        remarks.append(Remark("warning", holder.words, f"disinto unlock {holder.name or 'unknown'}"))
    remarks += [_unread(run) for run in list_runs(instance) if not _readable(run)]
    if not remarks and holder.state != "busy":
        run = unfinished_run(instance)
        if run is not None:
            text = f"“{run.plan().title}” stopped half-way"
            remarks.append(Remark("problem", text, "disinto resume, or disinto resume --undo"))
    fine = (
        "a run is at work here"
        if holder.state == "busy"
        else "no run stands half-way, nobody holds the instance"
    )
    return remarks or [Remark("ok", fine)]


def _readable(run: RunDir) -> bool:
    try:
        run.plan()
        run.events()
    except (DisintoError, ValueError, KeyError, TypeError, OSError):
        return False
    return True


def _unread(run: RunDir) -> Remark:
    cure = f"mv {quote(str(run.path))} {quote(str(run.path.parent.parent))}/ (nothing else rests on it)"
    return Remark("problem", f"the run {run.id} cannot be read", cure)


async def backups(ground: Ground) -> Sequence[Remark]:
    """What runs replaced is still there, for its owner alone, and does not fill the disk."""
    return backup_remarks(ground.instance, ground.now)


def backup_remarks(instance: Instance, now: float) -> list[Remark]:
    """From the newest runs, whose backups are kept. `now` is unix seconds."""
    remarks: list[Remark] = []
    newest, size, count = 0.0, 0, 0
    open_files: list[Path] = []
    for run in list_runs(instance)[:KEPT_WHOLE]:
        if not _readable(run):
            continue  # told by the journal's own check
        files = [path for path in run.backup.rglob("*") if path.is_file()]
        for path in files:
            about = path.stat()
            newest, size, count = max(newest, about.st_mtime), size + about.st_size, count + 1
            if stat.S_IMODE(about.st_mode) & 0o077:
                open_files.append(path)
        missing = _missing(run)
        if missing:
            text = f"the backup of {', '.join(missing)} that the run {run.id} made is gone: it cannot be taken back"
            remarks.append(Remark("warning", text, "Keep .disinto/ whole, and in your own backup."))
    for path in open_files:
        words = f"{path.relative_to(instance.path)} can be read by others on this host, and may hold secrets"
        item = {
            "path": str(path.relative_to(instance.path)),
            "before": f"{stat.S_IMODE(path.stat().st_mode):o}",
        }
        step = Step(
            f"mode-{item['path']}", f"Close {path.name}", "modes", {"files": [{**item, "mode": "600"}]}, words
        )
        remarks.append(Remark("warning", words, f"chmod 600 {quote(str(path))}", (step,)))
    if size > MUCH_BYTES:
        text = f"backups of {count} files take {size_text(size)}"
        remarks.append(Remark("warning", text, f"Look into {instance.runs}."))
    if remarks:
        return remarks
    if not count:
        return [Remark("ok", "no run replaced a file yet, so there is none")]
    return [
        Remark(
            "ok", f"{count} files as they were, {size_text(size)}, the newest {age_text(now - newest)} old"
        )
    ]


def _missing(run: RunDir) -> list[str]:
    """Files that a run changed and whose old content is not there any more. Only where it would be needed: the
    newest state that it can be taken back from."""
    if run_status(run) != "done":
        return []
    changed = {
        str(item["path"])
        for step in run.plan().steps
        if step.op == "files"
        for item in step.params.get("files") or ()
        if item.get("before") and item.get("before") != item.get("after")
    }
    return sorted(path for path in changed if not (run.backup / path).exists())
