"""What goes wrong between here and an HTTP server, told apart and said in three sentences."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from disinto_tui.core.errors import Unavailable

_TRY_AGAIN = "Check that it is running and reachable from this machine, then try again."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no answer came. `kind` is one of dns, refused, route, tls, proxy, timeout, broken;
    `transient` says whether trying again at once can help."""

    kind: str
    why: str
    now: str
    transient: bool = False


def unavailable(area: str, peer: str, trouble: Trouble) -> Unavailable:
    """The error for an operator. `area` is the code's first word (`registry`), `peer` what did not answer
    ("The registry ghcr.io"). Codes: `<area>.<kind>`."""
    return Unavailable(f"{peer} did not answer.", trouble.why, trouble.now, code=f"{area}.{trouble.kind}")


def connection_trouble(error: BaseException, host: str) -> Trouble | None:
    """Classify an exception of aiohttp or the operating system; None when it is not about a connection.

    `host` is the host the request went to. The texts never hold a URL's query or a header.
    """
    import asyncio
    import ssl

    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _dns(error, host)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate(error.certificate_error, host)
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return _tls(error, host)
    if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return Trouble(
            "proxy",
            "The proxy named in HTTP_PROXY or HTTPS_PROXY did not let the request through.",
            f"Mend the proxy setting, or put {host} into NO_PROXY, then try again.",
        )
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return timeout_trouble()
    if isinstance(error, aiohttp.ClientConnectorError):
        return _not_connected(error.os_error, host)
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)):
        return Trouble(
            "broken", "The connection broke before the answer was complete.", _TRY_AGAIN, transient=True
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return Trouble(
            "broken",
            "What it sent is not an HTTP answer.",
            "Check the address and the port: another kind of server may listen there.",
        )
    if isinstance(error, OSError):
        return _not_connected(error, host)
    return None


def timeout_trouble(seconds: float | None = None) -> Trouble:
    """Nothing came in time; `seconds` is the time it was given, when one limit explains it."""
    given = "the time it was given" if seconds is None else f"{seconds:.0f} s"
    return Trouble(
        "timeout",
        f"Nothing came back within {given}.",
        "Check the network and whether the server is overloaded, then try again.",
        transient=True,
    )


def _dns(error: OSError, host: str) -> Trouble:
    import socket

    number = getattr(getattr(error, "os_error", None), "errno", None) or error.errno
    again = number == socket.EAI_AGAIN
    return Trouble(
        "dns",
        f"The name {host} cannot be resolved (DNS).",
        "Check the host name for a typing error, and this machine's network and DNS, then try again.",
        transient=again,
    )


def _certificate(error: Exception, host: str) -> Trouble:
    words = str(getattr(error, "verify_message", "") or "it was not accepted").rstrip(".")
    return Trouble(
        "tls",
        f"The TLS certificate of {host} is not trusted: {words}.",
        "Install the authority that signed it, or find out what intercepts the connection.",
    )


def _tls(error: Exception, host: str) -> Trouble:
    text = str(error).lower()
    if re.search("wrong.version.number|record layer failure|http.request|unknown.protocol", text):
        return Trouble(
            "tls",
            f"{host} does not speak TLS on that port.",
            "If it is a plain-http server on purpose, it must be on this machine or listed as insecure.",
        )
    return Trouble(
        "tls",
        f"No secure connection to {host} could be made (TLS handshake failed).",
        "Check the server's TLS set-up and this machine's clock, then try again.",
    )


def _not_connected(error: OSError, host: str) -> Trouble:
    text = str(error)
    refused = f"[Errno {errno.ECONNREFUSED}]"
    if error.errno == errno.ECONNREFUSED or refused in text or "Connect call failed" in text:
        return Trouble("refused", f"Nothing listens at that port of {host} (connection refused).", _TRY_AGAIN)
    if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}:
        return Trouble(
            "route",
            f"There is no way to {host} from this network.",
            "Check this machine's network connection, then try again.",
        )
    if error.errno == errno.ETIMEDOUT:
        return timeout_trouble()
    return Trouble(
        "broken", "The connection broke before the answer was complete.", _TRY_AGAIN, transient=True
    )
