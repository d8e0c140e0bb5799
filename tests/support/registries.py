"""Real registries on loopback: open, with passwords, or with a token server. Each ends with its `with`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import free_port, running
from tests.support.token_server import ISSUER, SERVICE, Policy, TokenServer

ROOT = Path(__file__).resolve().parents[2]
BUILDER = ROOT / "docker" / "sample" / "build.py"


@dataclass(frozen=True)
class Registry:
    """`address` is HOST:PORT. `tokens` is there when a token server guards it."""

    address: str
    directory: Path
    tokens: TokenServer | None = None
    user: str = ""
    password: str = ""


def registry_binary() -> str | None:
    return shutil.which("docker-registry")


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=10).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _registry(directory: Path, auth: dict[str, object] | None) -> Iterator[str]:
    directory.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": {"addr": address},
    }
    if auth:
        config["auth"] = auth
    file = directory / "config.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    binary = registry_binary()
    if binary is None:
        raise RuntimeError("docker-registry is not installed: docker/engine/up.sh docker-registry")
    with running([binary, "serve", str(file)], directory / "log", lambda: _answers(address)):
        yield address


@contextlib.contextmanager
def open_registry(directory: Path) -> Iterator[Registry]:
    """Everybody may do everything."""
    with _registry(directory, None) as address:
        yield Registry(address, directory)


@contextlib.contextmanager
def password_registry(directory: Path, user: str = "alice", password: str = "s3cret") -> Iterator[Registry]:
    """Basic authentication."""
    import bcrypt

    directory.mkdir(parents=True, exist_ok=True)
    line = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (directory / "htpasswd").write_text(f"{user}:{line}\n")
    auth: dict[str, object] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    with _registry(directory, auth) as address:
        yield Registry(address, directory, user=user, password=password)


@contextlib.contextmanager
def token_registry(directory: Path, policy: Policy | None = None) -> Iterator[Registry]:
    """Bearer tokens, as the registries on the internet do; alice may push, reader may pull."""
    with TokenServer(directory, policy) as tokens:
        auth: dict[str, object] = {
            "token": {
                "realm": tokens.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(tokens.certificate),
            }
        }
        with _registry(directory, auth) as address:
            yield Registry(address, directory, tokens, "alice", tokens.policy.passwords["alice"])


def push_token(registry: Registry, repository: str) -> str:
    """Value of the Authorization header with which `registry.user` may push to `repository`."""
    import base64

    basic = "Basic " + base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    if registry.tokens is None:
        return basic
    path = f"/token?service={SERVICE}&scope=repository:{repository}:pull,push"
    return f"Bearer {registry.tokens.answer(path, basic)[2]['token']}"


def push_samples(
    registry: Registry | str,
    versions: Sequence[str] = ("v0.1.0", "v0.2.0", "v0.3.0"),
    *,
    repository: str = "disinto/agents",
    options: Sequence[str] = (),
) -> dict[str, str]:
    """Push versions of the sample agents image; {version: HOST:PORT/REPOSITORY:VERSION@DIGEST}."""
    address = registry if isinstance(registry, str) else registry.address
    argv = [sys.executable, str(BUILDER), address, *versions, "--repository", repository, *options]
    if isinstance(registry, Registry) and registry.user:
        argv += ["--authorization", push_token(registry, repository)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    lines = [line for line in done.stdout.splitlines() if f"/{repository}:" in line]
    return dict(zip(versions, lines, strict=True))


def push_stand_ins(registry: Registry | str) -> dict[str, str]:
    """Push the stand-ins for third-party servers; {name: HOST:PORT/ground/NAME:1}."""
    address = registry if isinstance(registry, str) else registry.address
    argv = [sys.executable, str(BUILDER), address, "--stand-ins"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    references = [line.partition("@")[0] for line in done.stdout.splitlines()]
    return {reference.rpartition("/")[2].partition(":")[0]: reference for reference in references}
