"""A server with a certificate that nobody signed."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from tests.adapters.support_stub import answer


@pytest.fixture
async def tls_server(tmp_path: Path) -> AsyncIterator[str]:
    """`https://127.0.0.1:PORT`; `/plain` redirects to plain http."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.path == "/plain":
            raise web.HTTPFound("http://127.0.0.1:9/")
        return answer({})

    server = RawTestServer(handler, host="127.0.0.1")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
