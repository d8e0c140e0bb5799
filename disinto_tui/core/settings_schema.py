"""The operator's own settings, as data: variables of the shell that count, and the files of the terminal UI.

What is handed on to child processes (`adapters/process.py`) is what stands here as handed on, and no more: a variable
of the shell beats `.env` in Compose, even when it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShellVariable:
    """One variable of the shell, or several of one kind (`names`; one that ends in `*` is a beginning).

    `handed_on`: every child process gets it, too, as it is. A secret has no example.
    """

    names: tuple[str, ...]
    what: str
    allowed: str
    default: str = ""
    example: str = ""
    secret: bool = False
    handed_on: bool = False


@dataclass(frozen=True, slots=True)
class ShellGroup:
    """Variables that are for one thing."""

    title: str
    variables: tuple[ShellVariable, ...]


@dataclass(frozen=True, slots=True)
class UserSetting:
    """One key of `ui.toml`."""

    name: str
    what: str
    default: str
    allowed: tuple[str, ...]


def _s(
    names: str,
    what: str,
    allowed: str,
    example: str = "",
    *,
    default: str = "",
    secret: bool = False,
    handed_on: bool = False,
) -> ShellVariable:
    return ShellVariable(tuple(names.split()), what, allowed, default, example, secret, handed_on)


SHELL: tuple[ShellGroup, ...] = (
    ShellGroup(
        "This tool",
        (
            _s(
                "AGENTS_IMAGE",
                "For `disinto up` the image of this once, for `disinto init` the one to pin; see the top of this page.",
                "a tag, a digest or a full reference",
                "v0.1.1",
            ),
            _s(
                "DISINTO_DIR",
                "The factory's directory. `--dir` beats it.",
                "a path",
                "/srv/acme/factory",
                default="the current directory",
            ),
            _s(
                "DISINTO_DEBUG",
                "Of an error that nobody foresaw, show where it happened.",
                "anything; empty is off",
                "1",
            ),
            _s(
                "_DISINTO_COMPLETE",
                'Prints what makes the shell complete `disinto`: `eval "$(_DISINTO_COMPLETE=bash_source disinto)"`.',
                "bash_source, zsh_source, fish_source",
                "bash_source",
            ),
            _s("NO_COLOR", "No colour.", "anything; empty is off", "1", handed_on=True),
            _s("TERM", "`dumb` is no colour.", "a terminal's name", "xterm-256color", handed_on=True),
            _s(
                "PAGER",
                "What `disinto docs TOPIC` shows a long page with.",
                "a command without a shell's syntax; empty, or `cat`, is none",
                "less -S",
                default="less",
            ),
            _s(
                "XDG_CONFIG_HOME",
                "`disinto/` in it holds the two files below; `sops/age/keys.txt` in it is the key of encrypted files.",
                "a path",
                "/home/ops/.config",
                default="~/.config",
                handed_on=True,
            ),
            _s(
                "SUDO_USER",
                "Under sudo: who is named as having done it, and whose home directory is the operator's.",
                "sudo sets it",
                "ann",
            ),
        ),
    ),
    ShellGroup(
        "Secrets",
        (
            _s(
                "FORGE_TOKEN",
                "The forge's token for `disinto init`, which writes it to `.env`. Other commands read `.env` alone.",
                "a token of the dev bot",
                secret=True,
            ),
            _s(
                "GITHUB_TOKEN",
                "The credential of a release for the registry, and for mirrors on github.com ([credentials]).",
                "a classic token with write:packages",
                secret=True,
            ),
            _s(
                "MIRROR_TOKEN_<NAME> CODEBERG_TOKEN",
                "The credential for one mirror; without it the second one for codeberg.org.",
                "a token that may push",
                secret=True,
            ),
            _s(
                "GITHUB_API_URL",
                "Where GitHub's API is asked for a token's expiry.",
                "an https:// address",
                "https://github.example.org/api/v3",
                default="https://api.github.com",
            ),
            _s(
                "SOPS_AGE_KEY_FILE",
                "The age key that opens `.env.enc` and `secrets/*.enc`; the usual file is then not looked at.",
                "a path",
                "/home/ops/age.txt",
                default="~/.config/sops/age/keys.txt",
            ),
            _s("SOPS_AGE_KEY", "The same key itself.", "an age identity", secret=True),
            _s(
                "SOPS_* AWS_* GOOGLE_* AZURE_* VAULT_* HUAWEICLOUD_* GNUPGHOME GPG_TTY CLOUDSDK_CONFIG",
                "What leads sops to its key. sops gets them, and no other program.",
                "as sops says",
                "AWS_PROFILE=ops",
            ),
            _s(
                "DBUS_SESSION_BUS_ADDRESS DISPLAY WAYLAND_DISPLAY",
                "Where the keyring is. secret-tool gets them, and no other program.",
                "the desktop sets them",
                "DISPLAY=:0",
            ),
        ),
    ),
    ShellGroup(
        "Docker",
        (
            _s(
                "DOCKER_HOST",
                "The engine.",
                "unix:// and tcp:// without TLS; ssh:// and TLS are refused",
                "unix:///run/user/1000/docker.sock",
                default="the context's",
                handed_on=True,
            ),
            _s(
                "DOCKER_CONTEXT",
                "The docker context whose engine it is.",
                "a name of `docker context ls`",
                "rootless",
                default="the current one",
                handed_on=True,
            ),
            _s(
                "DOCKER_CONFIG",
                "Where Docker keeps its contexts and logins.",
                "a path",
                "/srv/acme/docker",
                default="~/.docker",
                handed_on=True,
            ),
            _s(
                "DOCKER_TLS_VERIFY DOCKER_TLS DOCKER_CERT_PATH DOCKER_API_VERSION",
                "As Docker has them; the first one with a tcp:// engine is refused.",
                "as Docker says",
                "DOCKER_API_VERSION=1.41",
                handed_on=True,
            ),
            _s(
                "BUILDKIT_*",
                "Settings of a build's client.",
                "as BuildKit says",
                "BUILDKIT_PROGRESS=plain",
                handed_on=True,
            ),
            _s(
                "COMPOSE_PROJECT_NAME COMPOSE_FILE COMPOSE_PROFILES COMPOSE_ENV_FILES",
                "Exported, they are said and ignored; in `.env` the first three count.",
                "anything",
                "COMPOSE_PROFILES=gpu",
            ),
            _s(
                "NOMAD_ADDR",
                "Set, `disinto adopt` takes this host for one that Nomad manages, and refuses.",
                "an address",
                "http://127.0.0.1:4646",
            ),
        ),
    ),
    ShellGroup(
        "Network, git and the system",
        (
            _s(
                "HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy",
                "Proxies, and hosts that are reached without one. This machine is always reached without.",
                "an address; hosts with commas between",
                "HTTPS_PROXY=http://proxy.example.org:3128",
                handed_on=True,
            ),
            _s(
                "SSL_CERT_FILE SSL_CERT_DIR",
                "Certificates to trust, in the place of the system's.",
                "a path",
                "SSL_CERT_FILE=/etc/ssl/acme.pem",
                handed_on=True,
            ),
            _s(
                "GIT_SSH_COMMAND",
                "How git reaches mirrors over ssh.",
                "a command",
                "ssh -i /srv/acme/key",
                default="ssh -o BatchMode=yes",
            ),
            _s(
                "SSH_AUTH_SOCK SSH_AGENT_PID",
                "The ssh agent.",
                "the agent sets them",
                "SSH_AUTH_SOCK=/tmp/agent.1",
                handed_on=True,
            ),
            _s(
                "PATH HOME USER LOGNAME LANG LANGUAGE LC_* TZ TMPDIR XDG_RUNTIME_DIR XDG_CACHE_HOME XDG_STATE_HOME",
                "As everywhere.",
                "as everywhere",
                "LANG=C.UTF-8",
                handed_on=True,
            ),
        ),
    ),
)
"""The variables of the shell that this tool looks at, or hands on."""

HANDED_ON: frozenset[str] = frozenset(
    name
    for group in SHELL
    for variable in group.variables
    if variable.handed_on
    for name in variable.names
    if not name.endswith("*")
)
"""Names of the variables that every child process gets."""
HANDED_ON_PREFIXES: tuple[str, ...] = tuple(
    name[:-1]
    for group in SHELL
    for variable in group.variables
    if variable.handed_on
    for name in variable.names
    if name.endswith("*")
)
"""What the names of others that it gets begin with."""

UI_SETTINGS: Mapping[str, UserSetting] = {
    setting.name: setting
    for setting in (
        UserSetting(
            "theme",
            "The colours of the terminal UI. `Ctrl-T` changes it, and writes it here.",
            "dark",
            ("dark", "light", "contrast"),
        ),
    )
}
"""The keys of `ui.toml`."""
