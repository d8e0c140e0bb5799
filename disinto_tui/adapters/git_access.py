"""Whether a login may push to a git server over http: asked the way a push begins, and nothing is sent.

`GET <url>/info/refs?service=git-receive-pack` is the first request of every push (git's http-protocol document); a
server answers it only to those who may.
"""

from __future__ import annotations

import base64
from typing import Literal

from disinto_tui.adapters.git import Login
from disinto_tui.adapters.http import HttpClient, Policy, same_origin

Access = Literal["may push", "no login", "denied", "missing", "unclear"]
"""What the server says to a login: "no login" is a 401, "denied" a 403, "missing" a 404 (also for what may not be
seen); "unclear" is anything else."""

_KIND = "application/x-git-receive-pack-advertisement"
_PATIENCE = Policy(deadline=20.0, connect=8.0, read=12.0, attempts=2, patience=2)


async def push_access(url: str, login: Login | None) -> Access:
    """Ask a server (an http or https URL without a password). Raises Unavailable `mirror.*` when it does not answer,
    BadInput `mirror.url`."""
    headers = {"Accept": "*/*"}
    if login is not None:
        pair = f"{login.user}:{login.password.reveal()}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    asked = f"{url.rstrip('/')}/info/refs?service=git-receive-pack"
    async with HttpClient(area="mirror", peer="The git server", policy=_PATIENCE) as client:
        answer = await client.request("GET", asked, headers=headers, max_bytes=64 << 20)
    if answer.status == 200 and answer.headers.get("content-type", "").partition(";")[0].strip() == _KIND:
        return "may push"
    # Redirected elsewhere, the login was not sent along: git would ask again, so a refusal there says nothing.
    if not same_origin(asked, answer.url):
        return "unclear"
    refusals: dict[int, Access] = {401: "no login", 403: "denied", 404: "missing"}
    return refusals.get(answer.status, "unclear")
