"""What ships inside the wheel: `formulas/`, `docker/`, `templates/`. In a checkout they stand at the top."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """The path of a shipped file or directory: `resource("templates", "Caddyfile")`.

    Raises FileNotFoundError when it is not shipped, which is a fault of the package, not of the operator.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(f"not shipped: {'/'.join(parts)}")


def template(name: str) -> str:
    """The text of a shipped template. Raises FileNotFoundError."""
    return resource("templates", name).read_text(encoding="utf-8")
