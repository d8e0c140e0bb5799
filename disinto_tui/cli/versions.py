"""`versions`."""

from __future__ import annotations

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import DisintoError, ExitCode


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Other tags too (latest, branches, digests).")
@click.option("-n", "--limit", default=20, show_default=True, help="How many; 0 is all.")
@session_options()
def versions(session: Session, everything: bool, limit: int) -> int:
    """The versions there are, newest first: in the registry, on this host, running here."""
    from disinto_tui.adapters.engine import Engine, find_endpoint
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.lifecycle import repository_of
    from disinto_tui.runs.observe import observe, read_env
    from disinto_tui.runs.versions import list_versions

    async def work() -> ExitCode:
        instance = Instance.at(session.directory)
        repository = repository_of(instance, read_env(instance))
        endpoint = await find_endpoint()
        view = await observe(instance, endpoint=endpoint)
        engine = None if view.engine_error else Engine(endpoint)
        found = await list_versions(
            repository, engine=engine, pinned=view.pinned_version, running=view.running_versions
        )
        rows = [row for row in found.rows if everything or row.kind != "other"]
        hidden = len(found.rows) - len(rows)
        if session.output.as_json:
            session.output.document(
                {
                    "repository": found.repository,
                    "versions": [row.to_json() for row in rows],
                    "hidden": hidden,
                    "error": found.error.to_json() if found.error else None,
                }
            )
        else:
            for row in rows[: limit or None]:
                words = [
                    word
                    for word, true in (
                        ("● running", row.running),
                        ("pinned", row.pinned),
                        ("newest", row.newest),
                        ("local", row.local and not row.running),
                    )
                    if true
                ]
                kind = "" if row.kind == "release" else row.kind
                session.output.data(f"{row.tag:<20} {kind:<12} {', '.join(words)}".rstrip())
            if limit and len(rows) > limit:
                session.output.say(f"… {len(rows) - limit} more (-n 0 shows all)")
            if hidden:
                session.output.say(f"{hidden} other tags hidden (--all shows them)")
        if isinstance(found.error, DisintoError):
            if not session.output.as_json:
                session.output.error(found.error)
            return found.error.exit_code
        return ExitCode.DONE

    return wait_for(work())
