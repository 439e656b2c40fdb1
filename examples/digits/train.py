"""Train the example model: a small VGG with batch norms on scikit-learn's handwritten digits.

    pip install ".[torch]"
    python examples/digits/train.py              # under a minute on one CPU core

The data, 1,797 grey 8x8 images of real handwriting, ship inside scikit-learn: nothing is downloaded. Beside this
file it writes

    digits_vgg.onnx   float32 image (batch, 1, 8, 8) in 0..1 -> logits (batch, 10), the batch norms unfolded
    calib.npz         image: 512 training images without labels, to calibrate with
    test.npz          image and y: the 360 images that were held out, to measure with

The seed is fixed, so the same releases on the same machine write the same files; elsewhere the weights differ a little.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

SEED = 0
CLASSES = 10
TEST_IMAGES = 360
CALIBRATION_IMAGES = 512
WIDTHS = (32, 32, "pool", 64, 64, "pool", 128, 128)


class DigitsVGG(nn.Module):
    """Convolution, batch norm and ReLU blocks between two max pools, then a two-layer classifier."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 1
        for width in WIDTHS:
            if isinstance(width, str):
                blocks.append(nn.MaxPool2d(2))
                continue
            blocks += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*blocks)
        # Two pools leave 2x2 of the 8x8 pixels.
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * 2 * 2, 64), nn.ReLU(), nn.Linear(64, CLASSES)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(image))


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, their labels, test images, their labels; images float32 (N, 1, 8, 8) in 0..1."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels.astype(np.int64), test_size=TEST_IMAGES, stratify=labels, random_state=SEED
    )
    return train_x, train_y, test_x, test_y


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to one pixel each way, zeros coming in at the border."""
    padded = functional.pad(images, (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(images)))
    # (N, 1, 3, 3, 8, 8): the nine crops of every image, of which each image takes one.
    crops = padded.unfold(2, 8, 1).unfold(3, 8, 1)
    return crops[torch.arange(len(images)), :, rows, columns]


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int = 64) -> None:
    """Adam under a one-cycle learning rate, with label smoothing; leaves the model in eval mode."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * steps)
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            loss = functional.cross_entropy(model(shifted(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2} of {epochs}: loss {total / steps:.4f}")
    model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Write ONNX with a dynamic batch axis, the batch norms kept as nodes of their own."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        path,
        dynamo=False,
        # PRESERVE keeps the model in eval mode without folding the batch norms away, as EVAL would.
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description="Train the digits example and write its model and data.")
    arguments.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where to write the files")
    arguments.add_argument("--epochs", type=int, default=40)
    options = arguments.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_x, train_y, test_x, test_y = load()
    model = DigitsVGG()
    train(model, torch.from_numpy(train_x), torch.from_numpy(train_y), options.epochs)
    with torch.inference_mode():
        right = (model(torch.from_numpy(test_x)).argmax(1).numpy() == test_y).sum()
    print(f"test accuracy {right / len(test_y):.2%} ({right} of {len(test_y)})")

    options.folder.mkdir(parents=True, exist_ok=True)
    export(model, options.folder / "digits_vgg.onnx")
    np.savez_compressed(options.folder / "calib.npz", image=train_x[:CALIBRATION_IMAGES])
    np.savez_compressed(options.folder / "test.npz", image=test_x, y=test_y)


if __name__ == "__main__":
    main()
