"""What each secret of a release may do, asked of whoever will be given it, and nothing changed by asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from disinto_tui.adapters import github
from disinto_tui.adapters.credentials import Held, Source
from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.adapters.git import Login
from disinto_tui.adapters.git_access import Access, push_access
from disinto_tui.adapters.host import is_loopback
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, StaticCredentials
from disinto_tui.core.errors import DisintoError, Unavailable
from disinto_tui.core.expiry import expiry_cure, expiry_text, severity_of
from disinto_tui.core.image import parse_image
from disinto_tui.core.redact import Secret
from disinto_tui.runs.credentials import FoundCredential, Gathered, Need
from disinto_tui.runs.expiries import remember
from disinto_tui.runs.ops_tags import login_of
from disinto_tui.runs.release_checks import NO_USER, Finding, Severity, push_cure
from disinto_tui.runs.versions import open_registry

_NEW = "Make a new one and put it in the place of the old; `disinto docs credentials` says how."
_PUT = "`disinto docs credentials` says how to make it, and where to put it."
_WEIGHT: Mapping[Severity, int] = {"ok": 0, "warning": 1, "problem": 2}


@dataclass
class _Verdict:
    """What was learnt of one credential, collected. The heaviest remark's cure counts."""

    name: str
    source: Source = "none"
    where: str = ""
    user: str = ""
    may_push: bool | None = None
    expires: float | None = None
    severity: Severity = "ok"
    texts: list[str] = field(default_factory=list)
    cure: str = ""
    unanswered: bool = False

    def add(self, severity: Severity, text: str, cure: str = "") -> None:
        """One more remark."""
        self.texts.append(text.rstrip("."))
        if _WEIGHT[severity] > _WEIGHT[self.severity]:
            self.severity, self.cure = severity, cure
        elif cure and not self.cure:
            self.cure = cure

    def error(self, error: DisintoError, about: str) -> None:
        """Something that could not be asked; what did not answer at all is no verdict on the credential."""
        silent = isinstance(error, Unavailable)
        self.unanswered = self.unanswered or silent
        self.add("warning" if silent else "problem", f"{about}: {error.what} {error.why}", error.now)

    def of(self, need: Need) -> FoundCredential:
        """The whole, as readers get it."""
        where = f" ({self.where})" if self.where else ""
        finding = Finding(
            "credential", self.severity, f"{self.name}{where}: {'; '.join(self.texts)}.", self.cure
        )
        return FoundCredential(
            self.name,
            need.purpose,
            need.place,
            self.source,
            self.where,
            self.user,
            self.may_push,
            self.expires,
            finding,
            self.unanswered,
        )


