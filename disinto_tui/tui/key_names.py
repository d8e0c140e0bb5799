"""Keys as people write them."""

from __future__ import annotations

_NAMES = {
    "enter": "↵",
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "space": "space",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "full_stop": ".",
    "comma": ",",
    "plus": "+",
    "minus": "-",
}


def key_name(key: str) -> str:
    """`question_mark` is `?`, `ctrl+p` is `^p`; a letter is itself."""
    *modifiers, last = key.split("+") if key != "+" else [key]
    name = _NAMES.get(last, last)
    if modifiers == ["ctrl"]:
        return f"^{name}"
    if modifiers == ["shift"] and len(name) == 1:
        return name.upper()
    return "+".join([*modifiers, name])


def keys_text(keys: str) -> str:
    """A comma-separated list of keys, for help."""
    return " ".join(key_name(key.strip()) for key in keys.split(","))
