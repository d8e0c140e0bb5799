"""Pushing an image through the engine, with its progress, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.engine_streams import Stream
from disinto_tui.core.errors import DisintoError, Failed, Unavailable

PushProgress = Callable[[str, int, int, str], None]
"""Called with the layer id ("" for the whole image), bytes sent, bytes in all (0 unknown), and a word."""

_PASSING = (
    *(
        "connection refused",
        "connection reset",
        "broken pipe",
        "unexpected eof",
        "i/o timeout",
        "tls handshake",
    ),
    *("no such host", "toomanyrequests", "too many requests", "bad gateway", "gateway timeout"),
    *("service unavailable", "internal server error", "http status: 50", "net/http: request canceled", "eof"),
)


async def push(
    engine: Engine,
    repository: str,
    tag: str,
    progress: PushProgress,
    *,
    auth: Mapping[str, str] | None = None,
) -> str:
    """Push one tag; the manifest's digest as the engine says it ("" when it does not).

    `auth` is username and password for this push alone, handed to the engine in the request; without it the SDK
    uses Docker's own stored login. An error inside the 200 answer is an error here. Raises Failed
    `registry.denied`, `push.missing`, `push.failed`; Unavailable `registry.down`, for which trying again helps.
    """

    def start(client: Any) -> Iterable[dict[str, Any]]:
        events: Iterable[dict[str, Any]] = client.push(
            repository, tag=tag, stream=True, decode=True, auth_config=dict(auth) if auth else None
        )
        return events

    digest = ""
    try:
        async with Stream(engine, start) as stream:
            async for batch in stream:
                for event in batch:
                    digest = _event(event, progress) or digest
    except DisintoError as error:
        raise push_error(f"{repository}:{tag}", " ".join(error.details) or error.why, error) from None
    return digest


def _event(event: Mapping[str, Any], progress: PushProgress) -> str:
    if "error" in event:
        raise Failed("The push failed.", str(event["error"]), "", code="push", details=[str(event["error"])])
    aux = event.get("aux")
    if isinstance(aux, Mapping):
        return str(aux.get("Digest", ""))
    status, layer = str(event.get("status", "")), str(event.get("id", ""))
    if not layer:
        if status:
            progress("", 0, 0, status)
        return ""
    detail = event.get("progressDetail") or {}
    if status in ("Pushed", "Layer already exists") or status.startswith("Mounted from"):
        progress(layer, 1, 1, status)
    else:
        # The daemon counts what it read of the layer unpacked; `total` can be smaller than the end (observed).
        current, total = int(detail.get("current", 0) or 0), int(detail.get("total", 0) or 0)
        progress(layer, min(current, total) if total else current, total, status)
    return ""


def push_error(reference: str, text: str, error: DisintoError | None = None) -> DisintoError:
    """What a failed push means, told apart by the engine's words (shapes observed on 20.10 with docker-registry,
    those of GHCR from its documentation)."""
    low, details = text.lower(), [text.strip()[:500]]
    host = reference.split("/", maxsplit=1)[0]
    if isinstance(error, Unavailable):
        return error
    if "does not exist" in low and ("tag" in low or "image" in low):
        return Failed(
            f"{reference} could not be pushed.",
            "The engine has no image of that name.",
            "Build and tag it first.",
            code="push.missing",
            details=details,
        )
    if any(
        word in low
        for word in ("denied", "unauthorized", "authentication required", "no basic auth", "scope")
    ):
        return Failed(
            f"{reference} could not be pushed.",
            f"{host} does not let this login push there (a token needs the scope write:packages on GHCR).",
            "Hand over a token that may, then `disinto resume`; nothing was changed by this step.",
            code="registry.denied",
            details=details,
        )
    if any(word in low for word in _PASSING):
        return Unavailable(
            f"{reference} could not be pushed.",
            f"{host} did not answer, or broke off.",
            "Try again with `disinto resume`; layers that arrived are not sent again.",
            code="registry.down",
            details=details,
        )
    return Failed(
        f"{reference} could not be pushed.",
        f"The engine says: {text.strip().rstrip('.')}.",
        "Mend what it names, then `disinto resume`.",
        code="push.failed",
        details=details,
    )
