"""docs/security.md: every claim names a test that is there, and the table of powers is what the stack hands out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from disinto_tui.adapters.secrets import is_secret_name
from disinto_tui.core.model import Ci, Factory, Images, LocalAgent, Project
from disinto_tui.core.stack import HostFacts, StackInputs, build_stack, referenced_variables
from disinto_tui.core.stack_forms import mounts
from disinto_tui.core.stack_services import ROLE_TOKENS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
CLAIMS = "## What is kept, and the test that shows it"


def sections() -> dict[str, str]:
    """The page's parts by their headings."""
    parts = re.split(r"^(## .*)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named(text: str) -> list[tuple[str, str]]:
    """The tests that a text names: `tests/x.py::test_y`, and `::test_z` after it for another one of that file."""
    found, file = list[tuple[str, str]](), ""
    for path, first, more in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`|`::(test_\w+)`", text):
        file = path or file
        found.append((file, first or more))
    return found


@cache
def defined_in(path: Path) -> frozenset[str]:
    """The tests that a file defines."""
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    )


def test_every_test_that_is_named_is_there() -> None:
    found = named(PAGE)
    assert len(found) > 60
    gone = [f"{path}::{name}" for path, name in found if name not in defined_in(ROOT / path)]
    assert gone == []


def test_every_claim_names_its_test() -> None:
    rows = [line for line in sections()[CLAIMS].splitlines() if line.startswith("| ")]
    claims = [row for row in rows if not row.startswith(("| what", "| ---", "|---"))]
    assert len(claims) > 25
    assert [row for row in claims if not named(row)] == []


def _powers(service: dict[str, Any]) -> str:
    found = []
    binds = {mount.source for mount in mounts(service.get("volumes", [])).values()}
    if "/var/run/docker.sock" in binds:
        found.append("the engine")
    if service.get("privileged"):
        found.append("privileged")
    if service.get("network_mode") == "host":
        found.append("host network")
    return ", ".join(found) or "-"


def _secrets(service: dict[str, Any]) -> str:
    names = {name for name in referenced_variables(service) if is_secret_name(name)}
    roles = {f"FORGE_{role}_TOKEN" for role in ROLE_TOKENS}
    if roles <= names:
        names = names - roles | {"FORGE_<ROLE>_TOKEN"}
    return ", ".join(sorted(names)) or "-"


def _host(service: dict[str, Any]) -> str:
    found = []
    for target, mount in mounts(service.get("volumes", [])).items():
        if not mount.source.startswith((".", "/", "$")) or target == "/var/run/docker.sock":
            continue
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount.source).replace("/home/ops", "~")
        found.append(f"{source.removeprefix('./')}{'' if mount.read_only else ' (writes)'}")
    return ", ".join(sorted(set(found))) or "-"


def rows() -> list[str]:
    """The table of powers, from a stack that has every service there is, on a host that has every file."""
    qwen = LocalAgent("qwen", "http://10.0.0.5:8081", "qwen3", forge_user="qwen-bot")
    images = Images(edge="example.org/edge:1", reproduce="example.org/reproduce:1")
    full = Project("app", "acme/app", "acme/ops", ci=Ci(7), agents=(qwen,), factory=Factory(images=images))
    plain = Project("app", "acme/app", "acme/ops", factory=Factory())
    host = HostFacts("/home/ops", True, True, True, True)
    services = build_stack(StackInputs((full,), host=host))["services"]
    edge = build_stack(StackInputs((plain,), host=host))["services"]["edge"]
    named_services = {}
    for name, service in services.items():
        if name == "edge":
            named_services["edge (plain Caddy, the default)"] = edge
        named_services["edge (`edge` in `[factory.images]`)" if name == "edge" else name] = service
    return [
        f"| {name} | {_powers(service)} | {_secrets(service)} | {_host(service)} |"
        for name, service in named_services.items()
    ]


def test_the_table_of_powers_is_what_the_stack_hands_out() -> None:
    missing = [row for row in rows() if row not in PAGE.splitlines()]
    assert missing == []
