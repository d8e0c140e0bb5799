"""Operations on the engine: the check by Compose, logins, pulls, up, down, health."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import (
    ComposeTarget,
    build_up_command,
    config,
    down_command,
    project_down_command,
    up_command,
)
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.engine_streams import pull
from disinto_tui.adapters.instance import write_private
from disinto_tui.adapters.process import Command, Result, run
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable
from disinto_tui.core.redact import Secret
from disinto_tui.runs.env import env_now
from disinto_tui.runs.health import Patience, is_leftover, service_of, unhealthy, watch
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.runner import Context


def target_of(ctx: Context, params: Mapping[str, Any]) -> ComposeTarget:
    """The compose target of a step: `files`, else the instance's own, or its staged ones for the check before."""
    instance, directory = ctx.instance, str(ctx.instance.path)
    files = list(params.get("files") or [str(path) for path in instance.compose_files()])
    env_file: Path | None = instance.env_file
    if params.get("staged"):
        files = [str(_staged_or_real(ctx, instance.compose_file)), *files[1:]]
        env_file = _staged_or_real(ctx, instance.env_file)
    if env_file is not None and not env_file.exists():
        env_file = None
    return ComposeTarget(
        ctx.plan.project,
        directory,
        tuple(files),
        str(env_file) if env_file else None,
        ctx.plan.endpoint,
        tuple(params.get("profiles", ())),
        dict(params.get("variables", {})),
        None if env_file else env_now(instance).sealed_data,
    )


def _staged_or_real(ctx: Context, path: Path) -> Path:
    staged = ctx.run.staged / path.name
    return staged if staged.exists() else path


async def streamed(ctx: Context, command: Command, failed: str, now: str) -> Result:
    """Run a command whose lines are the step's log; its last words tell why when it fails.

    `failed` and `now` are the first and third sentence then. Raises Failed, Unavailable (no engine any more).
    """
    last: list[str] = []

    def keep(stream: str, texts: Any) -> None:
        last.extend(text for text in texts if text.strip())
        del last[:-12]
        ctx.lines(stream, texts)

    result = await run(command, on_lines=keep)
    if not result.ok:
        raise compose_failed(failed, last, now, result.returncode)
    return result


def compose_failed(what: str, last: list[str], now: str, code: int) -> DisintoError:
    """The error for a compose command that failed, told apart by its words."""
    text = "\n".join(last)
    port = re.search(r"(?:Bind for|listen tcp\S*) \S*?:(\d+)\b.*(?:already allocated|already in use)", text)
    if port:
        return Failed(
            what,
            f"The port {port[1]} is taken by another program.",
            "Free it, or choose another in `[factory.ports]`; then try again.",
            code="port.taken",
            details=last,
        )
    name = re.search(r'container name "/?([^"]+)" is already in use', text)
    if name:
        return Failed(
            what,
            f"Another container is called {name[1]}.",
            f"Look at it with `docker inspect {name[1]}`; rename or remove it, then try again.",
            code="name.taken",
            details=last,
        )
    if "no space left on device" in text:
        return Failed(what, "The disk of the engine is full.", now, code="disk.full", details=last)
    if "error during connect" in text or "Cannot connect to the Docker daemon" in text:
        return Unavailable(
            what, "The Docker Engine went away meanwhile.", now, code="engine.down", details=last
        )
    why = last[-1].strip().rstrip(".") if last else "nothing"
    return Failed(
        what, f"Compose ended with {code} and says: {why}.", now, code="compose.failed", details=last
    )


