"""CIFAR-10 as arrays: downloading its archive, and reading the binary batches of its version for Python.

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html

The archive holds five batches of training images and one of test images, each a pickled dict of Python 2 with `data`,
uint8 (images, 3072), whose rows are the red, then the green, then the blue plane of 32 x 32 pixels, and `labels`, a
list of numbers below 10. A pickle can run any code, so only what arrays are made of is let in.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
"""As the home page of the data gives it."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
PLANES = (3, 32, 32)

MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(3, 1, 1)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32).reshape(3, 1, 1)
"""Mean and standard deviation of the training images, channel by channel, in 0..1."""

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

_TIMEOUT = 60
_CHUNK = 1 << 20
_LET_IN = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def download(folder: Path, url: str = URL, md5: str = MD5) -> Path:
    """The archive in a folder, downloaded (170 MB) unless it is there. Raises ValueError when it is another file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / url.rpartition("/")[2]
    if not path.exists():
        print(f"downloading {url}")
        partial = path.with_name(path.name + ".part")
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, partial.open("wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
        partial.replace(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        raise ValueError(f"{path} is not CIFAR-10: its MD5 is {found}, not {md5}; remove it to download it again")
    return path


def load(place: Path) -> tuple[Images, Labels, Images, Labels]:
    """Training images and labels, test images and labels, of the archive or of the folder unpacked from it.

    Images are uint8 (number, 3, 32, 32). Raises ValueError for what is not CIFAR-10's.
    """
    return (*_batches(place, TRAINING), *_batches(place, TEST))


def normalised(images: Images) -> NDArray[np.float32]:
    """Images as the network takes them: float32, each channel with mean 0 and deviation 1 over the training images."""
    return (images.astype(np.float32) / 255 - MEAN) / STD


def _batches(place: Path, names: tuple[str, ...]) -> tuple[Images, Labels]:
    parts = [_batch(_content(place, name), name) for name in names]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _content(place: Path, name: str) -> bytes:
    if place.is_dir():
        return (place / name).read_bytes()
    with tarfile.open(place) as archive:
        file = archive.extractfile(f"{FOLDER}/{name}")
        if file is None:
            raise ValueError(f"{FOLDER}/{name} in {place} is no file")
        return file.read()


def _batch(content: bytes, name: str) -> tuple[Images, Labels]:
    batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    data, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], np.int64)
    if data.dtype != np.uint8 or data.shape != (len(labels), int(np.prod(PLANES))):
        raise ValueError(f"{name} has data {data.dtype} {list(data.shape)} for {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"{name} has a label that is no class: {labels.min()} or {labels.max()}")
    return data.reshape(-1, *PLANES), labels


class _Unpickler(pickle.Unpickler):
    """Numbers, texts, lists, dicts, and numpy's arrays under the names they had in Python 2; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) not in _LET_IN:
            raise pickle.UnpicklingError(f"a batch of CIFAR-10 has no business with {module}.{name}")
        return _LET_IN[module, name]
