"""A staging folder beside the output, and the exchange of the two in one step.

The staging folder is locked while its process lives, however that ends, so that a later run can tell what was left
behind and remove it.
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
    """A new, locked folder beside `target`; whatever stands at its name afterwards is removed."""
    _sweep(target)
    staging, lock = _make_staging(target)
    try:
        yield staging
    finally:
        # Before the exchange this is the unfinished output, after it the old one.
        _remove(staging)
        if lock is not None:
            os.close(lock)


def _prefix(target: Path) -> str:
    # Not the output's own name, which may already be as long as names can be.
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
            # A file system without locks: nobody can lock the folder, so nobody takes it for a left one either.
            return staging, lock
        # Another run may have taken the folder for a left one before it was locked.
        if staging.exists():
            return staging, lock
        os.close(lock)


def _sweep(target: Path) -> None:
    """Remove the staging folders of runs that ended without doing so, and undo half an exchange.

    Where folders cannot be locked they stay, because nothing there tells a left folder from a live one.
    """
    if sys.platform == "win32":
        return
    for each in [name for name in target.parent.iterdir() if name.name.startswith(_prefix(target))]:
        try:
            lock = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            # It has just gone, or is another user's.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if each.name.endswith(_ASIDE) and not target.exists():
                each.rename(target)
            else:
                _remove(each)
        except OSError:
            # A live run's, or on a file system without locks.
            continue
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    # What cannot be removed now is found by the next run's sweep.
    shutil.rmtree(folder, ignore_errors=True)


def flush(folder: Path) -> None:
    """Have everything in a folder on the disk, so that after a power failure too the output is whole or absent."""
    for parent, _, files in os.walk(folder):
        for name in files:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    if sys.platform == "win32":
        # There, neither folders nor files open for reading can be flushed.
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
    """Let the staging folder take the output's name; what had it before then has the staging folder's."""
    for left in reversed(range(_TRIES)):
        try:
            if target.exists():
                staging.chmod(stat.S_IMODE(target.stat().st_mode))
                if not _rename(staging, target, _EXCHANGE):
                    _change_places(staging, target)
            elif not _rename(staging, target, _NO_REPLACE):
                staging.rename(target)
            break
        except (FileExistsError, FileNotFoundError):
            # Another run has made or replaced the output in between.
            if not left:
                raise
    _sync(target.parent)


def _rename(source: Path, destination: Path, flag: int) -> bool:
    """Linux's renameat2. False where the system or the file system has no such call."""
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
    """Exchange two folders where the system cannot do it in one step: for a moment there is no output."""
    aside = staging.with_name(f"{staging.name}{_ASIDE}")
    target.rename(aside)
    try:
        staging.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(staging)
