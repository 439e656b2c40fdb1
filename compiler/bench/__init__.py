"""Measure how fast models run on this machine, and how much memory they take."""

from vggc.bench.folders import measurable_files
from vggc.bench.models import Bench, BenchRow, bench_models
from vggc.bench.plot import plot

__all__ = ["Bench", "BenchRow", "bench_models", "measurable_files", "plot"]
