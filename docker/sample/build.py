#!/usr/bin/env python3
"""Build the sample agents image and the stand-ins, and push them to a registry: no engine involved.

Layers, configuration and manifest are made here and sent over the registry API, so that the first
pull of each really downloads (a build by the engine would leave its layers there), the digests are
the same on every machine with the same busybox, and a version takes some ten milliseconds.
Standard library only: this runs before any environment exists.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.client
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
BEHAVIORS = ("ok", "unhealthy", "exit", "crashloop", "nohealth", "slowstart")
VOLUMES = (
    "/home/agent/data",
    "/home/agent/repos",
    "/home/agent/disinto/projects",
    "/home/agent/disinto/state",
)
STAND_INS = {
    "web": "80 2019",
    "forgejo": "3000",
    "woodpecker": "8000 9000",
    "woodpecker-agent": "3333",
}
# Their real images bring a check of their own, and the stack relies on it.
CHECKED = {"woodpecker": ":8000", "woodpecker-agent": "${WOODPECKER_HEALTHCHECK_ADDR:-:3333}"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
SECOND = 1_000_000_000  # healthcheck times are nanoseconds
DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
)
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json")
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


class BuildError(Exception):
    """Three sentences for the one who runs this."""


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Layer:
    """A file tree in the making; the same calls give the same bytes."""

    raw: io.BytesIO = field(default_factory=io.BytesIO)

    def __post_init__(self) -> None:
        self._tar = tarfile.open(fileobj=self.raw, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def _entry(self, path: str, mode: int, uid: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.mode, info.uid, info.gid = mode, uid, uid
        return info

    def directory(self, path: str, mode: int = 0o755, uid: int = 0) -> None:
        info = self._entry(path, mode, uid)
        info.type = tarfile.DIRTYPE
        self._tar.addfile(info)

    def file(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0) -> None:
        info = self._entry(path, mode, uid)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))

    def link(self, path: str, target: str) -> None:
        info = self._entry(path, 0o777, 0)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)

    def done(self) -> tuple[bytes, str]:
        """(compressed bytes, digest of the uncompressed ones)."""
        self._tar.close()
        raw = self.raw.getvalue()
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as out:
            out.write(raw)
        return packed.getvalue(), digest(raw)


@dataclass(frozen=True)
class Image:
    """What an image is before it is sent: its layers and the `config` part of its configuration."""

    layers: tuple[tuple[bytes, str], ...]
    config: dict[str, object]
    created: str
    architecture: str

    def config_blob(self) -> bytes:
        document = {
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in self.layers]},
            "history": [{"created": self.created, "created_by": "disinto sample"} for _ in self.layers],
        }
        return json.dumps(document, sort_keys=True).encode()


def busybox_layer(busybox: Path) -> tuple[bytes, str]:
    """busybox, a link for each of its applets, and the two users."""
    layer = Layer()
    for name in ("bin", "etc", "home", "srv"):
        layer.directory(name)
    layer.directory("tmp", 0o1777)
    layer.file("bin/busybox", busybox.read_bytes(), 0o755)
    listed = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout
    for applet in sorted(set(listed.split()) - {"busybox"}):
        layer.link(f"bin/{applet}", "/bin/busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\nagent:x:1000:\n")
    return layer.done()


def agents_image(
    base: tuple[bytes, str], version: str, behavior: str, payload_kib: int, architecture: str
) -> Image:
    """The sample agents image of one version; docker/sample/Dockerfile says the same in Docker's words."""
    code = Layer()
    code.directory("home/agent", uid=1000)
    code.directory("home/agent/disinto", uid=1000)
    for volume in VOLUMES:
        code.directory(volume, uid=1000)
    for name in ("entrypoint.sh", "heartbeat"):
        code.file(name, (HERE / "agents" / name).read_bytes(), 0o755)
    own = Layer()
    own.file("home/agent/disinto/VERSION", f"{version}\n".encode())
    if payload_kib:
        # Bytes that do not compress, so that a pull has something to show.
        own.file("home/agent/payload", hashlib.shake_256(version.encode()).digest(payload_kib * 1024))
    created = created_of(version)
    config: dict[str, object] = {
        "Env": ["PATH=/bin", f"BEHAVIOR={behavior}"],
        "Entrypoint": ["/entrypoint.sh"],
        "WorkingDir": "/home/agent/disinto",
        "Volumes": {volume: {} for volume in VOLUMES},
        "Labels": {
            "org.opencontainers.image.title": "Disinto sample agents",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.revision": hashlib.sha256(version.encode()).hexdigest()[:40],
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.source": "https://example.invalid/disinto/agents",
            "io.disinto.ground": "1",
        },
    }
    if behavior != "nohealth":
        config["Healthcheck"] = {
            "Test": ["CMD", "/heartbeat"],
            "Interval": SECOND,
            "Timeout": 3 * SECOND,
            "StartPeriod": (10 if behavior == "slowstart" else 2) * SECOND,
            "Retries": 3,
        }
    return Image((base, code.done(), own.done()), config, created, architecture)


