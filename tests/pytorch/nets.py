"""Networks of PyTorch of the kinds people compile, with small widths. A module that the tests import by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

CLASSES = 5
DEPTHS = {
    11: (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M"),
    16: (1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M"),
    19: (1, 1, "M", 2, 2, "M", 4, 4, 4, 4, "M", 8, 8, 8, 8, "M", 8, 8, 8, 8, "M"),
}


def settled(build: Callable[[], nn.Module]) -> nn.Module:
    """A seeded module whose signals live to its end, and whose batch norms have statistics of their own."""
    torch.manual_seed(0)
    module = build()
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight, nonlinearity="relu")
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.weight, 0.8, 1.6)
            nn.init.uniform_(each.bias, -0.5, 0.5)
            nn.init.uniform_(each.running_mean, -0.5, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 1.5)
    return module


class VGG(nn.Module):
    def __init__(self, plan: Sequence[int | str], width: int = 4) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for each in plan:
            if isinstance(each, str):
                blocks.append(nn.MaxPool2d(2))
                continue
            blocks += [
                nn.Conv2d(channels, each * width, 3, padding=1),
                nn.BatchNorm2d(each * width),
                nn.ReLU(inplace=True),
            ]
            channels = each * width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(channels, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class Residual(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = nn.Sequential()
        if stride != 1 or into != out:
            self.short = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.short(x))


class Inverted(nn.Module):
    def __init__(self, into: int, out: int, stride: int, grow: int = 2) -> None:
        super().__init__()
        wide = into * grow
        self.same = stride == 1 and into == out
        self.body = nn.Sequential(
            *(nn.Conv2d(into, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)),
            *(
                nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU6(inplace=True),
            ),
            *(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.same else self.body(x)


class ViT(nn.Module):
    def __init__(self, width: int = 16, heads: int = 2, depth: int = 2, patch: int = 8, size: int = 32) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 1 + (size // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.encoder(x))[:, 0])


def vgg11() -> nn.Module:
    return settled(lambda: VGG(DEPTHS[11]))


def vgg16() -> nn.Module:
    return settled(lambda: VGG(DEPTHS[16]))


def vgg19() -> nn.Module:
    return settled(lambda: VGG(DEPTHS[19]))


def resnet() -> nn.Module:
    return settled(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 16, 1), Residual(16, 32, 2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)),
        )
    )


def mobilenet() -> nn.Module:
    return settled(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()),
            *(Inverted(8, 8, 1), Inverted(8, 12, 2), Inverted(12, 12, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)),
        )
    )


def vit() -> nn.Module:
    return settled(ViT)


class Text(nn.Module):
    """Two inputs of other types and two outputs, one of them shared: a mask over words, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.words(ids) * mask.unsqueeze(-1)
        return {"words": found, "logits": self.head(found.mean(1))}


def text() -> nn.Module:
    return settled(Text)


class NoCounterpart(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else 2 * x


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.5, training=True)


def deaf() -> nn.Module:
    """What it gives does not depend on what it gets."""
    last = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(last.weight)
    return last


def not_a_module() -> int:
    return 3


def broken() -> nn.Module:
    raise RuntimeError("the settings file is missing")


number = 3
module = nn.ReLU()
