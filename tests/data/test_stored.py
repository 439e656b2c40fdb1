"""The npz and npy loaders: what they give, how little they read, and what they refuse."""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vggc.data import Dataset, stored
from vggc.data.loaders import npy, npz
from vggc.diagnostics import Code, CompileError

Refused = Callable[[str], AbstractContextManager[None]]
X = np.arange(10 * 3 * 2, dtype=np.float32).reshape(10, 3, 2)
Y = np.arange(10) % 4


def all_of(dataset: Dataset, size: int = 4) -> dict[str, Any]:
    batches = list(dataset.batches(size))
    assert all(len(each[dataset.inputs[0]]) == size for each in batches[:-1])
    return {name: np.concatenate([each[name] for each in batches]) for name in dataset.inputs}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("held", [0, stored.HELD_BYTES])
def test_npz_gives_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., None], held: int
) -> None:
    monkeypatch.setattr(stored, "HELD_BYTES", held)
    save(tmp_path / "data.npz", image=X, mask=X > 7, y=Y)
    dataset = npz.load("test", tmp_path, path="data.npz", label="y")
    assert (dataset.name, len(dataset), dataset.inputs) == ("test", 10, ("image", "mask"))
    assert dataset.description == "10 of 10 samples of data.npz"
    assert dataset.labels is not None and dataset.labels.tolist() == Y.tolist()
    for size in (1, 4, 10, 99):
        found = all_of(dataset, size)
        np.testing.assert_array_equal(found["image"], X)
        np.testing.assert_array_equal(found["mask"], X > 7)
    np.testing.assert_array_equal(np.concatenate([each["image"] for each in dataset.batches(3, 7)]), X[:7])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_limit_takes_the_first_samples(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "data.npz", image=X, y=Y)
    dataset = npz.load("test", tmp_path, path="data.npz", label="y", limit=7)
    assert len(dataset) == 7 and dataset.labels is not None and len(dataset.labels) == 7
    np.testing.assert_array_equal(all_of(dataset)["image"], X[:7])
    assert len(npz.load("test", tmp_path, path="data.npz", label="y", limit=99)) == 10


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_saved_column_by_column(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "data.npz", image=np.asfortranarray(X))
    np.testing.assert_array_equal(all_of(npz.load("test", tmp_path, path="data.npz", limit=6))["image"], X[:6])


def test_inputs_say_which_array_is_which(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, classes=np.array(["a", "b"]), y=Y)
    dataset = npz.load("test", tmp_path, path="data.npz", label="y", inputs={"image": "x"})
    assert dataset.inputs == ("image",)
    np.testing.assert_array_equal(all_of(dataset)["image"], X)


def test_uncompressed_arrays_are_mapped(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", image=X)
    np.save(tmp_path / "data.npy", X)
    for dataset in (npz.load("a", tmp_path, path="data.npz"), npy.load("b", tmp_path, path="data.npy")):
        (batch,) = next(dataset.batches(2)).values()
        base = batch
        while isinstance(base, np.ndarray) and base.base is not None and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)
        assert not batch.flags.writeable


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs a system that shows a process's memory")
def test_what_has_been_read_of_a_mapped_array_takes_no_memory(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    count, size = 64, 1 << 20
    np.save(tmp_path / "data.npy", np.zeros((count, size), np.uint8))
    dataset = npy.load("test", tmp_path, path="data.npy")
    grown = []
    for turn in range(2):
        before = resident()
        for batch in dataset.batches(4):
            assert not batch["data"].any()
            grown.append(resident() - before)
        assert len(grown) == (turn + 1) * count // 4
    assert max(grown) < count * size // 2


def test_large_compressed_arrays_are_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "HELD_BYTES", 100)
    monkeypatch.setattr("vggc.data.dataset.CHUNK_BYTES", 48)
    np.savez_compressed(tmp_path / "data.npz", image=X)
    dataset = npz.load("test", tmp_path, path="data.npz")
    assert [len(each["image"]) for each in dataset.parts()] == [2] * 5
    np.testing.assert_array_equal(all_of(dataset)["image"], X)


