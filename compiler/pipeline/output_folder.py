"""The output folder, which appears completely or not at all.

Everything is written into a staging folder beside it, on the same file system, with a hidden name. At the end, the two
are exchanged in one step, or the staging folder gets the free name. Until then, the old output does not change.
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

from vggc.diagnostics import Code, CompileError, fail
from vggc.pipeline.atomic_folder import flush, place, staging_folder
from vggc.report.page import html_page
from vggc.report.picture import Picture
from vggc.report.pictures import NO_PICTURES, PagePictures
from vggc.report.record import Report

REPORT = "report.json"
"""The report for programs. It shows that a folder is an output of vggc, and lists the files that vggc wrote."""

PAGE = "report.html"
"""The report for people."""

_REPORT_KEYS = frozenset({"steps", "artifacts", "recipe", "model"})
_REPORT_LIMIT = 256 << 20
# File managers write these files into folders that they show.
_FILE_MANAGER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SHOWN = 3


def write_report(
    folder: Path, report: Report, before: Picture, after: Picture | None, pictures: PagePictures = NO_PICTURES
) -> None:
    """Write a report into an output folder, for programs and for people; see `html_page`."""
    (folder / REPORT).write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(html_page(report, before, after, pictures), encoding="utf-8")


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A staging folder to write into, which becomes `path` when the block ends without an exception.

    On any exception in the block, on Ctrl-C, SIGTERM and SIGHUP, everything written is removed, and `path` does not
    change. Raises CompileError, without a span, when `path` cannot be the output (it is a file, it contains files that
    vggc did not write, it is the current folder) or cannot be written (no permission, no space).
    """
    target = check_output_folder(path)
    staging = None
    try:
        with _ending_signals(), _parents(target), staging_folder(target) as staging:
            yield staging
            flush(staging)
            # Check again, because hours may have passed since the start.
            check_output_folder(path)
            place(staging, target)
    except OSError as error:
        # An error before the block is about the folder. An error in the block may also be about the user's data.
        if staging is None or error.errno in _FULL or _names(error, staging) or _names(error, target):
            raise _explained(error, path) from None
        raise


def check_output_folder(path: Path) -> Path:
    """The folder at `path`, with links resolved. Raises CompileError when vggc may not write or replace it."""
    try:
        target = path.resolve()
        if not target.exists():
            return target
        if not target.is_dir():
            raise fail(
                f"the output folder `{path}` is a file", help="name another folder with -o", code=Code.OUTPUT_FOLDER
            )
        if Path.cwd().is_relative_to(target):
            raise fail(
                f"the output folder `{path}` is the current folder or contains it",
                help="vggc replaces the whole folder: name another folder with -o, such as `-o build/model`",
                code=Code.OUTPUT_FOLDER,
            )
        if os.path.ismount(target):
            raise fail(
                f"the output folder `{path}` is a mount point, which cannot be replaced as a whole",
                help=f"name a folder inside it: `-o {path / 'model'}`",
                code=Code.OUTPUT_FOLDER,
            )
        foreign = list(islice(_foreign(target), _SHOWN + 1))
    except OSError as error:
        raise _explained(error, path) from None
    except RuntimeError as error:
        raise fail(f"the output folder `{path}` cannot be found: {error}", code=Code.OUTPUT_FOLDER) from None
    if foreign:
        shown = ", ".join(f"`{each}`" for each in foreign[:_SHOWN]) + " and more" * (len(foreign) > _SHOWN)
        raise fail(
            f"the output folder `{path}` contains files that vggc did not write: {shown}",
            help="vggc replaces the whole folder: name a new or empty folder with -o, or move these files away",
            code=Code.OUTPUT_FOLDER,
        )
    return target


def _foreign(folder: Path) -> Iterator[str]:
    """The files in a folder other than a report of vggc and the files that it lists."""
    own = _reported(folder / REPORT)
    for parent, folders, files in os.walk(folder, onerror=_raise):
        inside = Path(parent).relative_to(folder)
        for name in sorted([*files, *(each for each in folders if Path(parent, each).is_symlink())]):
            relative = (inside / name).as_posix()
            if relative not in own and name not in _FILE_MANAGER_FILES:
                yield relative


def _raise(error: OSError) -> None:
    raise error


def _reported(report: Path) -> frozenset[str]:
    """The files that a compile wrote according to its report, the report included; none when it is not a report."""
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
    """Make the missing parent folders of the output. Those that are still empty at the end are removed again."""
    missing = []
    parent = target.parent
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program like Ctrl-C: through `finally`, with the usual exit status."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    names = [signal.SIGTERM] + ([signal.SIGHUP] if sys.platform != "win32" else [])
    # Only the main thread can set handlers. Handlers of other code are not replaced.
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
    beside = f"vggc writes a new folder beside it and exchanges the two, so it must be able to write to {_parent(path)}"
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
    return fail(f"cannot write the output folder `{path}`: {reason}", help=advice, code=Code.OUTPUT_FOLDER)


def _parent(path: Path) -> str:
    parent = path.parent
    return "the current folder" if parent == Path() else f"`{parent}`"
