#!/usr/bin/env python3
"""A stand-in for sops 3.9 and its stores "dotenv" and "binary", for tests where the real one cannot be had.

It keeps what the real one keeps (learnt from its sources and from files it wrote): `KEY=ENC[AES256_GCM,…]` line by
line, empty values in clear, encrypted comments, blank lines dropped, `sops_…` metadata last, a MAC over the values, a
data key that only the identity of the recipient opens; its exit codes and the shape of its messages. The cipher is a
toy. It reads the age identity where the real one does: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, the user's keys.txt.

In tests it is put into a directory of the PATH under the name `sops`. SOPS_DOUBLE_VERSION makes it another version
(before 3.9 there is no `set`), SOPS_DOUBLE_LOG names a file that gets a line for each call: argv, as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import time
from pathlib import Path
from typing import NoReturn

_VALUE = re.compile(r"\AENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:(\w+)\]\Z")
Line = tuple[str | None, str]
"""A key and its value; a comment has no key."""


def identity() -> str:
    """A new age identity, as `age-keygen` prints one."""
    return "AGE-SECRET-KEY-1" + secrets.token_hex(29).upper()


def recipient(of: str) -> str:
    """The recipient that belongs to an identity."""
    return "age1" + hashlib.sha256(of.encode()).hexdigest()[:58]


def fail(code: int, message: str) -> NoReturn:
    sys.stderr.write(message.rstrip() + "\n")
    sys.exit(code)


def keys() -> list[str]:
    text = os.environ.get("SOPS_AGE_KEY", "")
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path(os.environ.get("HOME", "/")) / ".config")
    path = Path(os.environ.get("SOPS_AGE_KEY_FILE") or Path(config) / "sops/age/keys.txt")
    if path.is_file():
        text += "\n" + path.read_text()
    return re.findall(r"AGE-SECRET-KEY-1[0-9A-Z]+", text)


def _stream(key: bytes, iv: bytes, size: int) -> bytes:
    blocks = (
        hashlib.sha256(key + iv + number.to_bytes(4, "big")).digest() for number in range(size // 32 + 1)
    )
    return b"".join(blocks)[:size]


def seal(key: bytes, text: str, context: str, kind: str = "str") -> str:
    data, iv = text.encode(), secrets.token_bytes(32)
    sealed = bytes(one ^ two for one, two in zip(data, _stream(key, iv, len(data)), strict=True))
    tag = hmac.digest(key, iv + sealed + context.encode(), "sha256")[:16]
    parts = [base64.b64encode(part).decode() for part in (sealed, iv, tag)]
    return f"ENC[AES256_GCM,data:{parts[0]},iv:{parts[1]},tag:{parts[2]},type:{kind}]"


def unseal(key: bytes, text: str, context: str) -> str:
    found = _VALUE.match(text)
    if not found:
        raise ValueError(f"Input string {text} does not match sops' data format")
    sealed, iv, tag = (base64.b64decode(part) for part in found.groups()[:3])
    if not hmac.compare_digest(tag, hmac.digest(key, iv + sealed + context.encode(), "sha256")[:16]):
        raise ValueError("Could not decrypt with AES_GCM: cipher: message authentication failed")
    return bytes(one ^ two for one, two in zip(sealed, _stream(key, iv, len(sealed)), strict=True)).decode()


def parse(text: str) -> list[Line]:
    lines: list[Line] = []
    for line in text.split("\n"):
        if not line:
            continue
        if line.startswith("#"):
            lines.append((None, line[1:]))
        elif "=" in line:
            name, _, value = line.partition("=")
            lines.append((name, value.replace("\\n", "\n")))
        else:
            fail(1, f"Error unmarshalling input dotenv: invalid dotenv input line: {line}")
    return lines


def emit(lines: list[Line]) -> str:
    return "".join(
        f"#{value}\n" if name is None else f"{name}={value.replace(chr(10), chr(92) + 'n')}\n"
        for name, value in lines
    )


def mac_of(lines: list[Line]) -> str:
    return (
        hashlib.sha512("".join(value for name, value in lines if name is not None).encode())
        .hexdigest()
        .upper()
    )


def encrypt(lines: list[Line], key: bytes, to: str, version: str) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    made: list[Line] = []
    for name, value in lines:
        if name is None:
            made.append((None, seal(key, value, "", "comment")))
        else:
            made.append((name, seal(key, value, name) if value else ""))
    wrapped = seal(hashlib.sha256(to.encode()).digest(), key.hex(), "age")
    blob = f"-----BEGIN AGE ENCRYPTED FILE-----\n{wrapped}\n-----END AGE ENCRYPTED FILE-----\n"
    made += [
        ("sops_age__list_0__map_enc", blob),
        ("sops_age__list_0__map_recipient", to),
        ("sops_lastmodified", now),
        ("sops_mac", seal(key, mac_of(lines), now)),
        ("sops_unencrypted_suffix", "_unencrypted"),
        ("sops_version", version),
    ]
    return emit(made)


def decrypt(text: str) -> tuple[list[Line], bytes, str]:
    lines = parse(text)
    about = {name: value for name, value in lines if name is not None and name.startswith("sops_")}
    if "sops_mac" not in about or "sops_lastmodified" not in about:
        fail(1, "Error: sops metadata not found")
    to = about["sops_age__list_0__map_recipient"]
    if not any(recipient(one) == to for one in keys()):
        fail(
            128,
            "Failed to get the data key required to decrypt the SOPS file.\n\nGroup 0: FAILED\n"
            f"  {to}: FAILED\n    - | failed to create reader for decrypting sops data key with\n"
            "      | age: no identity matched any of the recipients\n\n"
            "Recovery failed because no master key was able to decrypt the file. In\n"
            "order for SOPS to recover the file, at least one key has to be successful,\nbut none were.",
        )
    wrapped = about["sops_age__list_0__map_enc"].split("\n")[1]
    key = bytes.fromhex(unseal(hashlib.sha256(to.encode()).digest(), wrapped, "age"))
    found: list[Line] = []
    try:
        for name, value in lines:
            if name is None:
                found.append((None, unseal(key, value, "")))
            elif not name.startswith("sops_"):
                found.append((name, unseal(key, value, name) if value else ""))
    except ValueError as error:
        fail(25, f"Error decrypting tree: Error walking tree: {error}")
    try:
        mac = unseal(key, about["sops_mac"], about["sops_lastmodified"])
    except ValueError:
        mac = ""
    if mac != mac_of(found):
        fail(51, f"MAC mismatch. File has {mac or 'no MAC'}, computed {mac_of(found)}")
    return found, key, to


def binary(path: Path, encrypting: bool, to: str, version: str) -> None:
    """One value as a whole: JSON with `data` and `sops`, as the real one's binary store writes it."""
    if encrypting:
        made = encrypt([("data", path.read_text())], secrets.token_bytes(32), to, version)
        lines = dict(parse(made))
        about = {str(name).removeprefix("sops_"): value for name, value in lines.items() if name != "data"}
        sys.stdout.write(json.dumps({"data": lines["data"], "sops": about}, indent=4))
        return
    try:
        tree = json.loads(path.read_text())
    except ValueError as error:
        fail(1, f"Error unmarshalling input json: {error}")
    if not isinstance(tree, dict) or "sops" not in tree:
        fail(1, "sops metadata not found")
    flat = [("data", tree["data"]), *((f"sops_{name}", value) for name, value in tree["sops"].items())]
    found, _, _ = decrypt(emit(flat))
    sys.stdout.write(str(found[0][1]))