def test_npy_takes_its_array_from_the_file_name(tmp_path: Path) -> None:
    np.save(tmp_path / "calib.npy", X)
    np.save(tmp_path / "labels.npy", Y)
    dataset = npy.load("calib", tmp_path, path="calib.npy", labels="labels.npy", limit=4)
    assert dataset.inputs == ("calib",)
    assert dataset.labels is not None and dataset.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(all_of(dataset)["calib"], X[:4])


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=X, y=Y)
    np.savez_compressed(tmp_path / "b.npz", y=Y, image=X)
    np.savez(tmp_path / "c.npz", image=X + 1, y=Y)
    hashes = [npz.load("x", tmp_path, path=f"{each}.npz", label="y").sha256 for each in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
    assert npz.load("x", tmp_path, path="a.npz", label="y", limit=9).sha256 != hashes[0]
    assert npz.load("x", tmp_path, path="a.npz", inputs={"image": "image"}).sha256 != hashes[0]


def test_missing_folder_empty_and_foreign_files(tmp_path: Path, refused: Refused) -> None:
    with refused(f"error: there is no file `{tmp_path}/no.npz`\nhelp: paths are relative to the recipe"):
        npz.load("test", tmp_path, path="no.npz")
    with refused(f"error: `{tmp_path}` is a folder, not a file"):
        npz.load("test", tmp_path, path="")
    (tmp_path / "empty.npz").touch()
    with refused(f"error: `{tmp_path}/empty.npz` is empty", Code.UNREADABLE_DATA):
        npz.load("test", tmp_path, path="empty.npz")
    (tmp_path / "text.npz").write_text("hello")
    with refused(
        f"error: `{tmp_path}/text.npz` is not an .npz file, or is cut short\n"
        "help: save it with numpy.savez(path, name=array)"
    ):
        npz.load("test", tmp_path, path="text.npz")
    (tmp_path / "text.npy").write_text("hello")
    np.savez(tmp_path / "archive.npy.npz", x=np.zeros(3))
    with refused(
        f"error: `{tmp_path}/archive.npy.npz` is an archive of arrays, not one array\n"
        'help: read it with npz("archive.npy.npz")'
    ):
        npy.load("test", tmp_path, path="archive.npy.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with refused(
        f"error: `{tmp_path}/array.npy` is not an .npz file, or is cut short\n"
        'help: it holds one array: npy("array.npy")'
    ):
        npz.load("test", tmp_path, path="array.npy")
    with refused(f"error: `{tmp_path}/text.npy` is not a numpy array"):
        npy.load("test", tmp_path, path="text.npy")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "no arrays here")
    with refused(f"error: `{tmp_path}/other.npz` holds no arrays\nhelp: save it with numpy.savez(path, name=array)"):
        npz.load("test", tmp_path, path="other.npz")


def test_truncated_files(tmp_path: Path, refused: Refused) -> None:
    np.savez(tmp_path / "a.npz", image=X)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    with refused(
        f"error: `{tmp_path}/cut.npz` is not an .npz file, or is cut short\n"
        "help: save it with numpy.savez(path, name=array)"
    ):
        npz.load("test", tmp_path, path="cut.npz")
    np.save(tmp_path / "a.npy", X)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-30])
    with refused(f"error: `{tmp_path}/cut.npy` is cut short: 338 bytes where 368 are needed"):
        npy.load("test", tmp_path, path="cut.npy")
    text = io.BytesIO()
    np.save(text, X)
    with zipfile.ZipFile(tmp_path / "inner.npz", "w") as archive:
        archive.writestr("image.npy", text.getvalue()[:-30])
    with refused(
        f"error: array `image` of `{tmp_path}/inner.npz` is cut short\nhelp: the file is damaged: save it again"
    ):
        npz.load("test", tmp_path, path="inner.npz")


