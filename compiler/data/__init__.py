"""Data for calibration and measurement: data sets, the loaders that read them, and how data is fitted to a model."""

from vggc.data.arrays import ArrayDataset
from vggc.data.dataset import Batch, Dataset, SampleType, need_samples
from vggc.data.fit import fit
from vggc.data.generated import random_array
from vggc.data.known_data import KnownData
from vggc.data.loader import Loader, loader

__all__ = [
    "ArrayDataset",
    "Batch",
    "Dataset",
    "KnownData",
    "Loader",
    "SampleType",
    "fit",
    "loader",
    "need_samples",
    "random_array",
]
