"""Small results kept between runs, in the user's cache folder.

Entries are JSON with a hash of their own, so that a damaged one is told from a good one; nothing in them is ever run.
They are written under another name and renamed, so that other processes see all of an entry or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

from vggc.diagnostics import fail

VARIABLE = "VGGC_CACHE"
"""The environment variable: `off`, or the folder to take in place of the user's cache folder."""

LIMIT = 16 << 20
"""Bytes of all entries together."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{16}\.tmp|\.json)")


class Unusable(Exception):
    """An entry that is there and cannot be used; the text says why."""


def cache_folder() -> Path | None:
    """Where vggc keeps things between runs, None when it must not.

    By the platform's convention: $XDG_CACHE_HOME/vggc or ~/.cache/vggc, ~/Library/Caches/vggc on macOS,
    %LOCALAPPDATA%\\vggc\\Cache on Windows. Raises CompileError when VGGC_CACHE is neither `off` nor an absolute path.
    """
    given = os.environ.get(VARIABLE, "")
    if given == "off":
        return None
    if given:
        if not Path(given).is_absolute():
            raise fail(
                f"the environment variable {VARIABLE} is `{given}`",
                help="it is `off`, or the absolute path of a folder",
            )
        return Path(given)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "vggc" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vggc"
    # What is not absolute is to be ignored: XDG Base Directory Specification 0.8.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "vggc"


class Store:
    """Entries by key, a SHA-256 in hexadecimal, in a folder; the oldest go when they take more than `limit` bytes."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def read(self, key: str) -> Any:
        """What was written under a key, None when there is nothing. Raises Unusable for what is damaged."""
        path = self.path(key)
        try:
            with path.open("rb") as file:
                data = file.read(self.limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(f"`{path}` cannot be read: {error.strerror or error}") from None
        head, _, body = data.partition(b"\n")
        if len(data) > self.limit or head.decode("ascii", "replace") != _seal(key, body):
            raise Unusable(f"`{path}` is damaged")
        try:
            return json.loads(body)
        except ValueError:
            raise Unusable(f"`{path}` is damaged") from None

    def write(self, key: str, content: Any) -> None:
        """Keep JSON values under a key. Raises OSError when the folder cannot be written."""
        body = json.dumps(content, allow_nan=False).encode()
        # The user's alone, as the specification has it.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.folder / f"{key}.{secrets.token_hex(8)}.tmp"
        try:
            unfinished.write_bytes(_seal(key, body).encode() + b"\n" + body)
            unfinished.replace(self.path(key))
        finally:
            unfinished.unlink(missing_ok=True)
        self._shrink()

    def _shrink(self) -> None:
        """Remove the oldest entries, and what processes that were killed have left, beyond the limit."""
        entries = []
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    # Another process has just removed it.
                    continue
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size


def _seal(key: str, body: bytes) -> str:
    return hashlib.sha256(key.encode() + body).hexdigest()