def test_damaged_compressed_array(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((50, 40)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", image=noise)
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[4000:4010] = b"0123456789"
    (tmp_path / "a.npz").write_bytes(damaged)
    dataset = npz.load("test", tmp_path, path="a.npz")
    with pytest.raises(CompileError, match=r"cannot read array `image` of `.*a\.npz`: "):
        list(dataset.batches(50))


def test_pickles_are_never_loaded(tmp_path: Path, refused: Refused) -> None:
    objects = np.array([{"a": 1}, None], object)
    np.savez(tmp_path / "a.npz", image=objects)
    np.save(tmp_path / "a.npy", objects)
    advice = "help: save an array of numbers: x = numpy.array(x, dtype=numpy.float32)"
    with refused(f"error: array `image` of `{tmp_path}/a.npz` holds Python objects, which are never loaded\n{advice}"):
        npz.load("test", tmp_path, path="a.npz")
    with refused(f"error: the array in `{tmp_path}/a.npy` holds Python objects, which are never loaded\n{advice}"):
        npy.load("test", tmp_path, path="a.npy")


def member(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", content)


def test_a_small_archive_of_a_large_sample(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.data.stored.LARGEST_SAMPLE", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", image=np.zeros((2, 1 << 20), np.float32))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 14
    with refused(
        f"error: each sample of array `image` of `{tmp_path}/a.npz` unpacks to 4,194,304 bytes\n"
        "help: if that is right, save it uncompressed: numpy.savez(path, name=array)"
    ):
        npz.load("test", tmp_path, path="a.npz")


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    size = 1 << 24
    member(tmp_path / "a.npz", b"\x93NUMPY\x02\x00" + size.to_bytes(4, "little") + b" " * size)
    with pytest.raises(CompileError, match="has a damaged header"):
        npz.load("test", tmp_path, path="a.npz")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }\n"
    member(tmp_path / "a.npz", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(CompileError, match="is cut short"):
        npz.load("test", tmp_path, path="a.npz")


def test_arrays_that_are_not_samples(tmp_path: Path, refused: Refused) -> None:
    np.savez(tmp_path / "a.npz", image=X, scale=np.float32(3))
    with refused(f"error: array `scale` of `{tmp_path}/a.npz` is a single number, not an array of samples"):
        npz.load("test", tmp_path, path="a.npz")
    np.savez(tmp_path / "b.npz", image=X, classes=np.zeros(4))
    with refused(
        f"error: the arrays of `{tmp_path}/b.npz` have different lengths: `image` 10, `classes` 4\n"
        'help: say which to take: inputs={"input": "image"}'
    ):
        npz.load("test", tmp_path, path="b.npz")
    np.savez(tmp_path / "c.npz", image=X[:0])
    with refused(f"error: `{tmp_path}/c.npz` has no samples", Code.DATA_ARRAYS):
        npz.load("test", tmp_path, path="c.npz")
    np.savez(tmp_path / "d.npz", image=np.zeros(3, [("a", "f4"), ("b", "i4")]))
    with refused(
        f"error: array `image` of `{tmp_path}/d.npz` has the type [('a', '<f4'), ('b', '<i4')]\n"
        "help: save it as float32 or as integers"
    ):
        npz.load("test", tmp_path, path="d.npz")


def test_array_names_that_do_not_exist(tmp_path: Path, refused: Refused) -> None:
    np.savez(tmp_path / "a.npz", image=X, label=Y)
    with refused(f"error: `{tmp_path}/a.npz` has no array `labels`\nhelp: a similar name exists: `label`"):
        npz.load("test", tmp_path, path="a.npz", label="labels")
    with refused(f"error: `{tmp_path}/a.npz` has no array `x`\nhelp: its arrays: `image`, `label`"):
        npz.load("test", tmp_path, path="a.npz", inputs={"input": "x"})
    np.savez(tmp_path / "b.npz", y=Y)
    with refused(f"error: `{tmp_path}/b.npz` has no array beside the labels `y`"):
        npz.load("test", tmp_path, path="b.npz", label="y")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y[:4], " has 4 labels for 10 samples"),
        (Y - 1, ": label -1 of sample 0 is negative"),
        (Y + 0.5, " has numbers that are not whole; labels must be class numbers\nhelp: save them as int64"),
        (Y * np.nan, " has numbers that are not whole; labels must be class numbers\nhelp: save them as int64"),
        (np.array(list("abcdefghij")), " is string; labels must be class numbers\nhelp: save them as int64"),
        (
            np.eye(10),
            " has shape [10, 10]: labels must be one class number for each sample\n"
            "help: save class numbers, for instance y.argmax(axis=1)",
        ),
    ],
)
def test_labels_that_are_no_class_numbers(
    tmp_path: Path, refused: Refused, labels: np.ndarray[Any, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", image=X, y=labels)
    with refused(f"error: array `y` of `{tmp_path}/a.npz`{message}"):
        npz.load("test", tmp_path, path="a.npz", label="y")


@pytest.mark.parametrize("labels", [Y.astype(np.float64), Y.astype(np.uint8), Y[:, None]])
def test_labels_of_other_types_that_are_class_numbers(tmp_path: Path, labels: np.ndarray[Any, Any]) -> None:
    np.savez(tmp_path / "a.npz", image=X, y=labels)
    found = npz.load("test", tmp_path, path="a.npz", label="y").labels
    assert found is not None and found.dtype == np.int64 and found.tolist() == Y.tolist()
