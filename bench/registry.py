"""What the registry client costs against skopeo, on a real registry, directly and 40 ms away.

    python -m bench.registry [--tags 5000] [--images 200] [--rounds 5] [--rtt 40]

Prints one JSON line per measure: seconds (median), the yardstick's seconds, and `ratio`, the median over the
rounds of ours / yardstick within one round: the two take turns, so a slow spell of the machine hits both.
`budget` is the ratio to stay under, where the design sets one. Needs docker-registry and skopeo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from disinto_tui.adapters.http import HttpClient, Policy
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_types import DOCKER_MANIFEST, digest_of
from tests.support.processes import free_port, running
from tests.support.registries import open_registry

REPO = "disinto/agents"
PLATFORM = "linux/amd64"
SAMPLED = 10
"""skopeo one by one is measured on so many images and multiplied: it takes over a minute for 200."""
Timed = Callable[[], object]


async def upload(http: HttpClient, host: str, blob: bytes) -> str:
    name = digest_of(blob)
    begun = await http.request("POST", f"http://{host}/v2/{REPO}/blobs/uploads/", retry=True)
    done = await http.request("PUT", f"{begun.headers['location']}&digest={name}", body=blob)
    assert done.status == 201, done
    return name


async def fill(host: str, tags: list[str], images: list[str]) -> None:
    """`images` each with a configuration of its own, the other tags all on one image."""
    layer = b"layer"

    async with HttpClient() as http:
        await upload(http, host, layer)

        async def image(tag: str) -> bytes:
            labels = {"org.opencontainers.image.version": tag}
            config = {
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-01-02T03:04:05Z",
                "config": {"Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
            }
            blob = json.dumps(config).encode()
            kind = "application/vnd.docker.container.image.v1+json"
            tar = "application/vnd.docker.image.rootfs.diff.tar.gzip"
            manifest = {
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST,
                "config": {"mediaType": kind, "digest": await upload(http, host, blob), "size": len(blob)},
                "layers": [{"mediaType": tar, "digest": digest_of(layer), "size": len(layer)}],
            }
            return json.dumps(manifest).encode()

        async def put(tag: str, manifest: bytes) -> None:
            url = f"http://{host}/v2/{REPO}/manifests/{tag}"
            headers = {"Content-Type": DOCKER_MANIFEST}
            done = await http.request("PUT", url, headers=headers, body=manifest)
            assert done.status == 201, done

        async def own(tag: str) -> None:
            await put(tag, await image(tag))

        shared = await image("shared")
        await asyncio.gather(*[own(tag) for tag in images])
        await asyncio.gather(*[put(tag, shared) for tag in tags if tag not in set(images)])


async def delaying(port: int, target: str, seconds: float) -> None:
    """A proxy that holds the handshake and each answer for a round trip."""
    host, _, target_port = target.partition(":")

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_upstream = await asyncio.open_connection(host, int(target_port))
        hold = True

        async def up() -> None:
            nonlocal hold
            while chunk := await reader.read(65536):
                hold = True
                to_upstream.write(chunk)
                await to_upstream.drain()
            to_upstream.close()

        async def down() -> None:
            nonlocal hold
            while chunk := await upstream.read(65536):
                if hold:
                    hold = False
                    await asyncio.sleep(seconds)
                writer.write(chunk)
                await writer.drain()
            writer.close()

        await asyncio.sleep(seconds)
        await asyncio.gather(up(), down(), return_exceptions=True)

    server = await asyncio.start_server(one, "127.0.0.1", port, backlog=256)
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def far(host: str, milliseconds: float, directory: Path) -> Iterator[str]:
    """The registry behind the proxy, which is a process of its own: it shares no time with the client."""
    port = free_port()
    address = f"127.0.0.1:{port}"

    def answers() -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
            return True
        return False

    argv = [sys.executable, "-m", "bench.registry", "--proxy", str(port), host, str(milliseconds / 1000)]
    with running(argv, directory / "proxy.log", answers):
        yield address


def listing(host: str, count: int) -> Timed:
    async def go() -> None:
        async with RegistryClient(host) as client:
            assert len(await client.tags(REPO)) == count

    return lambda: asyncio.run(go())


def listing_process(host: str) -> Timed:
    """The same from the start of an interpreter: what a command line pays."""
    code = (
        "import asyncio, sys\nfrom disinto_tui.adapters.registry import RegistryClient\n"
        "async def go():\n async with RegistryClient(sys.argv[1]) as c: await c.tags(sys.argv[2])\n"
        "asyncio.run(go())"
    )
    return lambda: subprocess.run([sys.executable, "-c", code, host, REPO], check=True)


def metadata(host: str, tags: list[str], wide: int) -> Timed:
    async def go() -> None:
        async with RegistryClient(host, policy=Policy(wide=wide, deadline=300)) as client:
            infos = await asyncio.gather(*[client.image_info(REPO, tag, PLATFORM) for tag in tags])
        for tag, info in zip(tags, infos, strict=True):
            assert info.config.labels["org.opencontainers.image.version"] == tag

    return lambda: asyncio.run(go())


def skopeo(*arguments: str) -> None:
    subprocess.run(["skopeo", *arguments], check=True, stdout=subprocess.DEVNULL)


def skopeo_list(host: str) -> Timed:
    return lambda: skopeo("list-tags", "--tls-verify=false", f"docker://{host}/{REPO}")


def skopeo_inspect(host: str, tags: list[str], processes: int) -> Timed:
    def one(tag: str) -> None:
        skopeo("inspect", "--no-tags", "--tls-verify=false", f"docker://{host}/{REPO}:{tag}")

    def go() -> None:
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(one, tags))

    return go


def seconds(what: Timed) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


def compare(
    measure: str,
    ours: Timed,
    yardstick: Timed,
    name: str,
    rounds: int,
    *,
    budget: float | None = None,
    times: float = 1.0,
) -> None:
    """Let the two take turns and print the line. `times` scales the yardstick, when it did a part only."""
    ours()
    pairs = [(seconds(ours), seconds(yardstick) * times) for _ in range(rounds)]
    line = {
        "bench": "registry",
        "measure": measure,
        "seconds": round(statistics.median(pair[0] for pair in pairs), 4),
        "yardstick": name,
        "yardstick_seconds": round(statistics.median(pair[1] for pair in pairs), 4),
        "ratio": round(statistics.median(pair[0] / pair[1] for pair in pairs), 4),
        "budget": budget,
        "rounds": rounds,
    }
    print(json.dumps(line), flush=True)


def measure_all(host: str, where: str, tags: list[str], images: list[str], rounds: int) -> None:
    few = max(2, rounds // 2)
    compare(
        f"list {len(tags)} tags, {where}",
        listing(host, len(tags)),
        skopeo_list(host),
        "skopeo list-tags",
        rounds,
        budget=0.5,
    )
    compare(
        f"list {len(tags)} tags, {where}, with the start of Python",
        listing_process(host),
        skopeo_list(host),
        "skopeo list-tags",
        rounds,
    )
    count = len(images)
    wide = metadata(host, images, 16)
    compare(
        f"metadata of {count}, {where}",
        wide,
        metadata(host, images, 1),
        "ours, one request at a time",
        few,
    )
    compare(
        f"metadata of {count}, {where}",
        wide,
        skopeo_inspect(host, images[:SAMPLED], 1),
        f"skopeo inspect one by one ({SAMPLED} measured)",
        few,
        budget=0.03 if where != "local" else None,
        times=count / SAMPLED,
    )
    compare(
        f"metadata of {count}, {where}",
        wide,
        skopeo_inspect(host, images, 16),
        "skopeo inspect, 16 processes",
        few,
        budget=0.3 if where != "local" else None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tags", type=int, default=5000)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rtt", type=float, default=40.0, help="milliseconds")
    parser.add_argument("--proxy", nargs=3, metavar=("PORT", "TARGET", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.proxy:
        port, target, delay = given.proxy
        asyncio.run(delaying(int(port), target, float(delay)))
        return 0
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            print(f"{program} is not installed: docker/engine/up.sh {program}", file=sys.stderr)
            return 3
    tags = [f"v{n // 500}.{n // 25 % 20}.{n % 25}" for n in range(given.tags)]
    images = tags[-given.images :]
    with tempfile.TemporaryDirectory() as name, open_registry(Path(name)) as registry:
        begun = time.perf_counter()
        asyncio.run(fill(registry.address, tags, images))
        print(f"{len(tags)} tags pushed in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        measure_all(registry.address, "local", tags, images, given.rounds)
        with far(registry.address, given.rtt, Path(name)) as address:
            measure_all(address, f"{given.rtt:g} ms away", tags, images, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
