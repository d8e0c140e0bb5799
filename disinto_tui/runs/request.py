"""Plan a request for approval: a release as an action of the ops repository, filed as a pull request.

    prepared = await plan_request(RequestWanted(instance, "v0.4.0"))
    prepared.plan, prepared.findings, prepared.action, prepared.text

Looks at everything, and tells every problem at once; nothing is changed by looking. Where it stands afterwards is
`request_state.request_state`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from disinto_tui.adapters.forge import ForgeClient, ForgeUser
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import REQUEST
from disinto_tui.core.action import (
    GENERATIONS,
    OLD,
    Action,
    action_text,
    branch_of,
    check_action,
    read_action,
    refuse_bad_id,
    refuse_collision,
    release_id,
    result_path,
)
from disinto_tui.core.approval import approvals_text
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.model import Project
from disinto_tui.core.plan import FileChange, Plan, Step
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import Version
from disinto_tui.runs.credentials import PUSH_SECRET, project_of
from disinto_tui.runs.env import load_env
from disinto_tui.runs.generation import FactoryCode, look_at_factory
from disinto_tui.runs.ops_repository import (
    Protection,
    file_at,
    login_in,
    protection_of,
    pulls_from,
    repository,
    tip_of,
)
from disinto_tui.runs.ops_request import Filing
from disinto_tui.runs.ops_tags import tagged_commit
from disinto_tui.runs.release_checks import Finding, NotReady, Severity

FORMULA = "release"


@dataclass(frozen=True, slots=True)
class RequestWanted:
    """What the operator asked for.

    `secret` is the push credential's name in the action. `generation` ("vault", "action-vault") is said where it
    cannot be seen, "" looks. `protect` allows to set what is missing of the branch's protection. `id` is another id
    than the usual one.
    """

    instance: Instance
    version: str
    secret: str = PUSH_SECRET
    generation: str = ""
    protect: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """The plan, what was found, and the action as it will be filed. `generation` is "" when nobody knows it; a run of
    the plan needs no secrets but the factory's own forge token."""

    plan: Plan
    findings: tuple[Finding, ...]
    action: Action
    text: str
    generation: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def refuse_unusual(action_id: str, generation: str) -> None:
    """Raise BadInput for an id or a generation that there cannot be; "" is the usual one."""
    if action_id:
        refuse_bad_id(action_id)
    if generation and generation not in GENERATIONS:
        raise BadInput(
            f"There is no generation {generation}.",
            f"Known are {', '.join(GENERATIONS)}: the folder of the factory's code that holds the validator.",
            "Name one of them, or none to have it looked at.",
            code="request.generation",
        )


async def plan_request(request: RequestWanted) -> PreparedRequest:
    """Look at everything and plan. Raises BadInput, Unavailable, and NotReady with all findings (its code is
    `request.` and the first finding's name: `request.protection`, `request.id`, `request.secrets` …)."""
    version = Version.parse(request.version)
    refuse_unusual(request.id, request.generation)
    action_id = request.id or release_id(version)
    project = project_of(request.instance)
    env = (await load_env(request.instance)).values
    token = env.get("FORGE_TOKEN", "")
    async with ForgeClient(project.forge_url, Secret(token) if token else None) as client:
        look = _Look(request, version, action_id, project, env, client)
        await look.everything()
    look.require()
    return look.prepared()


