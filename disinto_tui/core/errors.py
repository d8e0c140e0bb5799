"""Errors an operator may see: three sentences and an exit code.

Promise 7 of the design: what happened, why, what to do now. No traceback reaches an operator, and
the exit code tells a script which class of trouble it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command; an API that scripts may rely on."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    UNAVAILABLE = 3
    REFUSED = 4
    INTERRUPTED = 130


class DisintoError(Exception):
    """Base of every error that is shown to an operator.

    `what` says what happened, `why` the reason, `now` the next thing to do: one sentence each, none
    holding a secret. `code` is a stable slug for `--json` readers and tests (`image.grammar`).
    `details` are further lines (the problems of a file, the last lines of a log).
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, what: str, why: str, now: str, *, code: str, details: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.now = now
        self.code = code
        self.details = tuple(details)

    def __str__(self) -> str:
        return f"{self.what} {self.why} {self.now}"

    def to_json(self) -> dict[str, object]:
        """The error as a JSON object: code, what, why, now, details, exit_code."""
        return {
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "now": self.now,
            "details": list(self.details),
            "exit_code": int(self.exit_code),
        }


class Failed(DisintoError):
    """The work was begun and did not succeed; the message says what state it left. Exit 1."""


class BadInput(DisintoError):
    """What the operator gave cannot be used; nothing was changed. Exit 2."""

    exit_code = ExitCode.BAD_INPUT


class Unavailable(DisintoError):
    """Something outside (engine, registry, forge) did not answer or did not let us in; try again. Exit 3."""

    exit_code = ExitCode.UNAVAILABLE


class Refused(DisintoError):
    """It could be done, but would risk what the operator has; nothing was changed. Exit 4."""

    exit_code = ExitCode.REFUSED


class Interrupted(DisintoError):
    """The operator stopped it; the message says what state it left. Exit 130."""

    exit_code = ExitCode.INTERRUPTED


_CLASSES: Mapping[int, type[DisintoError]] = {
    int(kind.exit_code): kind for kind in (Failed, BadInput, Unavailable, Refused, Interrupted)
}


def error_from_json(data: Mapping[str, object]) -> DisintoError:
    """Rebuild an error from `DisintoError.to_json`, as the reader of another process's run does.

    An unknown exit code becomes `Failed`. Raises KeyError when one of the three sentences is missing.
    """
    details = data.get("details")
    code = data.get("exit_code", 1)
    kind = _CLASSES.get(code if isinstance(code, int) else 1, Failed)
    return kind(
        str(data["what"]),
        str(data["why"]),
        str(data["now"]),
        code=str(data.get("code", "unknown")),
        details=[str(line) for line in details] if isinstance(details, list) else (),
    )
