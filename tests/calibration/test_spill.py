"""Arrays kept in memory as long as there is room, and in files beyond."""

from __future__ import annotations

import numpy as np

from vggc.calibration.spill import Spill


def test_files_hold_what_memory_has_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arrays = [np.full((4, 5), each, np.float32) for each in range(4)]
    with Spill(memory=200) as spill:
        for each in arrays:
            spill.add("a", each)
        spill.add("b", np.array(["x"], object))
        assert len(list(tmp_path.rglob("*.npy"))) == 2
        for index, each in enumerate(arrays):
            np.testing.assert_array_equal(spill.get("a", index), each)
        assert "a" in spill and "c" not in spill
        spill.drop("a")
        assert "a" not in spill
        assert not list(tmp_path.rglob("*.npy"))
        # The room is free again.
        spill.add("d", arrays[0])
        assert not list(tmp_path.rglob("*.npy"))
    assert not list(tmp_path.iterdir())