def created_of(version: str) -> str:
    """A made-up date that grows with the version and never changes: digests stay the same."""
    numbers = [
        int(part) for part in version.lstrip("v").split("-")[0].split("+")[0].split(".") if part.isdigit()
    ]
    weight = sum(number * scale for number, scale in zip(numbers, (400, 20, 1), strict=False))
    day = datetime(2026, 1, 1, 12, tzinfo=timezone.utc) + timedelta(days=weight)
    return day.strftime("%Y-%m-%dT%H:%M:%SZ")


def stand_in_image(base: tuple[bytes, str], name: str, architecture: str) -> Image:
    layer = Layer()
    layer.directory("srv/default")
    layer.file("srv/default/index.html", b"<!doctype html><title>Stand-in</title><p>Nothing here yet\n")
    for script in ("serve", "answer"):
        layer.file(script, (HERE / "stand-in" / script).read_bytes(), 0o755)
    layer.file("bin/curl", (HERE / "stand-in" / "curl").read_bytes(), 0o755)
    ports = STAND_INS[name]
    config: dict[str, object] = {
        "Env": ["PATH=/bin", f"STAND_IN={name}", f"STAND_IN_PORTS={ports}"],
        "Entrypoint": ["/serve"],
        "ExposedPorts": {f"{port}/tcp": {} for port in ports.split()},
        "Labels": {"org.opencontainers.image.title": f"Stand-in for {name}", "io.disinto.ground": "1"},
    }
    if name in CHECKED:
        script = f"addr={CHECKED[name]}; wget -q --spider http://127.0.0.1:${{addr##*:}}/healthz"
        probe = ["CMD-SHELL", script]
        config["Healthcheck"] = {"Test": probe, "Interval": SECOND, "Timeout": 3 * SECOND, "Retries": 3}
    return Image((base, layer.done()), config, created_of("v0.0.0"), architecture)


def busybox_image(base: tuple[bytes, str], architecture: str) -> Image:
    """A bare shell: stands in for images that only run a command."""
    config: dict[str, object] = {
        "Env": ["PATH=/bin"],
        "Cmd": ["sh"],
        "Labels": {"org.opencontainers.image.title": "busybox", "io.disinto.ground": "1"},
    }
    return Image((base,), config, created_of("v0.0.0"), architecture)


