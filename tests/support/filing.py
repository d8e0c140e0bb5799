"""An instance that files requests with a forge double, and the people who approve them."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.request import PreparedRequest, RequestWanted, plan_request
from disinto_tui.runs.runner import execute
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, Pull, Repo

OPS = "acme/shop-ops"
ID = "release-v040"
PATH = f"vault/actions/{ID}.toml"
BRANCH = "release/v040"
TEXT = 'id = "release-v040"\nformula = "release"\ncontext = "Release v0.4.0"\nsecrets = ["GITHUB_TOKEN"]\n'
RULE = {
    "rule_name": "main",
    "enable_push": False,
    "required_approvals": 1,
    "enable_merge_whitelist": True,
    "merge_whitelist_usernames": ["disinto-admin", "dev-bot"],
    "apply_to_admins": True,
    "block_on_rejected_reviews": True,
    "dismiss_stale_approvals": True,
}
LEAD = "c" * 40
"""The token of somebody who may approve and is no admin."""


@dataclass
class Filer:
    """The instance in `directory`, whose token is dev-bot's, and the forge it files with."""

    directory: Path
    forge: ForgeDouble

    @property
    def instance(self) -> Instance:
        return Instance.at(self.directory)

    @property
    def ops(self) -> Repo:
        return self.repo("shop-ops")

    def repo(self, name: str) -> Repo:
        found = self.forge.state.repo("acme", name)
        assert found is not None
        return found

    @property
    def pull(self) -> Pull:
        """The newest pull request."""
        return self.ops.pulls[max(self.ops.pulls)]

    # -- the forge's people ----------------------------------------------------------------------------------

    def ask(self, method: str, path: str, data: object = None, token: str = ADMIN_TOKEN) -> Any:
        request = urllib.request.Request(
            f"{self.forge.url}/api/v1/repos/{OPS}{path}",
            None if data is None else json.dumps(data).encode(),
            {"Content-Type": "application/json", "Authorization": f"token {token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def protect(self, **more: object) -> None:
        self.ask("POST", "/branch_protections", {**RULE, **more})

    def unprotect(self) -> None:
        self.ask("DELETE", "/branch_protections/main")

    def approve(self, token: str = ADMIN_TOKEN, event: str = "APPROVED") -> None:
        self.ask("POST", f"/pulls/{self.pull.number}/reviews", {"event": event}, token)

    def commit(self, path: str, text: str, branch: str = "main", repo: str = "shop-ops") -> None:
        """A file, past every protection: what others did before."""
        self.repo(repo).write(branch, path, text.encode(), "by others")

    # -- the instance ----------------------------------------------------------------------------------------

    def token(self, value: str) -> None:
        (self.directory / ".env").write_text(f"FORGE_TOKEN={value}\n")

    def project(self, more: str = "", **factory: str) -> None:
        lines = [
            'name = "shop"',
            'repo = "acme/shop"',
            f'ops_repo = "{OPS}"',
            f'forge_url = "{self.forge.url}"',
            more,
            "[factory]",
            'forge = "external"',
            "[factory.images]",
            *(f'{name} = "{value}"' for name, value in factory.items()),
        ]
        (self.directory / "projects").mkdir(parents=True, exist_ok=True)
        (self.directory / "projects" / "shop.toml").write_text("\n".join(lines) + "\n")

    async def plan(self, version: str = "v0.4.0", **more: Any) -> PreparedRequest:
        return await plan_request(RequestWanted(self.instance, version, **more))

    async def file(self, version: str = "v0.4.0", **more: Any) -> tuple[RunDir, RunEnded]:
        """Plan and run."""
        run = create_run(self.instance, (await self.plan(version, **more)).plan)
        return run, await self.go(run)

    async def go(self, run: RunDir, *, undo: bool = False) -> RunEnded:
        """Execute (or finish, or take back) a run in this process."""
        await execute(run, self.instance, OPERATIONS, undo=undo)
        ended = run.events()[-1]
        assert isinstance(ended, RunEnded)
        return ended


def new_filer(directory: Path, forge: ForgeDouble) -> Filer:
    """dev-bot's instance; `lead` may write to the ops repository, too."""
    filer = Filer(directory / "factory", forge)
    filer.project(edge="example.com/edge:1")
    filer.token(USER_TOKEN)
    forge.state.add_user("lead", token=LEAD)
    filer.ops.collaborators["lead"] = "write"
    return filer


def step_states_of(run: RunDir) -> dict[str, str]:
    """How each step ended."""
    return {item.step: item.state for item in run.events() if isinstance(item, StepEnded)}
