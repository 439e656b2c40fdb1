"""The store: whole entries or none, under their own keys, within a limit."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vggc.cache import Store, Unusable, cache_folder, open_store
from vggc.cache.folder import DEFAULT_SIZE, size_limit
from vggc.diagnostics import Code, CompileError

KEY, OTHER = "0" * 64, "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", 1 << 20)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


def test_what_is_written_is_read(store: Store) -> None:
    assert store.read("graphs", KEY) is None
    store.write("graphs", KEY, b"ab", memoryview(b"cd"))
    assert store.read("graphs", KEY) == b"abcd"
    assert store.has("graphs", KEY)
    assert not store.has("steps", KEY)
    store.write_json("steps", KEY, {"a": [1.5, float("inf")]})
    assert store.read_json("steps", KEY) == {"a": [1.5, float("inf")]}
    assert names(store.folder) == [KEY, KEY]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes([data[0] ^ 128]) + data[1:],
        lambda data: data + b" ",
    ],
    ids=["empty", "cut", "last bit", "first bit", "longer"],
)
def test_a_damaged_entry_is_removed(store: Store, damage: Callable[[bytes], bytes]) -> None:
    store.write_json("steps", KEY, list(range(100)))
    path = store.path("steps", KEY)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Unusable, match=re.escape(f"`{path}` was damaged and has been removed")):
        store.read_json("steps", KEY)
    assert store.read_json("steps", KEY) is None


def test_an_entry_under_another_key_or_kind_is_damaged(store: Store) -> None:
    for kind, key in (("steps", OTHER), ("checks", KEY)):
        store.write("steps", KEY, b"content")
        store.write(kind, key, b"another")
        store.path("steps", KEY).replace(store.path(kind, key))
        with pytest.raises(Unusable, match="was damaged"):
            store.read(kind, key)


def test_the_entries_used_last_stay(store: Store) -> None:
    store.limit = 1000
    (store.folder / "steps").mkdir(parents=True)
    (store.folder / "steps" / "notes.txt").write_text("x" * 5000)
    unfinished = store.folder / "steps" / f"{KEY}.{'0' * 16}.tmp"
    unfinished.write_text("x" * 90)
    os.utime(unfinished, (1, 1))
    for number in range(5):
        key = f"{number:064d}"
        store.write(("steps", "graphs")[number % 2], key, b"y" * 300)
        os.utime(store.path(("steps", "graphs")[number % 2], key), (number + 2, number + 2))
        store.read("steps", f"{0:064d}")
    assert names(store.folder) == sorted([f"{0:064d}", f"{3:064d}", f"{4:064d}", "notes.txt"])


def test_what_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("steps", KEY, b"content")
    assert names(store.folder) == []


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX limits the size of files")
def test_a_file_that_may_not_grow_leaves_nothing(store: Store) -> None:
    with files_of_at_most(4096), pytest.raises(OSError, match="too large"):
        store.write("graphs", KEY, b"x" * 100_000)
    assert names(store.folder) == []
    assert store.read("graphs", KEY) is None


def test_sizes_and_clear(store: Store) -> None:
    store.write("steps", KEY, b"x" * 68)
    store.write("steps", OTHER, b"x" * 68)
    assert store.sizes()["steps"] == (2, 200)
    assert store.sizes()["graphs"] == (0, 0)
    store.clear()
    assert names(store.folder) == []


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("VGGC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "vggc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here" / "vggc"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "vggc"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "vggc" / "Cache"
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("VGGC_CACHE", "off")
    assert cache_folder() is None
    assert open_store() is None
    monkeypatch.setenv("VGGC_CACHE", "0")
    with pytest.raises(CompileError, match="VGGC_CACHE is `0`"):
        cache_folder()


def test_how_large_the_cache_may_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VGGC_CACHE_SIZE", raising=False)
    assert size_limit() == DEFAULT_SIZE
    for text, size in (("1000", 1000), ("2KB", 2000), ("3 MiB", 3 << 20), ("1GB", 10**9), ("1TiB", 1 << 40)):
        monkeypatch.setenv("VGGC_CACHE_SIZE", text)
        assert size_limit() == size
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path))
    monkeypatch.setenv("VGGC_CACHE_SIZE", "much")
    with pytest.raises(CompileError, match="VGGC_CACHE_SIZE is `much`") as caught:
        open_store()
    assert caught.value.diagnostics[0].code is Code.VARIABLE