class Pusher:
    """A minimal push client over one connection; a blob that is there already is not sent again."""

    def __init__(self, registry: str, authorization: str | None = None) -> None:
        self.registry = registry
        self._connection = http.client.HTTPConnection(registry, timeout=30)
        self._headers = {"Authorization": authorization} if authorization else {}

    def _request(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, str, bytes]:
        headers = dict(self._headers)
        if kind:
            headers["Content-Type"] = kind
        try:
            self._connection.request(method, path, body=body, headers=headers)
            answer = self._connection.getresponse()
            return answer.status, answer.headers.get("Location", ""), answer.read()
        except OSError as error:
            raise BuildError(
                f"The registry at {self.registry} did not take the images. {error}. "
                "Start it with docker/engine/registry.sh start and try again."
            ) from error

    def _expect(self, wanted: int, got: tuple[int, str, bytes], doing: str) -> str:
        status, location, body = got
        if status != wanted:
            said = body[:300].decode(errors="replace")
            raise BuildError(
                f"{doing} failed. The registry at {self.registry} answered {status}: {said}. "
                "Check the credentials and the registry's log, then try again."
            )
        return location

    def blob(self, repository: str, data: bytes) -> str:
        name = digest(data)
        if self._request("HEAD", f"/v2/{repository}/blobs/{name}")[0] == 200:
            return name
        began = self._request("POST", f"/v2/{repository}/blobs/uploads/")
        target = urlsplit(self._expect(202, began, f"Beginning an upload to {repository}"))
        query = f"{target.query}&" if target.query else ""
        sent = self._request("PUT", f"{target.path}?{query}digest={name}", data, "application/octet-stream")
        self._expect(201, sent, f"Uploading {name} to {repository}")
        return name

    def manifest(self, repository: str, reference: str, document: dict[str, object], kind: str) -> str:
        body = json.dumps(document, sort_keys=True).encode()
        sent = self._request("PUT", f"/v2/{repository}/manifests/{reference}", body, kind)
        self._expect(201, sent, f"Tagging {repository}:{reference}")
        return digest(body)

    def image(
        self, repository: str, tag: str, image: Image, *, oci: bool = False, index: bool = False
    ) -> str:
        """Push it; the digest under `tag`. `index` wraps it as buildx does, attestation entry and all."""
        oci = oci or index
        (kind, config_kind), layer_kind = (OCI, OCI_LAYER) if oci else (DOCKER, DOCKER_LAYER)
        config = image.config_blob()
        manifest: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": config_kind,
                "size": len(config),
                "digest": self.blob(repository, config),
            },
            "layers": [
                {"mediaType": layer_kind, "size": len(data), "digest": self.blob(repository, data)}
                for data, _ in image.layers
            ],
        }
        if not index:
            return self.manifest(repository, tag, manifest, kind)
        body = json.dumps(manifest, sort_keys=True).encode()
        self.manifest(repository, digest(body), manifest, kind)
        entry = {"mediaType": kind, "size": len(body), "digest": digest(body)}
        platforms: list[dict[str, object]] = [
            entry | {"platform": {"os": "linux", "architecture": image.architecture}},
            entry | {"platform": {"os": "unknown", "architecture": "unknown"}},
        ]
        document: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": platforms}
        return self.manifest(repository, tag, document, OCI_INDEX)


def find_busybox(given: str | None) -> Path:
    found = given or shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if found is None or not Path(found).is_file():
        raise BuildError(
            "There is no busybox to build the sample images from. They stand on Debian's busybox-static. "
            "Run docker/engine/up.sh busybox-static, or name a static one with --busybox."
        )
    return Path(found)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build and push the sample agents image and the stand-ins.")
    parser.add_argument("registry", help="HOST:PORT of a registry that speaks plain http")
    parser.add_argument("versions", nargs="*", help="versions of the agents image, such as v0.1.0")
    parser.add_argument("--repository", default="disinto/agents")
    parser.add_argument("--behavior", choices=BEHAVIORS, default="ok")
    parser.add_argument("--payload-kib", type=int, default=0, help="bytes that do not compress, per version")
    parser.add_argument("--arch", default=ARCHITECTURES.get(platform.machine(), platform.machine()))
    parser.add_argument("--oci", action="store_true", help="OCI media types instead of Docker's")
    parser.add_argument(
        "--index", action="store_true", help="an OCI index with an attestation entry, as buildx pushes"
    )
    parser.add_argument(
        "--stand-ins", action="store_true", help="also ground/{web,forgejo,woodpecker,busybox}"
    )
    parser.add_argument("--authorization", help="value of the Authorization header")
    parser.add_argument("--busybox", help="a static busybox (default: the one on this machine)")
    given = parser.parse_args(arguments)
    try:
        base = busybox_layer(find_busybox(given.busybox))
        pusher = Pusher(given.registry, given.authorization)
        for version in given.versions:
            image = agents_image(base, version, given.behavior, given.payload_kib, given.arch)
            pushed = pusher.image(given.repository, version, image, oci=given.oci, index=given.index)
            say(f"{given.registry}/{given.repository}:{version}@{pushed}")
        if given.stand_ins:
            for name in STAND_INS:
                pushed = pusher.image(f"ground/{name}", "1", stand_in_image(base, name, given.arch))
                say(f"{given.registry}/ground/{name}:1@{pushed}")
            pushed = pusher.image("ground/busybox", "1", busybox_image(base, given.arch))
            say(f"{given.registry}/ground/busybox:1@{pushed}")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