class Judge:
    """Asks registry, GitHub, mirrors and forge about what was gathered, all at once.

    `engine` says which registries are spoken to without TLS; `user` is the one the operator named for the push
    credential; `api` is GitHub's API. `now` is unix seconds.
    """

    def __init__(
        self,
        gathered: Gathered,
        engine: Engine,
        user: str = "",
        *,
        api: str | None = None,
        now: float | None = None,
    ) -> None:
        self._gathered, self._engine, self._user, self._api = gathered, engine, user, api
        self._now = time.time() if now is None else now
        self._facts: dict[Secret, asyncio.Task[github.TokenFacts]] = {}

    async def needed(self, *, try_push: bool = True) -> tuple[FoundCredential, ...]:
        """The push credential and the mirrors'. Without `try_push` the registry is not asked: preflight does that."""
        work = [
            self._push(need, held, try_push) if need.purpose == "push" else self._mirror(need, held)
            for need, held in self._gathered
        ]
        return tuple(await asyncio.gather(*work))

    async def everything(
        self, forge: str, repository: str, token: Secret | None
    ) -> tuple[FoundCredential, ...]:
        """Those of `needed`, and the forge's token."""
        needed, of_forge = await asyncio.gather(self.needed(), self._forge(forge, repository, token))
        return (*needed, of_forge)

    # -- one by one --------------------------------------------------------------------------------------

    async def _push(self, need: Need, held: Held | None, try_push: bool) -> FoundCredential:
        verdict = _Verdict(need.names[0] if need.names else "docker login")
        trouble = next((e for name in need.names if (e := self._gathered.finder.unusable(name))), None)
        if held is None and trouble is not None:
            verdict.add("problem", f"{trouble.what} {trouble.why}", trouble.now)
            return verdict.of(need)
        login: Credential | None
        stored = DockerConfig.load()
        if held is not None:
            verdict.source, verdict.where = held.source, held.place
            login = Credential(self._user or NO_USER, held.value, name=held.name)
        else:
            login = await stored.credential(need.url)
            if login is not None:
                verdict.name, verdict.source, verdict.where = "docker login", "docker", login.origin
        verdict.user = self._user if held is not None else login.username if login is not None else ""
        asks = [self._github(verdict, need, login.secret)] if login is not None and not login.identity else []
        if try_push:
            source: CredentialSource = StaticCredentials({need.url: login}) if login is not None else stored
            asks.append(self._registry(verdict, need, source))
        elif login is None:
            # No verdict: an open registry wants none, and preflight's own look at it says whether this one does.
            verdict.add("ok", f"it was found nowhere, and Docker has no login for {need.url}", _PUT)
        await asyncio.gather(*asks)
        if held is None and (remark := self._passed_over(need)):
            verdict.add("warning", remark)
        if remark := stored.remark(need.url) if held is None else "":
            verdict.add("warning", remark)
        if not verdict.texts:
            verdict.add("ok", f"goes to {need.place}")
        return verdict.of(need)

    def _passed_over(self, need: Need) -> str:
        """Said when a GitHub token lies about that is not shown to this registry."""
        finder = self._gathered.finder
        name = next((name for name in need.names if finder.seen(name) is not None), "")
        return f"{name} is a token of GitHub and is not sent to {need.url}" if name else ""

    async def _registry(self, verdict: _Verdict, need: Need, source: CredentialSource) -> None:
        repository = parse_image(need.place).repository
        try:
            async with await open_registry(need.url, self._engine, source) as client:
                verdict.may_push = await client.can_push(repository)
        except DisintoError as error:
            verdict.error(error, f"whether it may push to {need.place} could not be asked")
            return
        if verdict.may_push and verdict.source == "none":
            verdict.texts.insert(0, f"is not needed, {need.url} takes pushes without a login")
        elif verdict.may_push:
            verdict.texts.insert(0, f"may push to {need.place}")
        elif verdict.source == "none":
            verdict.add("problem", f"it was found nowhere, and {need.url} wants a login", _PUT)
        else:
            sent_as = self._user if verdict.source != "docker" else verdict.user
            cure = f"{push_cure(need.url, sent_as)} {_PUT[:1].upper()}{_PUT[1:]}"
            verdict.add("problem", f"{need.url} does not let it push to {need.place}", cure)

    async def _github(self, verdict: _Verdict, need: Need, token: Secret) -> None:
        """What GitHub says, when it is GitHub's token."""
        host = need.url if need.purpose == "push" else (urlsplit(need.url).hostname or "")
        text, at_home = token.reveal(), github.is_github_host(host)
        if not at_home and not github.is_github_token(text):
            return
        try:
            facts = await self._told(token)
        except DisintoError as error:
            # It decides nothing: the registry has the last word on whether the token is good.
            verdict.add("warning", f"when it expires is not known: {error.what} {error.why}")
            verdict.unanswered = True
            return
        verdict.user, verdict.expires = verdict.user or facts.login, facts.expires
        if not facts.valid:
            verdict.add("problem", "GitHub does not know it: it expired, was revoked, or is mistyped", _NEW)
            return
        pushes = need.purpose == "push" and at_home
        if pushes and github.is_fine_grained(text):
            verdict.add("problem", f"it is a fine-grained token, and {host} takes classic ones alone", _NEW)
        elif pushes and facts.scopes is not None and github.PUSH_SCOPE not in facts.scopes:
            has = ", ".join(sorted(facts.scopes)) or "no scope"
            verdict.add("problem", f"it has {has}, and not {github.PUSH_SCOPE}", _NEW)
        if facts.expires is None:
            verdict.add("ok", "does not expire")
            return
        told, cure = expiry_text(facts.expires, self._now), expiry_cure(facts.expires, self._now)
        verdict.add(severity_of(facts.expires, self._now), told, cure)

    async def _told(self, token: Secret) -> github.TokenFacts:
        """GitHub is asked once for each token, however many needs it has."""
        if token not in self._facts:
            api = self._api or github.api_url()
            self._facts[token] = asyncio.create_task(github.token_facts(token, api=api))
        return await self._facts[token]

    async def _mirror(self, need: Need, held: Held | None) -> FoundCredential:
        verdict = _Verdict(need.names[0] if need.names else "ssh keys")
        if need.over_ssh:
            verdict.name, verdict.where = "ssh keys", "your own"
            verdict.add("ok", f"{need.place} is reached with them, and is not asked beforehand")
            return verdict.of(need)
        trouble = next((e for name in need.names if (e := self._gathered.finder.unusable(name))), None)
        if held is None and trouble is not None:
            verdict.add("problem", f"{trouble.what} {trouble.why}", trouble.now)
            return verdict.of(need)
        if held is not None:
            verdict.name, verdict.source, verdict.where = held.name, held.source, held.place
        secrets = {held.name: held.value.reveal()} if held is not None else {}
        login = login_of(need.key, need.url, secrets)
        asks = [self._asked_mirror(verdict, need, login)]
        if held is not None:
            asks.append(self._github(verdict, need, held.value))
        await asyncio.gather(*asks)
        if held is not None and need.url.startswith("http:") and not is_loopback(need.url):
            cure = "Give the mirror an https URL in the project file."
            verdict.add(
                "warning", f"{need.place} is reached over plain http: it can be read on the way", cure
            )
        return verdict.of(need)

    async def _asked_mirror(self, verdict: _Verdict, need: Need, login: Login | None) -> None:
        try:
            access = await push_access(need.url, login)
        except DisintoError as error:
            verdict.error(error, f"whether it may push to {need.place} could not be asked")
            return
        verdict.may_push = None if access == "unclear" else access == "may push"
        said, cure = _of_mirror(access, need, login is not None)
        severity: Severity = (
            "ok" if verdict.may_push else "warning" if verdict.may_push is None else "problem"
        )
        verdict.add(severity, said, cure)

    async def _forge(self, forge: str, repository: str, token: Secret | None) -> FoundCredential:
        need = Need("forge", ("FORGE_TOKEN",), f"{repository} on the forge", forge, repository)
        verdict = _Verdict("FORGE_TOKEN")
        if token is None:
            verdict.add(
                "problem", "the factory's environment file has none", "Put the forge's token into it."
            )
            return verdict.of(need)
        verdict.source, verdict.where = "file", "the factory's environment file"
        try:
            async with ForgeClient(forge, token) as client:
                user, repo = await client.whoami(), await client.repo(repository)
        except DisintoError as error:
            verdict.error(error, "the forge could not be asked about it")
            return verdict.of(need)
        verdict.user, verdict.may_push = user.login, repo is not None and repo.push
        if verdict.may_push:
            verdict.add("ok", f"{user.login} may make tags in {repository}")
        else:
            cure = "Give that user the right to write there, or put another token into the environment file."
            verdict.add(
                "problem", f"{user.login} may not make tags in {repository}, or does not see it", cure
            )
        return verdict.of(need)


