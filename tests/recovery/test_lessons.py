"""Processes that train together share the samples of a step."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch onnxscript safetensors")
lessons = pytest.importorskip("vggc.recovery.lessons")


class Samples:
    """Numbered samples, of which a batch has the numbers."""

    labels = None

    def __init__(self, count, fixed):
        self.count, self.fixed = count, fixed

    def __getitem__(self, rows):
        return {"x": rows.astype(np.float32)}


@pytest.mark.parametrize(("count", "fixed", "steps"), [(70, None, 2), (40, None, 2), (45, 3, 2), (20, None, 1)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_step_is_divided(count, fixed, steps, size):
    settings = SimpleNamespace(batch=24 if fixed else 40, vary=False, labels=False, seed=0, epochs=None)
    if (count, fixed) == (40, None):
        settings.batch = 20
    shares = []
    for rank in range(size):
        team = SimpleNamespace(rank=rank, size=size, summed=list)
        twin = SimpleNamespace(tensor=torch.from_numpy)
        made = lessons.Lessons(
            Samples(count, fixed), dict, twin=twin, settings=settings, team=team, device=torch.device("cpu")
        )
        assert made.steps == steps
        shares.append(list(made.epoch(0, 0)))
    for step in zip(*shares, strict=True):
        assert len({len(each) for each in step}) == 1
        counted = [lesson for each in step for lesson in each if lesson.share]
        rows = [int(number) for lesson in counted for number in lesson.feed["x"]]
        assert len(set(rows)) == len(rows)
        assert sum(lesson.share for lesson in counted) == pytest.approx(size)
        for lesson in counted:
            assert lesson.share == pytest.approx(len(lesson.feed["x"]) * size / len(rows))


@pytest.mark.parametrize(
    ("epochs", "memory", "rounds"), [(None, 1 << 30, 32), (640, 1 << 30, 64), (640, 3200, 40), (640, 800, 0)]
)
def test_a_long_training_sees_more_variations(monkeypatch, epochs, memory, rounds):
    """As many as fit into memory: a round of 20 samples takes 80 bytes."""
    monkeypatch.setattr(lessons, "MEMORY", memory)
    settings = SimpleNamespace(batch=20, vary=False, labels=False, seed=0, epochs=epochs)
    team = SimpleNamespace(rank=0, size=1, summed=list)
    twin = SimpleNamespace(tensor=torch.from_numpy)
    device = torch.device("cpu")
    made = lessons.Lessons(Samples(20, None), lambda batch: {}, twin=twin, settings=settings, team=team, device=device)
    assert len(list(made.epoch(0, 0))) == 1
    assert made.rounds == rounds
