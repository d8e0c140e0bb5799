"""Our reading of plain scalars against Compose's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.engine import Engine
from tests.support.plain_scalars import PLAIN_SCALARS


def test_compose_takes_plain_scalars_for_the_same(tmp_path: Path, engine: Engine) -> None:
    known = {
        value: meant for value, meant in PLAIN_SCALARS.items() if value != "="
    }  # Compose refuses that one
    lines = "".join(f"      V{at}: {value}\n" for at, value in enumerate(known))
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  a:\n    image: x\n    environment:\n{lines}")
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=engine.environment(),
        stdin=subprocess.DEVNULL,
    )
    found = json.loads(done.stdout)["services"]["a"]["environment"]
    assert found == {f"V{at}": meant for at, meant in enumerate(known.values())}
