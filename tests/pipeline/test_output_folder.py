"""The output folder appears whole or not at all: real folders, real signals, a really full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vggc.diagnostics import CompileError, fail, render
from vggc.pipeline import atomic_folder
from vggc.pipeline.output_folder import check_output_folder, output_folder

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and permission bits are POSIX's")
linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full, /proc and /sys are Linux's")


def report(*artifacts: str) -> str:
    return json.dumps({"steps": [], "artifacts": [{"path": each} for each in artifacts], "recipe": {}, "model": {}})


def write(folder: Path, **files: str) -> None:
    """A whole output: the files and the report that lists them."""
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "report.json").write_text(report(*files))


def read(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir() if each.name != "report.json"}


def message(error: pytest.ExceptionInfo[CompileError]) -> str:
    return "\n".join(render(each) for each in error.value.diagnostics)


# --- the whole output --------------------------------------------------------------------------------------


def test_a_new_output_appears_at_the_end_with_its_parents(tmp_path: Path) -> None:
    out = tmp_path / "build" / "net"
    with output_folder(out) as folder:
        write(folder, model="new")
        assert not out.exists()
        assert folder.parent == out.parent
    assert read(out) == {"model": "new"}
    assert [each.name for each in out.parent.iterdir()] == ["net"]


def test_an_old_output_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old", engine="old")
    out.chmod(0o750)
    with output_folder(out) as folder:
        write(folder, model="new")
        assert read(out) == {"model": "old", "engine": "old"}
    assert read(out) == {"model": "new"}
    assert list(tmp_path.iterdir()) == [out]
    assert sys.platform == "win32" or out.stat().st_mode & 0o777 == 0o750


def test_an_empty_folder_may_become_the_output(tmp_path: Path) -> None:
    out = tmp_path / "net"
    out.mkdir()
    (out / ".DS_Store").touch()
    with output_folder(out) as folder:
        write(folder, model="new")
    assert read(out) == {"model": "new"}


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    out = tmp_path / "net"
    out.symlink_to(tmp_path / "disk", target_is_directory=True)
    with output_folder(out) as folder:
        write(folder, model="new")
    assert out.is_symlink()
    assert read(tmp_path / "disk") == {"model": "new"}


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    out = tmp_path / ("n" * 255)
    with output_folder(out) as folder:
        write(folder, model="new")
    assert read(out) == {"model": "new"}


def test_the_output_is_there_and_of_one_piece_at_every_moment(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="0", engine="0")
    seen: set[str] = set()
    wrong: list[object] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                descriptor = os.open(out, os.O_RDONLY)
            except OSError as error:
                wrong.append(error)
                continue
            try:
                pieces = {_read_in(descriptor, each) for each in ("model", "engine")}
            except FileNotFoundError:
                # Opened just before the exchange and removed since.
                continue
            finally:
                os.close(descriptor)
            seen.update(pieces)
            if len(pieces) != 1:
                wrong.append(pieces)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(10_000):
        with output_folder(out) as folder:
            write(folder, model=str(number), engine=str(number))
        # At least 100 times, and until the watcher had its turns.
        if number >= 100 and len(seen) > 1:
            break
    done.set()
    watcher.join()
    assert not wrong
    assert len(seen) > 1


def _read_in(folder: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    with os.fdopen(descriptor) as file:
        return file.read()


def test_two_compiles_into_one_folder_leave_the_last_one(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as first:
        write(first, model="first", engine="first")
        with output_folder(out) as second:
            write(second, model="second")
            assert first.exists()
        assert read(out) == {"model": "second"}
    assert read(out) == {"model": "first", "engine": "first"}
    assert list(tmp_path.iterdir()) == [out]


# --- nothing half-written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, CompileError])
def test_nothing_is_left_after_an_exception(tmp_path: Path, error: type[BaseException]) -> None:
    raised = fail("wrong") if error is CompileError else error()
    with pytest.raises(error), output_folder(tmp_path / "build" / "net") as folder:
        write(folder, model="new")
        raise raised
    assert list(tmp_path.iterdir()) == []


def test_the_old_output_stays_after_an_exception(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    with pytest.raises(KeyboardInterrupt), output_folder(out) as folder:
        write(folder, model="new")
        raise KeyboardInterrupt
    assert read(out) == {"model": "old"}
    assert list(tmp_path.iterdir()) == [out]


PROGRAM = """
import sys, time
from pathlib import Path
from vggc.pipeline.output_folder import output_folder
with output_folder(Path(sys.argv[1])) as folder:
    (folder / "model").write_text("new")
    print("inside", flush=True)
    time.sleep(60)
