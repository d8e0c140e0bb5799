"""Real git repositories over a real transport: `git http-backend` behind a small server on loopback.

Anybody with the password may push to any repository, except to those listed in `closed`. What was sent to the
server stays readable in `requests` (path, Authorization).
"""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER, PASSWORD = "mirror-bot", "m1rror-pa55"


@dataclass
class GitServer:
    """`url("x")` is a bare repository in `directory/x.git`."""

    directory: Path
    address: str
    closed: set[str] = field(default_factory=set)
    password: str = PASSWORD
    tells: bool = False
    """Its refusals repeat what it was given, as careless servers do."""
    elsewhere: str = ""
    """Where it sends whoever asks for anything ("http://host:port")."""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"http://{self.address}/{name}.git"

    def make(self, name: str) -> Path:
        """A new, empty repository."""
        path = self.directory / f"{name}.git"
        git(self.directory, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        git(path, "config", "http.receivepack", "true")
        return path

    def refs(self, name: str) -> dict[str, str]:
        """What is there: ref to commit."""
        text = git(self.directory / f"{name}.git", "for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in text.splitlines())


def git(directory: Path, *arguments: str) -> str:
    """Plain git, with an identity and none of the developer's settings."""
    who = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.invalid"}
    who |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.invalid"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=env,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def commit(directory: Path, files: dict[str, str], message: str = "work") -> str:
    """Write files, commit everything, return the commit's id."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(directory, "rev-parse", "HEAD")


def checkout(directory: Path) -> Path:
    """A new work tree with one commit."""
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory, {"VERSION": "0.4.0\n", "README.md": "hello\n"}, "first")
    return directory


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        known = self.server.known
        path, _, query = self.path.partition("?")
        given = self.headers.get("Authorization", "")
        known.requests.append((self.path, given))
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else self._chunks()
        if known.elsewhere:
            return self._say(302, b"", {"Location": known.elsewhere + self.path})
        login = base64.b64decode(given.removeprefix("Basic ")).decode(errors="replace")
        pushing = "git-receive-pack" in self.path
        if login.partition(":")[2] != known.password:  # a token is what counts, whatever the name before it
            return self._say(401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
        if pushing and path.strip("/").partition(".git")[0] in known.closed:
            told = f"no pushing here for {login}\n{given}\n" if known.tells else "no pushing here\n"
            return self._say(403, told.encode(), {"Content-Type": "text/plain"})
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(known.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": USER,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, check=False, env=env)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(fields.pop("Status", "200 OK").split()[0])
        return self._say(status, answer, fields)

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _say(self, status: int, body: bytes, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    known: GitServer


@contextlib.contextmanager
def git_server(directory: Path, password: str = PASSWORD) -> Iterator[GitServer]:
    """Serve the repositories of a directory for the length of a `with`, to those who know the password."""
    directory.mkdir(parents=True, exist_ok=True)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.known = GitServer(directory, f"127.0.0.1:{server.server_address[1]}", password=password)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
