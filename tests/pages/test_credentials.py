"""docs/credentials.md: the commands that put a token into an encrypted file, typed as they stand, with the real age."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from disinto_tui.adapters.credentials import CredentialFinder
from tests.support.pages import lines_with, read
from tests.support.typist import Typist

TOKEN = "ghp_" + "of-a-page-0123456789"


async def test_a_token_in_a_file_of_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("age") is None:
        pytest.skip(
            "no Docker Engine answers"
        )  # the ground is missing as a whole: up.sh installs age with it
    home, factory = tmp_path / "home", tmp_path / "factory"
    home.mkdir()
    factory.mkdir()
    lines = lines_with(read("docs/credentials.md"), "mkdir -p -m 700 ~/.config/sops/age")
    said = Typist.at(home, factory).types("\n".join(lines), ("", TOKEN))
    assert TOKEN not in said
    assert (home / ".config/sops/age/keys.txt").stat().st_mode & 0o077 == 0
    assert (factory / "secrets").stat().st_mode & 0o077 == 0
    for name in ("GITHUB_TOKEN", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY", "XDG_CONFIG_HOME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, "unix:path=/nonexistent")  # no keyring
    monkeypatch.setenv("HOME", str(home))
    found = await CredentialFinder(factory, {}).find("GITHUB_TOKEN")
    assert found is not None
    assert (found.value.reveal(), found.place) == (TOKEN, "secrets/GITHUB_TOKEN.enc (age)")
