"""What a branch must ask for, who approves, and where a request stands: from the forge's own JSON."""

from __future__ import annotations

from typing import Any

import pytest

from disinto_tui.core.approval import (
    WANTED,
    RequestState,
    count_reviews,
    gaps_of_branch,
    gaps_of_rule,
    mended,
    seconds_of,
)

WHOLE = {**WANTED, "rule_name": "main", "merge_whitelist_usernames": ["lead"]}


def test_a_rule_as_it_should_be_has_no_gaps() -> None:
    assert gaps_of_rule(WHOLE) == ()
    assert gaps_of_rule({**WHOLE, "required_approvals": 3}) == ()


@pytest.mark.parametrize("key", WANTED)
def test_a_gap_is_named_exactly(key: str) -> None:
    other = {"enable_push": True, "required_approvals": 0}.get(key, False)
    gaps = gaps_of_rule({**WHOLE, key: other})
    assert [gap.key for gap in gaps] == [key]
    assert gaps[0].essential == (key in ("enable_push", "required_approvals"))
    body = mended({**WHOLE, key: other}, "main", ["lead"])
    body.pop("merge_whitelist_usernames", None)
    assert body == {key: WANTED[key]}


def test_a_push_that_only_some_may_do_is_no_gap() -> None:
    rule = {**WHOLE, "enable_push": True, "enable_push_whitelist": True}
    assert gaps_of_rule(rule) == ()


def test_no_rule_is_the_greatest_gap_and_a_whole_rule_is_set() -> None:
    assert [gap.essential for gap in gaps_of_rule(None)] == [True]
    assert mended(None, "main", ["lead"]) == {**WHOLE}


def test_a_pattern_s_rule_is_taken_over_where_it_is_stricter() -> None:
    rule = {
        **WHOLE,
        "rule_name": "*",
        "required_approvals": 2,
        "enable_status_check": True,
        "status_check_contexts": ["ci"],
        "dismiss_stale_approvals": False,
        "enable_approvals_whitelist": True,
        "approvals_whitelist_username": ["lead"],
        "merge_whitelist_teams": ["owners"],
        "protected_file_patterns": "vault/policy.toml",
        "created_at": "2026-04-01T00:00:00Z",
        "id": 7,
    }
    body = mended(rule, "main", ["admin"])
    assert body["rule_name"] == "main"
    assert (body["required_approvals"], body["status_check_contexts"]) == (2, ["ci"])
    assert body["dismiss_stale_approvals"] is True
    assert body["merge_whitelist_usernames"] == ["lead"]
    assert gaps_of_rule(body) == ()
    for key in ("enable_approvals_whitelist", "merge_whitelist_teams", "protected_file_patterns"):
        assert body[key] == rule[key]
    assert not {"id", "created_at"} & body.keys()


def test_what_a_branch_tells_those_who_may_not_read_its_rule() -> None:
    branch: dict[str, Any] = {"protected": True, "required_approvals": 1, "user_can_push": False}
    assert gaps_of_branch(branch) == ()
    assert [gap.key for gap in gaps_of_branch({**branch, "user_can_push": True})] == ["enable_push"]
    assert [gap.key for gap in gaps_of_branch({**branch, "required_approvals": 0})] == ["required_approvals"]
    assert [gap.key for gap in gaps_of_branch({})] == ["rule_name"]


def review(user: str, state: str, **more: bool) -> dict[str, Any]:
    return {"user": {"login": user}, "state": state, "official": True, "stale": False, **more}


@pytest.mark.parametrize(
    ("reviews", "approved", "rejected"),
    [
        ([], (), ()),
        ([review("a", "APPROVED")], ("a",), ()),
        ([review("a", "APPROVED"), review("a", "COMMENT")], ("a",), ()),
        ([review("a", "APPROVED"), review("a", "REQUEST_CHANGES")], (), ("a",)),
        ([review("a", "REQUEST_CHANGES"), review("a", "APPROVED")], ("a",), ()),
        ([review("a", "APPROVED", stale=True)], (), ()),
        ([review("a", "REQUEST_CHANGES", stale=True)], (), ("a",)),
        ([review("a", "REQUEST_CHANGES", dismissed=True)], (), ()),
        ([review("a", "APPROVED", official=False)], (), ()),
        ([review("a", "APPROVED", dismissed=True), review("b", "APPROVED")], ("b",), ()),
        ([None, {}, {"user": None, "state": "APPROVED"}], (), ()),
    ],
)
def test_only_the_last_sound_verdict_of_each_counts(
    reviews: list[Any], approved: tuple[str, ...], rejected: tuple[str, ...]
) -> None:
    found = count_reviews(reviews)
    assert (found.approved_by, found.rejected_by) == (approved, rejected)


@pytest.mark.parametrize(
    ("state", "words", "over", "good"),
    [
        (RequestState("a", "open"), "Open: 0 of 1 approval.", False, None),
        (RequestState("a", "open", rejected_by=("x",)), "Rejected by x.", False, None),
        (
            RequestState("a", "approved", approved_by=("x", "y"), scheduled=True),
            "Approved by x and y; the forge merges it by itself.",
            False,
            None,
        ),
        (
            RequestState("a", "approved", approved_by=("x",)),
            "Approved by x; somebody has to merge it.",
            False,
            None,
        ),
        (RequestState("a", "merged"), "Filed, not executed.", False, None),
        (
            RequestState("a", "merged", silent=True),
            "Filed; this factory does not tell what it executed.",
            False,
            None,
        ),
        (
            RequestState("a", "merged", "v1.0.0", tagged="1" * 40),
            "Filed, not executed; the tag v1.0.0 is there, so somebody began.",
            False,
            None,
        ),
        (RequestState("a", "executed", exit_code=0), "Executed, exit code 0.", True, True),
        (RequestState("a", "executed", exit_code=2), "Executed, exit code 2.", True, False),
        (
            RequestState("a", "result", "v1.0.0", status="success", reference="r:v1.0.0", where="here"),
            "r:v1.0.0 is released (here).",
            True,
            True,
        ),
        (
            RequestState("a", "result", status="failed", where="here"),
            "The release failed (here).",
            True,
            False,
        ),
        (RequestState("a", "executed"), "Executed; its result cannot be read.", True, None),
        (
            RequestState("a", "result", where="x"),
            "There is a result that says neither success nor failure (x).",
            True,
            None,
        ),
        (RequestState("a", "closed"), "Closed without a merge: it is not executed.", True, False),
    ],
)
def test_each_state_has_words_and_an_end(
    state: RequestState, words: str, over: bool, good: bool | None
) -> None:
    assert (state.words, state.over, state.good) == (words, over, good)
    assert state.to_json()["words"] == words


def test_how_far_it_got() -> None:
    merged = RequestState("a", "merged")
    assert [merged.reached(stage) for stage in ("open", "approved", "merged", "executed")] == [
        True,
        True,
        True,
        False,
    ]
    assert not RequestState("a", "closed").reached("open")
    assert merged.same_as(RequestState("a", "merged", at=5.0))


def test_times_as_apis_write_them() -> None:
    assert seconds_of("2026-04-01T00:00:00Z") == seconds_of("2026-04-01T02:00:00+02:00") > 0
    for text in (None, "", "yesterday", "2026-04-01T00:00:00"):
        assert seconds_of(text) == 0.0