def changed(lines: list[Line], index: str, written: str) -> list[Line]:
    try:
        (name,) = json.loads(index)
        value = json.loads(written)
    except ValueError:
        fail(7, "Value for --set is not valid JSON")
    made, there = [], False
    for key, old in lines:
        hit = key == name and not there
        there = there or hit
        made.append((key, value if hit else old))
    return made if there else [*made, (name, value)]


def main(argv: list[str]) -> None:
    log = os.environ.get("SOPS_DOUBLE_LOG")
    if log:
        with Path(log).open("a") as file:
            file.write(json.dumps(argv) + "\n")
    version = os.environ.get("SOPS_DOUBLE_VERSION", "3.9.4")
    old = tuple(map(int, version.split("."))) < (3, 9)
    options: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        # Options end at the first word that is none, as in the real one; a command has options of its own.
        if rest and not (rest == ["set"] and not old):
            rest.append(word)
        elif word in ("--decrypt", "-d", "--encrypt", "-e", "--version", "--disable-version-check"):
            options[{"-d": "--decrypt", "-e": "--encrypt"}.get(word, word)] = ""
        elif word in ("--input-type", "--output-type", "--set", "--age"):
            options[word] = next(words, "")
        elif word.startswith("-"):
            fail(1, f"flag provided but not defined: {word}")
        else:
            rest.append(word)
    if "--version" in options:
        sys.stdout.write(
            f"sops {version}\n" if "--disable-version-check" in options else f"sops {version} (latest)\n"
        )
        return
    command = rest.pop(0) if rest[:1] == ["set"] and not old else ""
    if not rest:
        fail(100, "Error: no file specified")
    path = Path(rest[0])
    if not path.exists():
        fail(100, "Error: cannot operate on non-existent file")
    if options.get("--input-type") == options.get("--output-type") == "binary":
        binary(path, "--encrypt" in options, options.get("--age", ""), version)
        return
    if options.get("--input-type") != "dotenv" or options.get("--output-type") != "dotenv":
        fail(1, "Error unmarshalling input json: invalid character 'A' looking for beginning of value")
    text = path.read_text()
    if "--encrypt" in options:
        to = options.get("--age", "")
        if not to:
            fail(
                1,
                "config file not found, or has no creation rules, and no keys provided through command line options",
            )
        sys.stdout.write(encrypt(parse(text), secrets.token_bytes(32), to, version))
        return
    lines, key, to = decrypt(text)
    if command or "--set" in options:
        index, written = (rest[1], rest[2]) if command else options["--set"].split(" ", 1)
        path.write_text(encrypt(changed(lines, index, written), key, to, version))
    elif "--decrypt" in options:
        sys.stdout.write(emit(lines))
    else:
        fail(
            201,
            "No editor available: sops attempts to use the editor defined in the EDITOR environment variable",
        )


if __name__ == "__main__":
    main(sys.argv[1:])
