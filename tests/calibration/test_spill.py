"""Arrays kept in memory as long as there is room, and in files beyond."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np

from vggc.calibration.spill import Spill


def test_files_hold_what_memory_has_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def files():
        return [each for each in tmp_path.rglob("*") if each.is_file()]

    arrays = [np.full((4, 5), each, np.float32) for each in range(4)]
    with Spill(memory=200) as spill:
        for each in arrays:
            spill.add("a", each)
        spill.add("b", np.array(["x"], object))
        assert [each.stat().st_size for each in files()] == [2 * arrays[0].nbytes]
        for index, each in enumerate(arrays):
            np.testing.assert_array_equal(spill.get("a", index), each)
        assert "a" in spill and "c" not in spill
        spill.drop("a")
        assert "a" not in spill
        assert not files()
        # The room is free again.
        spill.add("d", arrays[0])
        assert not files()
    assert not list(tmp_path.iterdir())


def test_arrays_of_any_type_and_shape_come_back():
    arrays = [
        np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3).T,
        np.array([True, False]),
        np.array(3.5),
        np.zeros((0, 4), np.int64),
    ]
    with Spill(memory=-1) as spill:
        for each in arrays:
            spill.add("a", each)
        for index, each in enumerate(arrays):
            found = spill.get("a", index)
            assert (found.dtype, found.shape) == (each.dtype, each.shape)
            np.testing.assert_array_equal(found, each)


def test_threads_share_it() -> None:
    """Each with keys of its own; all memory is free again in the end."""
    with Spill(memory=4000) as spill:

        def work(name: str) -> None:
            for turn in range(50):
                for index in range(5):
                    spill.add(f"{name}{turn}", np.full(100, index, np.float32))
                assert [int(spill.get(f"{name}{turn}", index)[0]) for index in range(5)] == [0, 1, 2, 3, 4]
                spill.drop(f"{name}{turn}")

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work, name) for name in "abcd"]:
                done.result()
        assert spill.keys() == []
        assert spill._room == 4000
