"""Train VGG-16 with batch norms on CIFAR-10.

    pip install ".[torch]"
    python examples/cifar10/train.py                                  # downloads 170 MB; wants a GPU
    python examples/cifar10/train.py --net vgg16_tiny --epochs 1      # a try on a CPU

Into `build/` beside this file it writes

    weights.pt   the state_dict, for `vggc export` or `vggc cifar10.opt`
    calib.npz    image: the first 1,024 training images without labels, to calibrate with
    test.npz     image and y: the test images, to measure with

images as the network takes them: float32 (number, 3, 32, 32), normalised.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cifar
import nets
import numpy as np
import torch
from torch import nn
from torch.nn import functional

CALIBRATION_IMAGES = 1024
PADDING = 4


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to four pixels each way, zeros coming in at the border, and half of them mirrored."""
    padded = functional.pad(images, (PADDING,) * 4)
    size = images.shape[-1]
    rows, columns = torch.randint(0, 2 * PADDING + 1, (2, len(images)), device=images.device)
    steps = torch.arange(size, device=images.device)
    mirrored = torch.rand(len(images), 1, device=images.device) < 0.5
    across = torch.where(mirrored, steps.flip(0), steps) + columns[:, None]
    down = steps + rows[:, None]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexing puts the channels last: (N, 32, 32, 3).
    return padded[each, :, down[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)


def train(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, epochs: int, batch: int, rate: float
) -> None:
    """Nesterov's momentum under a one-cycle learning rate, with label smoothing; leaves the model in eval mode."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = max(1, len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(images), device=images.device)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            logits = model(augmented(images[chosen]))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:3} of {epochs}: loss {total / steps:.4f}", flush=True)
    model.eval()


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of images whose largest logit is that of their class."""
    with torch.inference_mode():
        chosen = torch.cat([model(each).argmax(1) for each in images.split(500)])
    return float((chosen == labels).float().mean())


def main() -> None:
    here = Path(__file__).parent / "build"
    arguments = argparse.ArgumentParser(description="Train VGG-16 on CIFAR-10 and write its weights and its data.")
    arguments.add_argument("--net", choices=("vgg16", "vgg16_half", "vgg16_tiny"), default="vgg16")
    arguments.add_argument(
        "--data", type=Path, help="the archive, or the folder unpacked from it; downloaded if not given"
    )
    arguments.add_argument("--folder", type=Path, default=here, help="where to write")
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--rate", type=float, default=0.1, help="the largest learning rate")
    options = arguments.parse_args()

    torch.manual_seed(0)
    options.folder.mkdir(parents=True, exist_ok=True)
    train_x, train_y, test_x, test_y = cifar.load(options.data or cifar.download(options.folder))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, test = (torch.from_numpy(cifar.normalised(each)).to(device) for each in (train_x, test_x))
    labels, answers = (torch.from_numpy(each).to(device) for each in (train_y, test_y))
    model = getattr(nets, options.net)().to(device)
    train(model, images, labels, epochs=options.epochs, batch=options.batch, rate=options.rate)
    print(f"test accuracy {accuracy(model, test, answers):.2%} of {len(answers)} images")

    torch.save(model.cpu().state_dict(), options.folder / "weights.pt")
    np.savez(options.folder / "calib.npz", image=cifar.normalised(train_x[:CALIBRATION_IMAGES]))
    np.savez(options.folder / "test.npz", image=cifar.normalised(test_x), y=test_y)


if __name__ == "__main__":
    main()
