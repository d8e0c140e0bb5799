"""Foreign text made harmless for a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

# ECMA-48. A string sequence (OSC, DCS, SOS, PM, APC) ends with ST or BEL, else with its line: a log that
# was cut inside one must not swallow what follows.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|(?=\x1b)|(?=\n)|\Z)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
# Marks that reorder what stands beside them (Unicode TR 9, the ground of "Trojan Source"), separators that
# other tools take for line ends, and lone surrogates, which no terminal can be sent.
_INVISIBLE = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_UNCLEAN = re.compile(f"[{_CONTROLS}{_INVISIBLE}]")


def neutralise(text: str) -> str:
    """`text` with nothing in it that moves a cursor, sets a title or reorders a line. Raises nothing.

    Escape sequences go entirely. A line that was overwritten with carriage returns keeps its last state.
    Other control characters are shown (BEL as ␇), what has no picture becomes U+FFFD. Tabs and newlines
    stay. A clean text comes back as the same object.
    """
    if not _UNCLEAN.search(text):
        return text
    text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = "\n".join(map(_last_state, text.split("\n")))
    return _UNCLEAN.sub(_stand_in, text)


def _last_state(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part), "")


def _stand_in(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON that a terminal may be shown as well: what could drive one is escaped, so that a reader gets
    it back unchanged. On one line without `indent`. Raises TypeError for what JSON cannot hold."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, ensure_ascii=False, separators=separators)
    # JSON escapes C0 itself; newlines that are left are its own.
    return _UNCLEAN.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
