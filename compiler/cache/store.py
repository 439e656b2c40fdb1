"""Entries in a folder, each under a key: a SHA-256 over everything that the entry depends on.

Each entry has a hash of its own, so that a damaged entry is recognized and removed. An entry is written under another
name and renamed, so that other processes see all of it or nothing. It is not flushed to the disk: an entry that a power
failure has torn is a damaged one. Nothing in an entry is ever executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

KINDS = {
    "steps": "what steps did",
    "graphs": "models between steps",
    "checks": "measured values and comparisons",
    "outputs": "outputs of models on data",
    "ranges": "ranges of values",
    "trainings": "checkpoints of trainings",
    "recipes": "syntax trees of recipes",
}

_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{16}\.tmp)?")
_UNFINISHED_SECONDS = 3600
"""The age at which an unfinished entry belongs to a process that was killed."""

_SHARE = 64
"""A process looks through the folder again when it has written the limit divided by this number."""


class Unusable(Exception):
    """An entry that exists and cannot be used; the text says why."""


class Entry(NamedTuple):
    """A file of the store. `used` is when it was written or read last, in nanoseconds since 1970."""

    used: int
    bytes: int
    kind: str
    path: Path


class Store:
    """Entries by kind and key. The entries that were not used for the longest time are removed beyond `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._unseen = limit

    def path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether there is an entry. Another process may remove it at any time, and it may be damaged."""
        return self.path(kind, key).is_file()

    def read(self, kind: str, key: str) -> memoryview | None:
        """The content of an entry, None when there is none. A damaged entry is removed. Raises Unusable for it."""
        path = self.path(kind, key)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unusable(f"`{path}` cannot be read: {error.strerror or error}") from None
        content = memoryview(data)[_SEAL:]
        if data[:_SEAL] != _seal(kind, key, content):
            raise self.damaged(kind, key)
        with contextlib.suppress(OSError):
            # The time of the last use decides what is removed first.
            os.utime(path)
        return content

    def damaged(self, kind: str, key: str) -> Unusable:
        """Remove an entry whose content cannot be right. Returns the reason."""
        path = self.path(kind, key)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return Unusable(f"`{path}` was damaged and has been removed")

    def read_json(self, kind: str, key: str) -> Any:
        """The JSON value that `write_json` wrote, None when there is none. Raises Unusable."""
        content = self.read(kind, key)
        try:
            return None if content is None else json.loads(bytes(content))
        except ValueError:
            raise self.damaged(kind, key) from None

    def write(self, kind: str, key: str, *parts: bytes | memoryview) -> None:
        """Keep parts, joined, under a key. Raises OSError when the folder cannot be written or the disk is full."""
        path = self.path(kind, key)
        # Only for the user, as the XDG specification says.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished = path.with_name(f"{key}.{secrets.token_hex(8)}.tmp")
        try:
            with unfinished.open("wb") as file:
                file.write(_seal(kind, key, *parts))
                for part in parts:
                    file.write(part)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        self._unseen += _SEAL + sum(map(len, parts))
        if self._unseen * _SHARE >= self.limit:
            self._unseen = 0
            self._shrink()

    def write_json(self, kind: str, key: str, content: Any) -> None:
        """Keep a JSON value under a key. Raises OSError like `write`, and ValueError for what JSON cannot hold."""
        self.write(kind, key, json.dumps(content).encode())

    def entries(self) -> Iterator[Entry]:
        """All entries, those that are being written included."""
        for kind in KINDS:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for path in (self.folder / kind).iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        # Another process may just have removed it.
                        if _NAME.fullmatch(path.name):
                            status = path.stat()
                            yield Entry(status.st_mtime_ns, status.st_size, kind, path)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """By kind, the number of entries and their bytes."""
        found: dict[str, list[int]] = defaultdict(list)
        for each in self.entries():
            found[each.kind].append(each.bytes)
        return {kind: (len(found[kind]), sum(found[kind])) for kind in KINDS}

    def clear(self) -> None:
        """Remove all entries. Raises OSError."""
        for each in self.entries():
            each.path.unlink(missing_ok=True)

    def _shrink(self) -> None:
        """Remove the oldest entries beyond the limit, and what killed processes have left."""
        entries = sorted(self.entries())
        total = sum(each.bytes for each in entries)
        abandoned = time.time_ns() - _UNFINISHED_SECONDS * 10**9
        for each in entries:
            unfinished = each.path.suffix == ".tmp"
            if total > self.limit or (unfinished and each.used < abandoned):
                each.path.unlink(missing_ok=True)
                total -= each.bytes


_SEAL = 32


def _seal(kind: str, key: str, *parts: bytes | memoryview) -> bytes:
    """The hash of an entry. It covers the key, so that an entry under another key's name is a damaged one."""
    digest = hashlib.sha256(f"{kind} {key} ".encode())
    for part in parts:
        digest.update(part)
    return digest.digest()
