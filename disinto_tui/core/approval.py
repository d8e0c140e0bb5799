"""What a forge must ask for before a request is merged, and where a request stands. Pure: JSON in, words out.

The rule is facts 8.5: nobody pushes to the branch, one approval, and only those named merge. Of what a rule lacks,
some makes an approval needless (`essential`), some makes it possible to get round one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

Stage = Literal["open", "approved", "merged", "executed", "result", "closed"]
"""closed: closed without a merge. merged: filed and approved, and executed by nobody yet."""
ORDER: tuple[Stage, ...] = ("open", "approved", "merged", "executed", "result")


# -- branch protection -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing a branch's rule lacks. `key` is the forge's name for it, `essential` whether it makes an approval
    needless."""

    key: str
    words: str
    essential: bool = False


WANTED: Mapping[str, Any] = {
    "enable_push": False,
    "required_approvals": 1,
    "enable_merge_whitelist": True,
    "apply_to_admins": True,
    "block_on_rejected_reviews": True,
    "dismiss_stale_approvals": True,
}
"""What is set where it is missing; `merge_whitelist_usernames` comes from the plan."""

_WORDS = {
    "enable_merge_whitelist": "everybody who may write may merge",
    "apply_to_admins": "admins may go round it",
    "block_on_rejected_reviews": "a rejection does not stop a merge",
    "dismiss_stale_approvals": "an approval outlives a change of what was approved",
}
_OF_THE_RULE_ITSELF = frozenset({"id", "rule_name", "branch_name", "created_at", "updated_at", "priority"})
"""What a rule for one branch does not take over from a wider one (`*`) that held for it: all else may be stricter than
what is wanted (who may approve, protected files, teams)."""


def gaps_of_rule(rule: Mapping[str, Any] | None) -> tuple[Gap, ...]:
    """What a branch's rule lacks; without a rule everything."""
    if rule is None:
        return (Gap("rule_name", "the branch has no protection at all", True),)
    found = []
    if rule.get("enable_push") and not rule.get("enable_push_whitelist"):
        found.append(Gap("enable_push", "everybody who may write pushes to it directly", True))
    if _number(rule.get("required_approvals")) < 1:
        found.append(Gap("required_approvals", "it asks for no approval", True))
    found += [Gap(key, words) for key, words in _WORDS.items() if not rule.get(key)]
    return tuple(found)


def gaps_of_branch(branch: Mapping[str, Any]) -> tuple[Gap, ...]:
    """The same as far as the branch itself tells it, to a token that may not read its rule."""
    if not branch.get("protected"):
        return gaps_of_rule(None)
    found = []
    if branch.get("user_can_push"):
        found.append(Gap("enable_push", "this token's user may push to it directly", True))
    if _number(branch.get("required_approvals")) < 1:
        found.append(Gap("required_approvals", "it asks for no approval", True))
    return tuple(found)


def mended(rule: Mapping[str, Any] | None, branch: str, mergers: Sequence[str]) -> dict[str, Any]:
    """What has to be sent so that the rule of `branch` has no gaps: only what is missing, when the rule is the
    branch's own; a whole rule otherwise. `mergers` are those who may merge from then on, besides those who may."""
    lacking = [gap.key for gap in gaps_of_rule(rule or {})]
    body = {key: WANTED[key] for key in WANTED if key in lacking}
    named = [str(name) for name in (rule or {}).get("merge_whitelist_usernames") or ()]
    if "enable_merge_whitelist" in lacking:
        body["merge_whitelist_usernames"] = list(dict.fromkeys([*named, *mergers]))
    if rule is not None and rule.get("rule_name") == branch:
        return body
    kept = WANTED if rule is None else {key: rule[key] for key in rule if key not in _OF_THE_RULE_ITSELF}
    return {**kept, **body, "rule_name": branch}


def approvals_text(count: int) -> str:
    """`1 approval`, `2 approvals`."""
    return f"{count} approval" if count == 1 else f"{count} approvals"


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


# -- reviews -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reviews:
    """Who approves of a pull request as it is now, and who rejects it."""

    approved_by: tuple[str, ...] = ()
    rejected_by: tuple[str, ...] = ()