class CheckCompose:
    """Compose itself must accept the files, every profile included, before they replace anything."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Always asked."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """`docker compose config` over the staged files. Raises Failed."""
        data = await config(target_of(ctx, {**params, "staged": True}))
        ctx.say(f"docker compose config: {len(data.get('services', {}))} services, every profile included")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None


class RegistryLogin:
    """`host`, `user`: hand a registry password to Docker by standard input. Docker stores it, we never do."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Whether Docker has a login already, when no password was handed to this run."""
        from disinto_tui.adapters.dockerconfig import DockerConfig

        if "REGISTRY_PASSWORD" in ctx.secrets:
            return None
        stored = await DockerConfig.load().credential(params["host"])
        return f"Docker has a login for {params['host']}." if stored is not None else None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """`docker login --password-stdin`. Raises BadInput, Failed."""
        from disinto_tui.adapters.dockerconfig import docker_login_command

        password = ctx.secrets.get("REGISTRY_PASSWORD")
        if password is None:
            raise BadInput(
                f"The password for {params['host']} is not known any more.",
                "It is never written down, and this run was begun again without it.",
                f"Run `docker login {params['host']}`, then `disinto resume`.",
                code="registry.password",
            )
        command = docker_login_command(params["host"], params["user"], Secret(password))
        await streamed(ctx, command, "The registry login failed.", "Check user and password, then try again.")
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The login stays: other things on this host may use it by now."""
        return f"The login for {params['host']} stays; `docker logout {params['host']}` removes it."


class PullImages:
    """`images`: [{"reference", "digest", "pin"}]: pull what is not here, by digest where one was resolved.

    `pin`, where one is given, is what a container is going to be started by: with a digest in it, the engine must have
    a record of that for this very repository (another repository's record of the same image is not enough, observed).
    """

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Every image is here, with the digest that was resolved."""
        engine = Engine(ctx.plan.endpoint)
        for item in params["images"]:
            if not await _can_start(engine, item):
                return None
        return "Every image is here."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pull, one image after another, reporting bytes a layer. Raises Failed, Unavailable."""
        engine = Engine(ctx.plan.endpoint)
        for item in params["images"]:
            reference, digest = item["reference"], item.get("digest", "")
            if await _can_start(engine, item):
                ctx.say(f"{reference}: here")
                continue
            await self._pull(ctx, engine, reference, digest)
        return {}

    async def _pull(self, ctx: Context, engine: Engine, reference: str, digest: str) -> None:
        name = reference.split("@", maxsplit=1)[0]
        repository, _, tag = name.rpartition(":")
        named = repository and "/" not in tag
        if not named:
            repository, tag = name, "latest"
        wanted = f"{repository}@{digest}" if digest else f"{repository}:{tag}"
        ctx.say(f"pulling {wanted}")

        def report(layer: str, current: int, total: int, word: str) -> None:
            if layer:
                unit = "" if total == 1 else "B"
                ctx.progress(f"{name} {layer}", current, total, word, unit)
            elif word and not word.startswith("Pulling from"):
                ctx.say(f"{name}: {word}")

        await pull(engine, wanted, report)
        image = await engine.image(wanted)
        if image is None:
            raise Failed(
                f"{wanted} is not here after its pull.",
                "The engine ended the pull early and did not say why.",
                "Look at the engine (`docker info`), then run it again; what was there is untouched.",
                code="pull.failed",
            )
        if digest and (named or "@" not in reference):
            # Compose is given the tag; a pull by digest leaves the image without one (observed).
            await engine.tag(image.id, repository, tag)

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Images stay: they harm nobody, and the next try needs them."""
        return "Pulled images stay."


async def _can_start(engine: Engine, item: Mapping[str, Any]) -> bool:
    here = await image_is_here(engine, item["reference"], item.get("digest", ""))
    pin = str(item.get("pin", ""))
    return here and ("@" not in pin or await engine.image(pin) is not None)


async def image_is_here(engine: Engine, reference: str, digest: str) -> bool:
    """Whether the engine has the image, and, when a digest was resolved, that very one under that name."""
    image = await engine.image(reference)
    return image is not None and (not digest or any(item.endswith("@" + digest) for item in image.digests))


class Up:
    """`docker compose up` for the instance. `fresh`: nothing ran before, so undo may take all down. `services`: these
    alone, whatever their profiles."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Compose itself knows best; asking it costs a tenth of a second."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create and start. Leftovers of an interrupted recreate are removed first. Raises Failed."""
        await remove_leftovers(ctx)
        target = target_of(ctx, params)
        if params.get("image_services"):
            extra = _image_override(ctx, params["image_services"], params["variables"]["AGENTS_IMAGE"])
            target = replace(target, files=(*target.files, extra))
        named = list(params.get("services", ()))
        command = build_up_command(target) if params.get("build") else up_command(target, named)
        # Never cut short: an interrupted recreate leaves the old container stopped (observed).
        await asyncio.shield(
            streamed(ctx, command, "The stack did not start.", "Mend what it names, then `disinto resume`.")
        )
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Take down what this run started, when nothing ran before; volumes stay."""
        if not params.get("fresh"):
            return "What runs stays as it is."
        directory = str(ctx.instance.path)
        command = project_down_command(ctx.plan.project, directory, ctx.plan.endpoint)
        await streamed(ctx, command, "The stack could not be taken down.", "Try `disinto down`.")
        return "Containers and network removed; volumes stay."


def _image_override(ctx: Context, services: list[str], reference: str) -> str:
    """A further compose file that turns build-mode services to an image, for this one start."""
    path = ctx.run.path / "one-off.yml"
    lines = ["services:"]
    for service in services:
        lines += [f"  {service}:", f"    image: {json.dumps(reference)}", "    build: !reset null"]
        lines += ["    pull_policy: never"]
    write_private(path, ("\n".join(lines) + "\n").encode())
    return str(path)


async def remove_leftovers(ctx: Context) -> None:
    """Remove `<12 hex>_name` containers that an interrupted recreate left in state created (facts: 3.5)."""
    engine = Engine(ctx.plan.endpoint)
    for inspect in await engine.containers(ctx.plan.project):
        if is_leftover(inspect):
            await engine.remove_container(str(inspect["Id"]))
            name = str(inspect.get("Name", "")).lstrip("/")
            ctx.say(f"removed {name}, left over from an interrupted recreate")


class RestoreRunning:
    """Does nothing; its undo starts what runs from the files as they are by then, which are the old ones."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing to look at."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing to do."""
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """`up` from the files that were put back. Raises Failed."""
        target = target_of(ctx, params)
        data = await config(target)
        building = any("build" in item for item in (data.get("services") or {}).values())
        command = build_up_command(target) if building else up_command(target)
        now = "Mend what it names, then `disinto up`."
        await asyncio.shield(streamed(ctx, command, "What ran before did not start.", now))
        return "What ran before runs again."


class RemoveServices:
    """`services`: stop and remove the containers of services that are gone from the config; volumes stay."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """They have no container."""
        return None if await self._containers(ctx, params) else "They have no container."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """By id, each on its own: never `--remove-orphans`."""
        engine = Engine(ctx.plan.endpoint)
        for inspect in await self._containers(ctx, params):
            identity = str(inspect["Id"])
            await engine.call(lambda client, one=identity: client.stop(one))  # type: ignore[misc]
            await engine.remove_container(identity)
            ctx.say(f"removed {str(inspect.get('Name', '')).lstrip('/')}")
        return {}

    async def _containers(self, ctx: Context, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = await Engine(ctx.plan.endpoint).containers(ctx.plan.project)
        return [item for item in found if service_of(item) in params["services"]]

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """The old files bring them back."""
        return None


class WaitHealthy:
    """`services`, `timeout` (s): wait until each is healthy, judged by ourselves. `ill`: those that were not before,
    and may stay so."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Always looked at: healthy is observed, not assumed."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Watch. Raises Failed with the last lines of the first service that did not come up."""
        engine = Engine(ctx.plan.endpoint)
        services = list(params["services"])
        done = 0

        def tell(verdict: Any) -> None:
            nonlocal done
            ctx.say(f"{verdict.service}: {verdict.words}")
            if verdict.good:
                done += 1
                ctx.progress("services", done, len(services), verdict.service, "")

        verdicts = await watch(
            engine,
            ctx.plan.project,
            services,
            timeout=float(params["timeout"]),
            on_change=tell,
            patience=Patience(ctx.say),
        )
        for verdict in verdicts:
            if not verdict.good and verdict.service in params.get("ill", ()):
                ctx.say(f"{verdict.service} {verdict.words}, and did not come up before either")
            elif not verdict.good:
                failure = await unhealthy(engine, ctx.plan.project, verdict)
                ctx.say(*failure.details)
                raise failure
        unverified = [verdict.service for verdict in verdicts if not verdict.verified]
        documents = await engine.containers(ctx.plan.project)
        images = {service_of(item): str(item["Image"]) for item in documents}
        agents = next((images[name] for name in services if is_agents_service(name) and name in images), "")
        return {"watched": services, "image_id": agents, "unverified": unverified}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None


class Down:
    """Stop and remove containers and networks, every profile; volumes and files stay."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing of the project runs or lies about."""
        found = await Engine(ctx.plan.endpoint).containers(ctx.plan.project)
        return None if found else "No container of this project is there."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """`down`, from the compose file, or from the labels alone when that cannot be read. Raises Failed."""
        by_labels = params.get("by_labels")
        directory = str(ctx.instance.path)
        command = (
            project_down_command(ctx.plan.project, directory, ctx.plan.endpoint)
            if by_labels
            else down_command(target_of(ctx, params))
        )
        what, now = "The stack could not be taken down.", "Mend what it names, then `disinto resume`."
        await asyncio.shield(streamed(ctx, command, what, now))
        return {}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Going back means `disinto up`."""
        return "`disinto up` starts it again."