"""


@contextmanager
def program_inside(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing its output."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(out)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "inside\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_nothing_is_left_after_a_signal(tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    with program_inside(tmp_path / "build" / "net") as process:
        process.send_signal(number)
        status = process.wait(10)
    assert status in (128 + number, -number)
    assert list(tmp_path.iterdir()) == []


@posix
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with program_inside(out) as process:
        process.kill()
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".vggc-")
    with output_folder(out) as folder:
        write(folder, model="new")
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [out]


@posix
def test_the_staging_folder_of_a_live_process_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with program_inside(out):
        [live] = tmp_path.iterdir()
        with output_folder(out) as folder:
            write(folder, model="new")
        assert (live / "model").read_text() == "new"


# --- where folders cannot be exchanged in one step ---------------------------------------------------------


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_folder, "_rename", lambda *arguments: False)


@pytest.mark.usefixtures("no_exchange")
def test_replaced_by_two_renames(tmp_path: Path) -> None:
    out = tmp_path / "net"
    for text in ("old", "new"):
        with output_folder(out) as folder:
            write(folder, model=text)
        assert read(out) == {"model": text}
        assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("no_exchange")
def test_the_old_output_comes_back_when_the_second_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    rename = Path.rename

    def no_new_output(self: Path, target: Path) -> Path:
        if target == out and not self.name.endswith("-old"):
            raise PermissionError(1, "Operation not permitted", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", no_new_output)
    with pytest.raises(CompileError, match="no permission"), output_folder(out) as folder:
        write(folder, model="new")
    assert read(out) == {"model": "old"}
    assert list(tmp_path.iterdir()) == [out]


@posix
@pytest.mark.usefixtures("no_exchange")
def test_the_next_run_undoes_half_an_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    # As a process leaves it that is killed between the two renames.
    aside = tmp_path / f"{atomic_folder._prefix(out)}1234-01234567-old"
    out.rename(aside)
    with pytest.raises(ValueError), output_folder(out):
        assert read(out) == {"model": "old"}
        raise ValueError
    assert read(out) == {"model": "old"}


# --- what cannot be an output ------------------------------------------------------------------------------


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "net").touch()
    with pytest.raises(CompileError) as error, output_folder(tmp_path / "net"):
        pass
    assert message(error) == (
        f"error: the output folder `{tmp_path / 'net'}` is a file\nhelp: name another folder with -o"
    )


@posix
def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "net", tmp_path / "file" / "build" / "net"):
        with pytest.raises(CompileError) as error, output_folder(out):
            pass
        assert message(error) == (
            f"error: cannot write the output folder `{out}`: a part of the path is a file\n"
            "help: name another folder with -o"
        )


def test_a_folder_with_files_of_the_users(tmp_path: Path) -> None:
    for name in ("c.txt", "a.txt", "b.txt", "d.txt"):
        (tmp_path / name).touch()
    with pytest.raises(CompileError) as error, output_folder(tmp_path):
        pass
    assert message(error) == (
        f"error: the output folder `{tmp_path}` contains files that vggc did not write: `a.txt`, `b.txt`, `c.txt` and "
        "more\n"
        "help: vggc replaces the whole folder: name a new or empty folder with -o, or move these files away"
    )
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("text", ['{"steps": []}', "[]", "{", "[" * 100_000, '{"artifacts": 1}', "\udcff"])
def test_another_programs_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CompileError, match=r"contains files that vggc did not write: `report\.json`"):
        check_output_folder(tmp_path)


def test_an_output_with_a_file_added_by_the_user(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    (out / "sub").mkdir()
    (out / "sub" / "notes.txt").touch()
    with pytest.raises(CompileError, match=r"contains files that vggc did not write: `sub/notes\.txt`"):
        check_output_folder(out)


def test_a_file_added_while_compiling(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    with pytest.raises(CompileError, match=r"did not write: `notes\.txt`"), output_folder(out) as folder:
        write(folder, model="new")
        (out / "notes.txt").touch()
    assert read(out) == {"model": "old", "notes.txt": ""}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("path", [".", "..", "/", "../here"])
def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(CompileError) as error, output_folder(Path(path)):
        pass
    assert message(error) == (
        f"error: the output folder `{path}` is the current folder or contains it\n"
        "help: vggc replaces the whole folder: name another folder with -o, such as `-o build/model`"
    )


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".profile").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(CompileError, match=r"contains files that vggc did not write: `\.profile`"):
        check_output_folder(Path("~").expanduser())


@linux
def test_a_mount_point() -> None:
    with pytest.raises(CompileError) as error:
        check_output_folder(Path("/proc"))
    assert message(error) == (
        "error: the output folder `/proc` is a mount point, which cannot be replaced as a whole\n"
        "help: name a folder inside it: `-o /proc/model`"
    )


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(CompileError, match=r"the output folder `.*/a`"):
        check_output_folder(tmp_path / "a")


@posix
def test_no_permission() -> None:
    # Folders of the test's own are within reach of nobody else; this one is, and takes no new entries.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with _without_privileges(), pytest.raises(CompileError) as error, output_folder(Path(folder) / "net"):
            pass
        assert message(error) == (
            f"error: cannot write the output folder `{folder}/net`: no permission\n"
            "help: vggc writes a new folder beside it and exchanges the two, "
            f"so it must be able to write to `{folder}`"
        )


@contextmanager
def _without_privileges() -> Iterator[None]:
    """Permission bits do not bind root, so be nobody for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@linux
def test_a_place_where_no_folder_can_be_made() -> None:
    with (
        pytest.raises(CompileError, match="cannot write the output folder `/sys/vggc`"),
        output_folder(Path("/sys/vggc")),
    ):
        pass


# --- a full disk -------------------------------------------------------------------------------------------


@linux
def test_a_full_disk(tmp_path: Path) -> None:
    out = tmp_path / "net"
    with output_folder(out) as folder:
        write(folder, model="old")
    with pytest.raises(CompileError) as error, output_folder(out) as folder:
        (folder / "model").symlink_to("/dev/full")
        (folder / "model").write_text("new")
    assert message(error) == (
        f"error: cannot write the output folder `{out}`: no space left on the disk\n"
        "help: free some space, or name another folder with -o"
    )
    assert read(out) == {"model": "old"}
    assert list(tmp_path.iterdir()) == [out]
    assert Path("/dev/full").exists()


@linux
def test_a_file_larger_than_allowed(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(CompileError) as error, output_folder(tmp_path / "net") as folder:
            (folder / "model").write_bytes(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message(error) == (
        f"error: cannot write the output folder `{tmp_path / 'net'}`: a file would be larger than is allowed here\n"
        "help: name another folder with -o"
    )
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_are_not_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), output_folder(tmp_path / "net"):
        (tmp_path / "calib.npz").read_bytes()
