"""Where the cache is, and how large it may become."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

from vggc.cache.store import Store
from vggc.diagnostics import Code, fail

VARIABLE = "VGGC_CACHE"
"""The environment variable: `off`, or the folder to use instead of the user's cache folder."""

SIZE_VARIABLE = "VGGC_CACHE_SIZE"
"""The environment variable with the most bytes that the cache may take, such as `500MB`."""

DEFAULT_SIZE = 4 << 30

_SIZE = re.compile(r"(\d{1,15})\s*(|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def cache_folder() -> Path | None:
    """Where vggc keeps things between runs, None when it must not.

    By the platform's convention: $XDG_CACHE_HOME/vggc or ~/.cache/vggc, ~/Library/Caches/vggc on macOS,
    %LOCALAPPDATA%\\vggc\\Cache on Windows. Raises CompileError when VGGC_CACHE is neither `off` nor an absolute path,
    and RuntimeError for a user without a home folder.
    """
    given = os.environ.get(VARIABLE, "")
    if given == "off":
        return None
    if given:
        if not Path(given).is_absolute():
            raise fail(
                f"the environment variable {VARIABLE} is `{given}`",
                help="it is `off`, or the absolute path of a folder",
                code=Code.VARIABLE,
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


def size_limit() -> int:
    """The most bytes of all entries together. Raises CompileError when VGGC_CACHE_SIZE is not a size."""
    given = os.environ.get(SIZE_VARIABLE, "")
    if not given:
        return DEFAULT_SIZE
    size = _SIZE.fullmatch(given.strip())
    if size is None:
        raise fail(
            f"the environment variable {SIZE_VARIABLE} is `{given}`",
            help="it is a number of bytes, or a size such as `500MB` or `4GiB`",
            code=Code.VARIABLE,
        )
    base = 1024 if size[2].endswith("iB") else 1000
    return int(size[1]) * int(base ** _POWERS[size[2][:1]])


def not_written(lost: str, folder: Path | str, reason: str) -> str:
    """The warning when the cache folder cannot be written; `lost` says what this costs."""
    return (
        f"{lost}: the cache folder `{folder}` cannot be written ({reason}); "
        f"set the environment variable {VARIABLE} to another folder, or to off"
    )


def open_store() -> Store | None:
    """The store of this user, None when nothing is to be kept. Raises as `cache_folder` and `size_limit` do."""
    folder = cache_folder()
    return None if folder is None else _store(folder, size_limit())


@cache
def _store(folder: Path, limit: int) -> Store:
    # One for each folder, because a store counts the bytes that it has written.
    return Store(folder, limit)
