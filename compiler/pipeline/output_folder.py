"""The output folder, which appears whole or not at all.

Everything is written into a staging folder beside it, on the same file system, under a hidden name. At the end the two
change places in one step, or the new one takes a free name; until then the old output stands untouched.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType

from vggc.diagnostics import CompileError, fail
from vggc.pipeline.atomic_folder import flush, place, staging_folder

REPORT = "report.json"
"""Says that a folder is vggc's, and which files in it are."""

PAGE = "report.html"
"""The same for a person to read."""

_REPORT_KEYS = frozenset({"steps", "artifacts", "recipe", "model"})
_REPORT_LIMIT = 256 << 20
# Written by file managers into any folder they show.
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SHOWN = 3


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A staging folder to write into, which becomes `path` when the block ends well.

    On any exception in the block, on Ctrl-C and on SIGTERM and SIGHUP, everything written is removed and what stood
    at `path` stays. Raises CompileError, without a span, when `path` cannot be the output (it is a file, it holds
    what vggc did not write, it is the current folder) or cannot be written (no permission, no space).
    """
    target = check_output_folder(path)
    staging = None
    try:
        with _ending_signals(), _parents(target), staging_folder(target) as staging:
            yield staging
            flush(staging)
            # Looked at again: hours may have passed since the start.
            check_output_folder(path)
            place(staging, target)
    except OSError as error:
        # An error before the block is the folder's own; one in it may be about the user's data as well.
        if staging is None or error.errno in _FULL or _names(error, staging) or _names(error, target):
            raise _explained(error, path) from None
        raise


def check_output_folder(path: Path) -> Path:
    """The folder that `path` means, links followed. Raises CompileError when vggc may not write or replace it."""
    try:
        target = path.resolve()
        if not target.exists():
            return target
        if not target.is_dir():
            raise fail(f"the output folder `{path}` is a file", help="name another folder with -o")
        if Path.cwd().is_relative_to(target):
            raise fail(
                f"the output folder `{path}` is the current folder or holds it",
                help="it is replaced as a whole: name a folder of its own with -o, such as `-o build/model`",
            )
        if os.path.ismount(target):
            raise fail(
                f"the output folder `{path}` is a mount point, which cannot be replaced as a whole",
                help=f"name a folder inside it: `-o {path / 'model'}`",
            )
        foreign = list(islice(_foreign(target), _SHOWN + 1))
    except OSError as error:
        raise _explained(error, path) from None
    except RuntimeError as error:
        raise fail(f"the output folder `{path}` cannot be found: {error}") from None
    if foreign:
        shown = ", ".join(f"`{each}`" for each in foreign[:_SHOWN]) + " and more" * (len(foreign) > _SHOWN)
        raise fail(
            f"the output folder `{path}` holds what vggc did not write: {shown}",
            help="it is replaced as a whole: name a new or an empty folder with -o, or move these files away",
        )
    return target


def _foreign(folder: Path) -> Iterator[str]:
    """What stands in a folder and is neither a compile's report nor one of the files that report lists."""
    own = _reported(folder / REPORT)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        inside = Path(parent).relative_to(folder)
        for name in sorted([*files, *(each for each in folders if Path(parent, each).is_symlink())]):
            relative = (inside / name).as_posix()
            if relative not in own and name not in _DROPPINGS:
                yield relative


def _raise(error: OSError) -> None:
    raise error


def _reported(report: Path) -> frozenset[str]:
    """The files a report says the compile wrote, itself included; none when it is no report of vggc's."""
    if not report.is_file() or report.stat().st_size > _REPORT_LIMIT:
        return frozenset()
    try:
        content = json.loads(report.read_bytes())
        if not isinstance(content, dict) or not content.keys() >= _REPORT_KEYS:
            return frozenset()
        return frozenset({REPORT, PAGE, *(str(each["path"]) for each in content["artifacts"])})
    except (ValueError, TypeError, KeyError, RecursionError):
        return frozenset()


@contextmanager
def _parents(target: Path) -> Iterator[None]:
    """Make the folders above the output; those that are new and empty in the end are removed again."""
    missing = []
    each = target.parent
    while not each.exists():
        missing.append(each)
        each = each.parent
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in missing:
            if each.is_dir() and not any(each.iterdir()):
                each.rmdir()


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does: through `finally`, with the usual exit status."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    names = [signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])
    # Handlers belong to the main thread; one that somebody else has set is theirs to keep.
    ours = threading.current_thread() is threading.main_thread()
    replaced = [each for each in names if ours and signal.getsignal(each) is signal.SIG_DFL]
    for each in replaced:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in replaced:
            signal.signal(each, signal.SIG_DFL)


def _names(error: OSError, folder: Path) -> bool:
    """Whether an error names a folder or a file in it."""
    name = error.filename
    return isinstance(name, str | bytes) and Path(os.fsdecode(name)).is_relative_to(folder)


def _explained(error: OSError, path: Path) -> CompileError:
    elsewhere = "name another folder with -o"
    space = f"free some space, or {elsewhere}"
    beside = f"vggc writes beside the folder and then exchanges the two, so it must be able to write to {_parent(path)}"
    reasons = {
        errno.ENOSPC: ("no space left on the disk", space),
        errno.EDQUOT: ("the disk quota is used up", space),
        errno.EFBIG: ("a file would be larger than is allowed here", elsewhere),
        errno.EACCES: ("no permission", beside),
        errno.EPERM: ("no permission", beside),
        errno.EROFS: ("the file system is read-only", beside),
        errno.EEXIST: ("a part of the path is a file", elsewhere),
        errno.ENOTDIR: ("a part of the path is a file", elsewhere),
        errno.ENAMETOOLONG: ("the name is too long", elsewhere),
    }
    reason, advice = reasons.get(error.errno or 0, (error.strerror or str(error), ""))
    return fail(f"cannot write the output folder `{path}`: {reason}", help=advice)


def _parent(path: Path) -> str:
    parent = path.parent
    return "the current folder" if parent == Path() else f"`{parent}`"