def _of_mirror(access: Access, need: Need, with_login: bool) -> tuple[str, str]:
    """What a mirror's answer means to an operator, and the cure."""
    names = " or ".join(need.names)
    if access == "may push":
        return (f"may push to {need.place}" if with_login else f"is not needed by {need.place}"), ""
    if access == "no login" and not with_login:
        return f"{need.place} wants a login, and {names} is found nowhere", _PUT
    if access == "no login":
        return f"{need.place} does not know it: it expired, was revoked, or is mistyped", _NEW
    if access == "denied":
        return (
            f"{need.place} does not let it push there",
            "Give its user the right to write there, or another token.",
        )
    if access == "missing":
        cure = "Look at the URL in [mirrors], and whether the token's user may see that repository."
        return f"{need.place} is not there, or may not be seen", cure
    return f"{need.place} does not say whether it may push there", ""


async def preflight_findings(gathered: Gathered, engine: Engine, user: str) -> list[Finding]:
    """What preflight says of the secrets, beside what it asks registry and forge itself. A mirror holds up no release
    beforehand: what is wrong with one is a warning here, and the step that pushes to it has the last word."""
    found = await Judge(gathered, engine, user).needed(try_push=False)
    remember(Instance.at(gathered.finder.directory), found)
    return [
        replace(item.finding, severity="warning")
        if item.purpose == "mirror" and item.finding.severity == "problem"
        else item.finding
        for item in found
    ]
