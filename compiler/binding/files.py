"""The files and folders that a recipe names."""

from __future__ import annotations

from pathlib import Path

from vggc.diagnostics import Code, fail, nearest


def must_be_file(path: Path) -> None:
    """Raise CompileError unless there is a file at `path`."""
    _must_be(path, "file")


def must_be_folder(path: Path) -> None:
    """Raise CompileError unless there is a folder at `path`."""
    _must_be(path, "folder")


def must_exist(path: Path) -> None:
    """Raise CompileError unless there is a file or a folder at `path`."""
    _must_be(path, "file or folder")


def _must_be(path: Path, wanted: str) -> None:
    try:
        there, folder = path.exists(), path.is_dir()
    except OSError as error:
        raise fail(
            f"`{path}` cannot be looked up: {error.strerror}",
            help="give a shorter path, or one that you have permission to read",
            code=Code.NO_FILE,
        ) from None
    if not there:
        raise fail(f"there is no {wanted} `{path}`", help=_help(path), code=Code.NO_FILE)
    if folder and wanted == "file":
        raise fail(f"`{path}` is a folder, not a file", help="name a file in it", code=Code.NO_FILE)
    if not folder and wanted == "folder":
        raise fail(f"`{path}` is a file, not a folder", help=f"name the folder: `{path.parent}`", code=Code.NO_FILE)


def _help(path: Path) -> str:
    here = Path(path.name).absolute()
    if here.exists() and path.parent.is_dir():
        return f"paths are relative to the recipe, not to the current folder: write `{here}`"
    try:
        # By what is before the suffix: all files of a kind end alike.
        names = {each.stem: each.name for each in sorted(path.parent.iterdir(), reverse=True)}
    except OSError:
        return f"there is no folder `{path.parent}`; paths are relative to the recipe"
    close = nearest(path.stem, names)
    return f"a similar name exists: `{path.with_name(names[close])}`" if close else "paths are relative to the recipe"
