"""VGG-16 with batch norms for 32 x 32 images, in three widths. `vggc export nets:vgg16` finds the functions here.

K. Simonyan and A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015
"""

from __future__ import annotations

import torch
from torch import nn

PLAN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")
CLASSES = 10


class VGG(nn.Module):
    """Thirteen convolutions, each with its batch norm, five poolings, and one linear layer.

    `width` is the number of channels of the first convolution: 64 is the network of the paper.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for each in PLAN:
            if isinstance(each, str):
                blocks.append(nn.MaxPool2d(2))
                continue
            wide = each * width // PLAN[0]
            # The batch norm has a shift of its own, so the convolution needs none.
            blocks += [nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            channels = wide
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(image), 1))


def vgg16() -> nn.Module:
    """14.7 M parameters."""
    return VGG(64)


def vgg16_half() -> nn.Module:
    """3.7 M parameters."""
    return VGG(32)


def vgg16_tiny() -> nn.Module:
    """58 k parameters: to try the way out, not to classify with."""
    return VGG(4)