class _Look:
    def __init__(
        self,
        request: RequestWanted,
        version: Version,
        action_id: str,
        project: Project,
        env: Mapping[str, str],
        client: ForgeClient,
    ) -> None:
        self.request, self.version, self.project, self.env, self.client = (
            request,
            version,
            project,
            env,
            client,
        )
        self.id = action_id
        self.ops, self.code_of = project.ops_repo, project.repo
        self.findings: list[Finding] = []
        self.dangers: list[str] = []
        self.merged = False
        self.sha = ""
        self.free = f"{action_id} is free."

    def find(self, name: str, severity: Severity, text: str, cure: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(name, severity, text, cure))

    async def everything(self) -> None:
        """Ask what depends on nothing at once, then what rests on it."""
        self.user, self.repo = await asyncio.gather(self.client.whoami(), repository(self.client, self.ops))
        self.base = self.repo.default_branch or "main"
        self.protection, self.code, version_file, tagged, self.sha = await asyncio.gather(
            protection_of(self.client, self.ops, self.base, admin=self.repo.admin),
            look_at_factory(self.client, self.env, self.project.repo, FORMULA),
            file_at(self.client, self.code_of, "VERSION", self.project.primary_branch),
            tagged_commit(self.client, self.code_of, self.version.text),
            self._head(),
        )
        self.judge = self._judge()
        self.action, dropped = self._action()
        self.text = action_text(self.action)
        self.rights()
        self.protected()
        self.validated(dropped)
        await self.filed()
        self.released(version_file, tagged)
        self.executor()

    async def _head(self) -> str:
        return await tip_of(self.client, self.code_of, self.project.primary_branch) or ""

    def _judge(self) -> FactoryCode:
        """Whose rules hold: as the operator says, with what was seen of a factory of that very generation."""
        said = GENERATIONS.get(self.request.generation)
        return self.code if said in (None, self.code.generation) else FactoryCode(said)

    def _action(self) -> tuple[Action, list[str]]:
        """The action, and what mirrors would need that the validator refuses."""
        urls = self.project.mirrors.values()
        codeberg = any((urlsplit(url).hostname or "") == "codeberg.org" for url in urls)
        ssh = any(urlsplit(url).scheme not in ("http", "https") for url in urls)
        generation, accepted = self.judge.generation or OLD, self.judge.accepted
        secrets, mounts, dropped = [self.request.secret], [], []
        if codeberg and "CODEBERG_TOKEN" not in secrets:
            if "CODEBERG_TOKEN" in (generation.secrets if accepted is None else accepted):
                secrets.append("CODEBERG_TOKEN")
            else:
                dropped.append("CODEBERG_TOKEN for the mirror on codeberg.org")
        if ssh:
            if generation.mounts is not None:
                mounts.append("ssh")
            else:
                dropped.append("the ssh keys for a mirror")
        context = f"Release {self.version}"
        return Action(self.id, FORMULA, context, tuple(secrets), tuple(mounts)), dropped

    # -- findings --------------------------------------------------------------------------------------------

    def rights(self) -> None:
        """Whether this token's user may file, and who is left to approve."""
        if self.repo.archived:
            self.find("ops", "problem", f"{self.ops} is archived: nothing can be filed.", "Unarchive it.")
        elif not self.repo.push:
            text = f"{self.user.login} may not push to {self.ops}, and so file nothing there."
            self.find("ops", "problem", text, "Give that user the right to write, or another token.")
        else:
            text = f"{self.user.login} may file in {self.ops}, and cannot approve it: somebody else does."
            self.find("ops", "ok", text)

    def protected(self) -> None:
        """Whether the base asks for an approval, and whether it may be made to."""
        found, name = self.protection, f"{self.base} of {self.ops}"
        self.sets = bool(self.request.protect and found.gaps)
        if self.sets and not self.repo.admin:
            text = f"{self.user.login} may not set the protection of {name}: {found.words}."
            cure = "Use the token of an admin of that repository, or have one set it."
            self.find("protection", "problem", text, cure)
        elif self.sets:
            self.find("protection", "warning", f"{name} gets what it lacks: {found.words}.")
            if any(gap.key in ("rule_name", "enable_push") for gap in found.gaps):
                self.dangers.append(
                    f"From then on nobody pushes to {name}: not the agents that keep notes there either, nor an "
                    "executor that pushes its results; whoever has to is put on the rule's push list."
                )
        elif found.essential:
            text = f"{name} would take a request without an approval: {found.words}."
            cure = "Have it set first, along with the request: --protect."
            self.find("protection", "problem", text, cure)
        elif found.gaps:
            text = f"{name} asks for an approval, but: {found.words}."
            self.find("protection", "warning", text, "--protect sets what is missing.")
        elif not found.whole:
            asked = f"{name} asks for {approvals_text(found.approvals)}"
            text = f"{asked}; {self.user.login} may not read the rest of its rule."
            self.find("protection", "ok", text)
        else:
            self.find("protection", "ok", f"{name} asks for {approvals_text(found.approvals)}.")
        self.schedules = found.may_merge or (self.sets and self._gets_to_merge(found))
        if not self.schedules:
            text = f"{self.user.login} may not merge in {self.ops}, so no merge is scheduled."
            self.find("merge", "warning", text, "Whoever approves it merges it, too.")

    def _gets_to_merge(self, found: Protection) -> bool:
        return "enable_merge_whitelist" in {gap.key for gap in found.gaps}

    def validated(self, dropped: Sequence[str]) -> None:
        """Whether the validator of the factory that would execute it accepts the action."""
        generation = self.judge.generation
        if generation is None:
            text = "Which validator will judge it cannot be seen; it is held to the oldest one's rules."
            self.find("generation", "warning", text, "Say it with --generation if a newer one does.")
        else:
            where = self.judge.where or "as said with --generation"
            self.find("generation", "ok", f"It is judged by the validator in {generation.name}/ ({where}).")
        for problem in check_action(self.action, generation, accepted=self.judge.accepted):
            severity: Severity = "problem" if problem.severity == "error" else "warning"
            text = f"{problem.message[0].upper()}{problem.message[1:]}."
            self.find(problem.key, severity, text, f"{problem.hint}." if problem.hint else "")
            if problem.key == "secrets" and severity == "warning":
                self.dangers.append(text)
        for item in dropped:
            self.find("mirrors", "warning", f"Left out, since that validator refuses it: {item}.")
        if self.judge.formula is False:
            text = f"There is no formulas/{FORMULA}.toml in {self.judge.where}; the validator wants it."
            self.find("formula", "problem", text, "Put it there first, or the action is refused.")

    async def filed(self) -> None:
        """Whether something of that name is there already: this request, or another version's."""
        branch = branch_of(self.id)
        there, proposed, result, pulls, tip, head = await asyncio.gather(
            file_at(self.client, self.ops, self.action.path, self.base),
            file_at(self.client, self.ops, self.action.path, branch),
            file_at(self.client, self.ops, result_path(self.id), self.base),
            pulls_from(self.client, self.ops, branch, self.base),
            tip_of(self.client, self.ops, branch),
            tip_of(self.client, self.ops, self.base),
        )
        for data, where in ((there, self.base), (proposed, branch)):
            if data is not None and not self._same(data, f"{where} of {self.ops}"):
                return
        if there is None and proposed is None and tip not in (None, head):
            text = f"There is a branch {branch} in {self.ops} already, with something else on it."
            self.find("id", "problem", text, "Delete it if nobody needs it, or give this one --id.")
            return
        opened = next((item for item in pulls if item.get("state") == "open"), None)
        closed = next(
            (item for item in pulls if item.get("state") != "open" and not item.get("merged")), None
        )
        if result is not None:
            text = f"{self.id} was filed, merged and executed already."
            cure = (
                f"See `disinto requests {self.id}`; to have it executed again, remove {result_path(self.id)}."
            )
            self.find("id", "problem", text, cure)
        elif there is not None:
            self.merged = True
            text = f"{self.id} is filed and merged already, and no execution is seen yet."
            self.find("id", "ok", f"{text} `disinto requests {self.id}` tells more.")
        elif opened is not None:
            self.find("id", "ok", f"{self.id} is filed already: pull request {opened['number']}.")
        elif closed is not None:
            by = login_in(closed, "user")
            text = f"Pull request {closed['number']} for it (by {by}) was closed without a merge; it is filed anew."
            self.find("id", "warning", text)
            self.dangers.append(text)
        else:
            self.find("id", "ok", self.free)

    def _same(self, data: bytes, where: str) -> bool:
        if data == self.text.encode():
            return True
        other = read_action(data, self.action.path).action
        try:
            if other is not None:
                refuse_collision(self.action, other, where)
        except Refused as error:
            self.find("id", "problem", f"{error.what} {error.why}", error.now)
            return False
        text = f"{self.action.path} is in {where} already, and says something else."
        self.find("id", "problem", text, "Look at it; give this request another name with --id.")
        return False

    def released(self, version_file: bytes | None, tagged: str) -> None:
        """What an executor looks at before it begins."""
        branch = self.project.primary_branch
        if tagged and self.merged:
            self.find("tag", "ok", f"The tag {self.version} is in {self.code_of}: somebody began.")
        elif tagged:
            text = f"The tag {self.version} is in {self.code_of} already, at {tagged[:12]}; executors then refuse."
            self.find("tag", "problem", text, "Request the next version.")
        if version_file is not None:
            says, number = version_file.decode(errors="replace").strip()[:40], self.version.text[1:]
            if says != number:
                text = f"VERSION on {branch} says {says!r}, not {number}; newer executors then refuse."
                self.find("version file", "warning", text, "Merge the new VERSION before this is approved.")

    def executor(self) -> None:
        """Whether there is anybody here who would execute what is approved."""
        if not self.project.factory.images.edge:
            text = "The edge of this factory is a plain Caddy: nothing here executes what is approved."
            cure = f"Once it is merged, `disinto release {self.version}` does it on this host."
            self.find("executor", "warning", text, cure)

    # -- outcome ---------------------------------------------------------------------------------------------

    def require(self) -> None:
        """Raise NotReady, with every finding, when one is a problem."""
        first = next((item for item in self.findings if item.severity == "problem"), None)
        if first is not None:
            code = f"request.{first.name.replace(' ', '_')}"
            raise NotReady("The request cannot be filed.", self.findings, code=code)

    def prepared(self) -> PreparedRequest:
        """The plan: nothing is left to do for a request that is merged."""
        generation = self.judge.generation
        filing = Filing(
            self.project.forge_url,
            self.ops,
            self.base,
            branch_of(self.id),
            self.id,
            self.version.text,
            self.action.path,
            self.text,
            f"release: {self.version}",
            self._body(),
        )
        steps = () if self.merged else self._steps(filing)
        worth = [
            item
            for item in self.findings
            if (item.severity == "warning" or item.name == "id")
            and item.text not in (*self.dangers, self.free)
        ]
        notes = [f"{item.name}: {item.text} {item.cure}".rstrip() for item in worth]
        diff = "".join(f"+{line}\n" for line in self.text.splitlines())
        change = FileChange(f"{self.ops}: {self.action.path}", "create", diff)
        plan = Plan(
            REQUEST,
            f"Request the release of {self.version} in {self.ops}",
            str(self.request.instance.path),
            self.project.factory.project,
            "",
            steps,
            files=(change,) if steps else (),
            undo="the pull request is closed and its branch deleted, as long as it is not merged; a protection stays",
            dangers=tuple(self.dangers),
            notes=tuple(notes),
            facts={
                "version": self.version.text,
                "id": self.id,
                "forge": filing.forge,
                "repository": self.ops,
                "branch": filing.branch,
                "generation": generation.name if generation else "",
            },
        )
        name = generation.name if generation else ""
        return PreparedRequest(plan, tuple(self.findings), self.action, self.text, name)

    def _body(self) -> str:
        at = f" At the time of filing that was {self.sha}." if self.sha else ""
        secrets = ", ".join(self.action.secrets) or "none"
        mounts = f"\nMounts: {', '.join(self.action.mounts)}" if self.action.mounts else ""
        return (
            f"Vault action: {self.id}\n\nContext: {self.action.context}\nFormula: {FORMULA}\n"
            f"Secrets: {secrets}{mounts}\n\n"
            f"Approving this allows the release: what is executed then tags the head of "
            f"{self.project.primary_branch} of {self.code_of}.{at}\n"
        )

    def _steps(self, filing: Filing) -> tuple[Step, ...]:
        name, params = f"{filing.base} of {filing.repository}", filing.params()
        protection = {**params, "set": self.sets, "mergers": _mergers(self.user, self.env)}
        what = "Protect" if self.sets else "Look whether an approval is asked for in"
        steps = [
            Step("protection", f"{what} {name}", "request-protection", protection, writes=self.sets),
            Step("branch", f"Make the branch {filing.branch}", "request-branch", params),
            Step("action", f"Commit {filing.path}", "request-file", params),
            Step("pull-request", f"Open the pull request “{filing.title}”", "request-pull", params),
        ]
        if self.schedules:
            title = "Have the forge merge it once it is approved"
            steps.append(Step("schedule", title, "request-merge", params))
        return tuple(steps)


def admins_of(env: Mapping[str, str]) -> list[str]:
    """The users whose approval what executes actions accepts by name (`FORGE_ADMIN_USERS`; facts: 2.6)."""
    named = env.get("FORGE_ADMIN_USERS") or "disinto-admin"
    return [name for name in named.replace(",", " ").split() if name]


def _mergers(user: ForgeUser, env: Mapping[str, str]) -> list[str]:
    # Only those that are said: the forge refuses a list with a name it does not know.
    named = admins_of(env) if env.get("FORGE_ADMIN_USERS") else []
    return list(dict.fromkeys([user.login, *named]))
