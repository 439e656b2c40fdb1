"""A staging folder beside the output, and the exchange of the two in one step.

The staging folder is locked as long as its process lives, so that a later run can recognize and remove the folders of
processes that ended early.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

_NO_REPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_ASIDE = "-old"
_TRIES = 5


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """A new, locked folder beside `target`. A folder with its name after the block is removed."""
    _sweep(target)
    staging, lock = _make_staging(target)
    try:
        yield staging
    finally:
        # Before the exchange this is the unfinished output, afterwards the old output.
        _remove(staging)
        if lock is not None:
            os.close(lock)


def _prefix(target: Path) -> str:
    # A hash and not the output's name, which may already have the maximum length.
    return f".vggc-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def _make_staging(target: Path) -> tuple[Path, int | None]:
    while True:
        staging = target.with_name(f"{_prefix(target)}{os.getpid()}-{secrets.token_hex(4)}")
        staging.mkdir()
        if sys.platform == "win32":
            return staging, None
        try:
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            # The file system has no locks, so other runs cannot lock the folder and do not remove it.
            return staging, lock
        # Another run may have removed the folder before it was locked.
        if staging.exists():
            return staging, lock
        os.close(lock)


def _sweep(target: Path) -> None:
    """Remove the staging folders of runs that ended early, and undo an incomplete exchange.

    On systems without locks the folders stay, because nothing shows whether their process still runs.
    """
    if sys.platform == "win32":
        return
    for folder in [path for path in target.parent.iterdir() if path.name.startswith(_prefix(target))]:
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # It was removed in the meantime, or belongs to another user.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.name.endswith(_ASIDE) and not target.exists():
                folder.rename(target)
            else:
                _remove(folder)
        except OSError:
            # Its process still runs, or the file system has no locks.
            continue
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    # The next run removes what cannot be removed now.
    shutil.rmtree(folder, ignore_errors=True)


def flush(folder: Path) -> None:
    """Write a folder through to the disk, so that the output is complete or absent also after a power failure."""
    for parent, _, files in os.walk(folder):
        for name in files:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    if sys.platform == "win32":
        # Windows cannot flush folders or files that are open for reading.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder.
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def place(staging: Path, target: Path) -> None:
    """Give the staging folder the output's name. An older output gets the name of the staging folder."""
    for tries_left in reversed(range(_TRIES)):
        try:
            if target.exists():
                staging.chmod(stat.S_IMODE(target.stat().st_mode))
                if not _rename(staging, target, _EXCHANGE):
                    _change_places(staging, target)
            elif not _rename(staging, target, _NO_REPLACE):
                staging.rename(target)
            break
        except (FileExistsError, FileNotFoundError):
            # Another run made or replaced the output in the meantime.
            if not tries_left:
                raise
    _sync(target.parent)


def _rename(source: Path, destination: Path, flag: int) -> bool:
    """Call Linux's renameat2. False when the system or the file system does not support it."""
    function: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if function is None:
        return False
    status = function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(destination), ctypes.c_uint(flag))
    if status == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(destination))


def _change_places(staging: Path, target: Path) -> None:
    """Exchange two folders on systems that cannot do it in one step. For a moment there is no output."""
    aside = staging.with_name(f"{staging.name}{_ASIDE}")
    target.rename(aside)
    try:
        staging.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(staging)
