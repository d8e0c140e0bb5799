"""git as a child process: looking at a checkout, a clean export of a commit, tags on other servers.

Nothing here ever resets, merges, cleans or force-pushes. The operator's hooks are not run and no credential helper
of theirs is asked or fed: a password is handed over for one call, as a file in memory, and a helper of our own gives
it to git. It is in no argument, no environment and no URL.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from disinto_tui.adapters.instance import disk_error
from disinto_tui.adapters.process import PRIVATE_FILE, Command, LineSink, Result, child_environment, run
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable
from disinto_tui.core.redact import Redactor, Secret

SHA = re.compile(r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_LOCAL_SECONDS, _REMOTE_SECONDS = 30.0, 120.0
_HELPER = f'!f() {{ test "$1" = get && cat {PRIVATE_FILE}; }}; f'
_MOST_EXPORTED = 4 << 30
"""Bytes; an export larger than this is no source tree."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password (or token) for one server, for one call."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit in one line. `at` is when it was committed, unix seconds."""

    sha: str
    at: int
    author: str
    subject: str


def _environment() -> dict[str, str]:
    """What git is given: no questions on the terminal, no hooks (they could be anything)."""
    extra = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    extra["GIT_SSH_COMMAND"] = os.environ.get("GIT_SSH_COMMAND") or "ssh -o BatchMode=yes"
    extra |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/dev/null",
    }
    return child_environment(extra)


def git_command(
    directory: str | Path,
    *arguments: str,
    writes: bool = False,
    login: Login | None = None,
    url: str = "",
    timeout: float = _LOCAL_SECONDS,
) -> Command:
    """`git -C DIRECTORY ARGUMENTS` as data. `writes` says whether it changes anything, here or elsewhere.

    `login` is for the server of `url` alone (scheme, host and port): git follows redirects, and asks for a login for
    wherever it was sent.
    """
    # An empty helper forgets those of the operator's own configuration: they would store what is not theirs.
    options = ["-C", str(directory), "-c", "credential.helper="]
    private = None
    if login is not None:
        options += ["-c", f"credential.{_server(url)}.helper={_HELPER}"]
        private = f"username={login.user}\npassword={login.password.reveal()}\n".encode()
    argv = ("git", *options, *arguments)
    return Command(argv, writes=writes, env=_environment(), timeout=timeout, private=private)


class Checkout:
    """A git work tree of the operator's: looked at, exported, never changed (but for objects that are fetched).

    Methods raise BadInput `git.none` when it is no checkout, Failed `git.failed` with git's own last words,
    Unavailable when git is not installed or does not answer in time.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    async def root(self) -> Path:
        """The top of the work tree."""
        result = await self._run("rev-parse", "--show-toplevel")
        if not result.ok:
            raise BadInput(
                f"{self.directory} is no git checkout.",
                "git finds no work tree there.",
                "Give the command in a checkout of the factory's repository, or name one with --checkout.",
                code="git.none",
                details=result.last_words(2),
            )
        return Path(result.stdout.strip())

    async def head(self) -> str:
        """The commit that is checked out."""
        return (await self._checked("rev-parse", "--verify", "HEAD^{commit}")).strip()

    async def branch(self) -> str:
        """The branch that is checked out; "" when HEAD is detached."""
        result = await self._run("symbolic-ref", "--quiet", "--short", "HEAD")
        return result.stdout.strip() if result.ok else ""

    async def changes(self) -> list[str]:
        """What is not committed: changed, added and untracked files, as `git status --porcelain` names them."""
        text = await self._checked("status", "--porcelain=v1", "--untracked-files=normal", "-z")
        return [entry for entry in text.split("\0") if entry.strip()]

    async def has(self, sha: str) -> bool:
        """Whether a commit is here."""
        return (await self._run("cat-file", "-e", f"{_sha(sha)}^{{commit}}")).ok

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` has `older` in its history."""
        return (await self._run("merge-base", "--is-ancestor", _sha(older), _sha(newer))).ok

    async def tag(self, name: str) -> str:
        """The commit a local tag points to, "" when there is none of that name."""
        result = await self._run("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
        return result.stdout.strip() if result.ok else ""

    async def tags(self) -> list[str]:
        """The names of all local tags."""
        return (await self._checked("tag", "--list")).split()

    async def file(self, sha: str, path: str) -> str | None:
        """A file's text in a commit, without a newline at its end; None when it is not there."""
        result = await self._run("show", f"{_sha(sha)}:{path}")
        return result.stdout if result.ok else None

    async def commits(self, newer: str, older: str = "", *, most: int = 200) -> list[Commit]:
        """The commits of `newer` that `older` does not have, newest first, merges left out."""
        span = f"{_sha(older)}..{_sha(newer)}" if older else _sha(newer)
        form = "--format=%H%x1f%ct%x1f%an%x1f%s%x1e"
        text = await self._checked("log", "--no-merges", f"--max-count={most}", form, span)
        found = []
        for entry in text.split("\x1e"):
            parts = entry.strip("\n").split("\x1f", 3)
            if len(parts) == 4:
                found.append(Commit(parts[0], int(parts[1]), parts[2], parts[3]))
        return found

    async def fetch(self, url: str, sha: str, login: Login | None = None) -> None:
        """Bring one commit's objects here from a server; no branch, no tag and no file changes."""
        command = git_command(
            self.directory,
            *("fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", url, _sha(sha)),
            writes=True,
            login=login,
            url=url,
            timeout=_REMOTE_SECONDS,
        )
        await _remote(command, url, login, "The commit could not be fetched.")

    async def export(self, sha: str, directory: Path) -> None:
        """Write the tree of a commit into an empty directory: what is committed, and nothing else.

        Modes and symbolic links survive; `export-ignore` attributes count. Raises Failed `git.export`, `disk.full`.
        """
        archive = await asyncio.to_thread(_make_room, directory)
        try:
            result = await run(git_command(self.directory, *archive_arguments(archive, sha), timeout=300))
            if not result.ok and "no space left on device" in result.stderr.lower():
                raise disk_error(directory, OSError(errno.ENOSPC, ""))
            if not result.ok:
                raise _failed(f"The commit {sha[:12]} could not be exported.", result)
            await asyncio.to_thread(_unpack, archive, directory)
        finally:
            archive.unlink(missing_ok=True)

    async def _run(self, *arguments: str) -> Result:
        return await run(git_command(self.directory, *arguments))

    async def _checked(self, *arguments: str, timeout: float = _LOCAL_SECONDS) -> str:
        result = await run(git_command(self.directory, *arguments, timeout=timeout))
        if not result.ok:
            raise _failed("git could not tell.", result)
        return result.stdout


def archive_arguments(archive: Path, sha: str) -> tuple[str, ...]:
    """What `git` is given to write the tree of a commit into an archive."""
    return "archive", "--format=tar", "-o", str(archive), _sha(sha)


def remote_refs_command(url: str, names: Sequence[str], login: Login | None = None) -> Command:
    """`git ls-remote`, outside of any checkout: its configuration could rewrite the URL."""
    return git_command("/", "ls-remote", "--", url, *names, login=login, url=url, timeout=_REMOTE_SECONDS)


def push_command(
    checkout: str | Path, url: str, refs: Mapping[str, str], login: Login | None = None
) -> Command:
    """`git push` of commits to names, all of them or none, never by force."""
    specs = [f"{_sha(sha)}:{name}" for name, sha in refs.items()]
    return git_command(
        checkout,
        *("push", "--porcelain", "--atomic", "--no-verify", "--no-follow-tags", "--", url, *specs),
        writes=True,
        login=login,
        url=url,
        timeout=_REMOTE_SECONDS,
    )


async def remote_refs(url: str, names: Sequence[str], login: Login | None = None) -> dict[str, str]:
    """What refs (`refs/tags/v1.0.0`) a server has, and the commit of each; an annotated tag's is the one it tags.

    Raises Failed `git.denied`, `git.failed`; Unavailable when nothing answers.
    """
    command = remote_refs_command(url, names, login)
    result = await _remote(command, url, login, f"{place_of(url)} could not be asked for its tags.")
    found: dict[str, str] = {}
    for line in result.stdout.splitlines():
        sha, _, name = line.partition("\t")
        if name.endswith("^{}"):
            found[name.removesuffix("^{}")] = sha
        else:
            found.setdefault(name, sha)
    return found


async def push_refs(
    checkout: Path,
    url: str,
    refs: Mapping[str, str],
    login: Login | None = None,
    *,
    on_lines: LineSink | None = None,
) -> None:
    """Push commits to names (`{"refs/tags/v1.0.0": sha}`) on a server, all of them or none, never by force.

    Raises Failed `git.denied`, `git.rejected` (the name means something else there), `git.failed`; Unavailable.
    """
    command = push_command(checkout, url, refs, login)
    await _remote(command, url, login, f"{place_of(url)} did not take it.", on_lines)


def place_of(url: str) -> str:
    """A server's name for people: the host of a URL or of `git@host:path`; never a login in it."""
    if "://" in url:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.hostname or url}{port}"
    host, colon, _ = url.partition(":")
    return host.rpartition("@")[2] if colon and "/" not in host else url


async def _remote(
    command: Command, url: str, login: Login | None, what: str, on_lines: LineSink | None = None
) -> Result:
    try:
        result = await run(command)
    except Unavailable as error:
        if error.code != "process.timeout":
            raise
        raise Unavailable(
            what,
            f"{place_of(url)} did not answer within {_REMOTE_SECONDS:g} s.",
            "Check the network, then try again.",
            code="git.timeout",
        ) from None
    # A server may echo what it was given.
    hide = Redactor([login.password] if login is not None else []).redact
    words = [hide(line) for line in result.last_words()]
    if on_lines is not None:
        lines = [hide(line) for line in (*result.stdout.splitlines(), *result.stderr.splitlines()) if line]
        on_lines("out", lines)
    if result.ok:
        return result
    raise _remote_error(what, url, words, hide(result.stdout + result.stderr))


def _remote_error(what: str, url: str, words: list[str], text: str) -> DisintoError:
    """What git's words mean (observed with 2.39 over https and ssh)."""
    low, place = text.lower(), place_of(url)
    if any(
        word in low
        for word in (
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied",
            "the requested url returned error: 403",
            "host key verification failed",
        )
    ):
        return Failed(
            what,
            f"{place} does not let us in, or does not let us write there.",
            "Check the token's rights, or the ssh key and that its host key is known, then try again.",
            code="git.denied",
            details=words,
        )
    if "[rejected]" in low or "! [remote rejected]" in low or "\n!\t" in text or text.startswith("!\t"):
        return Failed(
            what,
            f"The name is taken there and means another commit, or {place} refuses it.",
            "Look at it there; nothing is ever overwritten from here.",
            code="git.rejected",
            details=words,
        )
    if any(
        word in low
        for word in (
            "could not resolve host",
            "connection refused",
            "connection timed out",
            "failed to connect",
            "unable to access",
            "no route to host",
            "the remote end hung up",
        )
    ):
        return Unavailable(
            what,
            f"{place} did not answer.",
            "Check the network, then try again.",
            code="git.down",
            details=words,
        )
    return _failed(what, None, words)


def _failed(what: str, result: Result | None, words: list[str] | None = None) -> Failed:
    said = words if words is not None else (result.last_words() if result is not None else [])
    why = said[-1].strip().removeprefix("fatal: ") if said else "It printed nothing"
    return Failed(
        what,
        f"git says: {why.rstrip('.')}.",
        "Mend what it names, then try again.",
        code="git.failed",
        details=said,
    )


def _server(url: str) -> str:
    """Scheme, host and port of an http or https URL, or ValueError: a login is for nothing else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no place for a login: {place_of(url)!r}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _sha(text: str) -> str:
    """A full commit id, or ValueError: nothing that git could take for an option or an expression."""
    if not SHA.match(text):
        raise ValueError(f"not a commit id: {text!r}")
    return text


def _make_room(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory.parent / f"{directory.name}.tar"


def _unpack(archive: Path, directory: Path) -> None:
    size = archive.stat().st_size
    if size > _MOST_EXPORTED:
        raise _not_exported(
            f"Its tree has {size} bytes.", "Look whether something large was committed by mistake."
        )
    with tarfile.open(archive) as tar:
        # git wrote it, from a tree that somebody else may have committed: nothing may point outside.
        for member in tar.getmembers():
            if member.name.startswith("/") or ".." in member.name.split("/"):
                raise _not_exported(f"It holds a file named {member.name!r}.", "Look at who committed it.")
        if hasattr(tarfile, "tar_filter"):  # not in the first releases of Python 3.10
            tar.extractall(directory, filter="tar")
        else:
            tar.extractall(directory)  # noqa: S202  # looked through above


def _not_exported(why: str, now: str) -> Failed:
    return Failed("The commit cannot be exported.", why, now, code="git.export")