def count_reviews(reviews: Iterable[Any]) -> Reviews:
    """Each user's last verdict; what the forge counts not, or nobody should, is left out.

    That is an unofficial or dismissed one, and an approval of something else than is there now (stale). A rejection
    holds up a merge until it is taken back, whatever was changed since.
    """
    verdicts: dict[str, str] = {}
    for item in reviews:
        if not isinstance(item, Mapping):
            continue
        user, state = item.get("user"), item.get("state")
        login = user.get("login") if isinstance(user, Mapping) else None
        if not isinstance(login, str) or state not in ("APPROVED", "REQUEST_CHANGES"):
            continue
        stale = state == "APPROVED" and item.get("stale")
        sound = not stale and not item.get("dismissed") and item.get("official") is not False
        verdicts[login] = str(state) if sound else ""
    return Reviews(
        tuple(login for login, state in verdicts.items() if state == "APPROVED"),
        tuple(login for login, state in verdicts.items() if state == "REQUEST_CHANGES"),
    )


# -- where a request stands --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestState:
    """A request for approval as the forge shows it. Times are unix seconds, 0.0 when not known.

    `scheduled` is whether the forge merges it by itself once it is approved, None when nobody here knows.
    `authorised` is whether what executes actions will find the merge and take it for an admin's word (facts: 8.3),
    None when that cannot be seen. `silent` is whether the factory keeps to itself what it executed (facts: 8.3, its
    first generation), as far as that was known when it was filed from here. `exit_code` is the execution's, `status`
    ("success", "failed") the release's own word, with `where` it was found. `now` says what is to be done, or waited
    for. `warnings` are sentences that need somebody. Foreign text (`context`, `logs`) is not neutralised.
    """

    id: str
    stage: Stage
    version: str = ""
    formula: str = ""
    context: str = ""
    secrets: tuple[str, ...] = ()
    pull: int = 0
    url: str = ""
    author: str = ""
    filed_at: float = 0.0
    approved_by: tuple[str, ...] = ()
    rejected_by: tuple[str, ...] = ()
    approvals_needed: int = 1
    scheduled: bool | None = None
    merged_by: str = ""
    merged_at: float = 0.0
    authorised: bool | None = None
    silent: bool = False
    exit_code: int | None = None
    executed_at: float = 0.0
    logs: str = ""
    status: str = ""
    reference: str = ""
    digest: str = ""
    where: str = ""
    tagged: str = ""
    now: str = ""
    warnings: tuple[str, ...] = ()
    at: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.stage in ("executed", "result", "closed")

    @property
    def good(self) -> bool | None:
        """How it came out; None while nobody knows."""
        if self.stage == "closed" or (self.exit_code or 0) != 0 or self.status == "failed":
            return False
        if self.stage == "result":
            return True if self.status == "success" else None
        return True if self.stage == "executed" and self.exit_code is not None else None

    def reached(self, stage: Stage) -> bool:
        """Whether it got as far as `stage`; a closed one got nowhere."""
        return self.stage in ORDER and ORDER.index(self.stage) >= ORDER.index(stage)

    @property
    def words(self) -> str:
        """One sentence: where it stands."""
        if self.stage == "closed" and self.merged_by:
            return f"Merged by {self.merged_by}, and removed again: it is not executed."
        if self.stage == "closed":
            return "Closed without a merge: it is not executed."
        if self.stage == "open":
            if self.rejected_by:
                return f"Rejected by {_names(self.rejected_by)}."
            return f"Open: {len(self.approved_by)} of {approvals_text(self.approvals_needed)}."
        if self.stage == "approved":
            merges = "the forge merges it by itself" if self.scheduled else "somebody has to merge it"
            return f"Approved by {_names(self.approved_by)}; {merges}."
        if self.stage == "merged":
            begun = f"; the tag {self.version} is there, so somebody began" if self.tagged else ""
            told = "; this factory does not tell what it executed" if self.silent else ", not executed"
            return f"Filed{told}{begun}."
        if self.stage == "executed" and self.exit_code is None:
            return "Executed; its result cannot be read."
        if self.stage == "executed":
            return f"Executed, exit code {self.exit_code}."
        words = {"success": f"{self.reference or self.version} is released", "failed": "The release failed"}
        told = words.get(self.status, "There is a result that says neither success nor failure")
        return f"{told} ({self.where})."

    def to_json(self) -> dict[str, Any]:
        """The state as JSON, with what follows from it."""
        return {**asdict(self), "words": self.words, "over": self.over, "good": self.good}

    def same_as(self, other: RequestState) -> bool:
        """Whether both tell the same, whenever they were looked at."""
        return replace(self, at=0.0) == replace(other, at=0.0)


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def seconds_of(text: object) -> float:
    """A time as APIs write it (RFC 3339) in unix seconds; 0.0 when it is none."""
    if not isinstance(text, str):
        return 0.0
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return found.timestamp() if found.tzinfo is not None else 0.0
