"""What the registry client costs against skopeo, on a real registry, directly and 40 ms away.

    python -m bench.registry [--tags 5000] [--images 200] [--rounds 5] [--rtt 40]

`make bench` measures less of it (`FEW`): all of it takes minutes. Needs docker-registry and skopeo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure import Context, NotMeasured, Row, ratio_row, seconds, table, take_turns
from disinto_tui.adapters.http import HttpClient, Policy
from disinto_tui.adapters.registry import RegistryClient
from disinto_tui.adapters.registry_types import DOCKER_MANIFEST, digest_of
from tests.support.processes import free_port, running
from tests.support.registries import open_registry

REPO = "disinto/agents"
PLATFORM = "linux/amd64"
SAMPLED = 10
"""skopeo one by one is measured on so many images and multiplied: it takes over a minute for 200."""
Work = Callable[[], object]


@dataclass(frozen=True)
class Amount:
    """How much to measure. `near`: also what costs time and has no budget."""

    tags: int
    images: int
    rounds: int
    rtt: float = 40.0
    """Milliseconds."""
    near: bool = True


FEW = Amount(tags=5000, images=100, rounds=3, near=False)


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


def listing(host: str, count: int) -> Work:
    async def go() -> None:
        async with RegistryClient(host) as client:
            assert len(await client.tags(REPO)) == count

    return lambda: asyncio.run(go())


def listing_process(host: str) -> Work:
    """The same from the start of an interpreter: what a command line pays."""
    code = (
        "import asyncio, sys\nfrom disinto_tui.adapters.registry import RegistryClient\n"
        "async def go():\n async with RegistryClient(sys.argv[1]) as c: await c.tags(sys.argv[2])\n"
        "asyncio.run(go())"
    )
    return lambda: subprocess.run([sys.executable, "-c", code, host, REPO], check=True)


def metadata(host: str, tags: list[str], wide: int) -> Work:
    async def go() -> None:
        async with RegistryClient(host, policy=Policy(wide=wide, deadline=300)) as client:
            infos = await asyncio.gather(*[client.image_info(REPO, tag, PLATFORM) for tag in tags])
        for tag, info in zip(tags, infos, strict=True):
            assert info.config.labels["org.opencontainers.image.version"] == tag

    return lambda: asyncio.run(go())


def skopeo(*arguments: str) -> None:
    subprocess.run(["skopeo", *arguments], check=True, stdout=subprocess.DEVNULL)


def skopeo_list(host: str) -> Work:
    return lambda: skopeo("list-tags", "--tls-verify=false", f"docker://{host}/{REPO}")


def skopeo_inspect(host: str, tags: list[str], processes: int) -> Work:
    def one(tag: str) -> None:
        skopeo("inspect", "--no-tags", "--tls-verify=false", f"docker://{host}/{REPO}:{tag}")

    def go() -> None:
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(one, tags))

    return go


def compare(
    what: str,
    ours: Work,
    yardstick: Work,
    name: str,
    rounds: int,
    *,
    budget: float | None = None,
    times: float = 1.0,
) -> Row:
    """Let the two take turns. `times` scales the yardstick, when it did a part only."""
    found = take_turns(rounds, {"ours": lambda: seconds(ours), name: lambda: seconds(yardstick) * times})
    return ratio_row(what, found["ours"], found[name], name, budget)


def listings(host: str, where: str, tags: list[str], rounds: int) -> Iterator[Row]:
    what, name = f"list {len(tags):,} tags, {where}", "skopeo list-tags"
    yield compare(what, listing(host, len(tags)), skopeo_list(host), name, rounds, budget=0.5)
    yield compare(f"{what}, with Python's start", listing_process(host), skopeo_list(host), name, rounds)


def readings(host: str, where: str, images: list[str], rounds: int, *, far_away: bool) -> Iterator[Row]:
    """Budgets hold for a registry that is away: next door there is no waiting to save."""
    what, wide = f"labels of {len(images)} versions, {where}", metadata(host, images, 16)
    sample = min(SAMPLED, len(images))
    yield compare(
        what,
        wide,
        skopeo_inspect(host, images[:sample], 1),
        f"skopeo one by one ({sample} measured)",
        rounds,
        budget=0.03 if far_away else None,
        times=len(images) / sample,
    )
    yield compare(
        what,
        wide,
        skopeo_inspect(host, images, 16),
        "skopeo, 16 processes",
        rounds,
        budget=0.3 if far_away else None,
    )


def measure_all(amount: Amount, directory: Path) -> Iterator[Row]:
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            raise NotMeasured(f"{program} is not installed (docker/engine/up.sh {program})")
    tags = [f"v{n // 500}.{n // 25 % 20}.{n % 25}" for n in range(amount.tags)]
    images = tags[-amount.images :]
    few = max(2, amount.rounds // 2)
    with open_registry(directory / "tags") as registry:
        asyncio.run(fill(registry.address, tags, images))
        yield from listings(registry.address, "local", tags, amount.rounds)
        if amount.near:
            yield from readings(registry.address, "local", images, few, far_away=False)
        with far(registry.address, amount.rtt, directory) as address:
            where = f"{amount.rtt:g} ms away"
            yield from listings(address, where, tags, amount.rounds)
            if amount.near:
                alone = metadata(address, images, 1)
                what = f"labels of {len(images)} versions, {where}"
                yield compare(what, metadata(address, images, 16), alone, "ours, one at a time", few)
            yield from readings(address, where, images, few, far_away=True)


def measure(context: Context) -> Iterator[Row]:
    """A part of it, in under a minute."""
    yield from measure_all(replace(FEW, rounds=context.rounds), context.directory)


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
    amount = Amount(given.tags, given.images, given.rounds, given.rtt)
    with tempfile.TemporaryDirectory() as name:
        try:
            print(table(list(measure_all(amount, Path(name)))))
        except NotMeasured as error:
            print(error, file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
