"""Small networks with the parts of well-known ones, exported by both of PyTorch's ONNX exporters.

    python benchmarks/exporters/export_torch.py FOLDER

Needs torch and onnxscript. The files in benchmarks/exports/ were made by torch 2.13 with this.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from bare import bare
from torch import nn
from torch.nn import functional as F


def conv_norm(channels_in: int, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    padding = kernel // 2
    conv = nn.Conv2d(channels_in, channels, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


class Residual(nn.Module):
    """A basic block of ResNet, with a squeeze-and-excitation gate."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv_norm(channels_in, channels, 3, stride), conv_norm(channels, channels)
        self.skip = conv_norm(channels_in, channels, 1, stride) if stride > 1 else nn.Identity()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(F.relu(self.first(x)))
        gate = torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3), keepdim=True)))))
        return F.relu(y * gate + self.skip(x))


class SeResnet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Residual(8, 8, 1), Residual(8, 16, 2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)))


class HardSwishNet(nn.Module):
    """Of MobileNetV3: depthwise convolutions, hard swishes written out as its first code had them, ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, 8, 3, 2)
        self.wide, self.deep, self.narrow = conv_norm(8, 24, 1), conv_norm(24, 24, 5, groups=24), conv_norm(24, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * F.relu6(x + 3) / 6
        y = F.hardswish(self.wide(x))
        y = self.deep(y)
        y = y * (F.relu6(y + 3) / 6)
        y = y * F.hardsigmoid(y.mean((2, 3), keepdim=True))
        x = x + self.narrow(y)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class SiluNet(nn.Module):
    """Of YOLO: SiLU, a split whose parts are joined again, spatial pyramid pooling, nearest upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = conv_norm(3, 16, 3, 2), conv_norm(16, 16, 1)
        self.inner = nn.ModuleList(conv_norm(8, 8) for _ in range(2))
        self.join, self.pool, self.last = conv_norm(32, 16, 1), nn.MaxPool2d(5, 1, 2), conv_norm(32, 8, 1)
        self.detect = nn.Conv2d(24, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.silu(self.one(F.silu(self.stem(x))))
        parts = list(x.chunk(2, 1))
        for each in self.inner:
            parts.append(F.silu(each(parts[-1])))
        x = F.silu(self.join(torch.cat(parts, 1)))
        y = self.last(torch.cat([x, self.pool(x)], 1))
        x = torch.cat([F.interpolate(x, scale_factor=2), F.interpolate(y, scale_factor=2)], 1)
        found = self.detect(x).view(x.shape[0], 3, 4, -1).permute(0, 1, 3, 2).contiguous()
        return found.sigmoid().reshape(x.shape[0], -1, 4)


class Shuffle(nn.Module):
    """Of ShuffleNet: channels split, convolved, joined and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, 16, 3, 2)
        self.branch = nn.Sequential(
            conv_norm(8, 8, 1), nn.ReLU(), conv_norm(8, 8, 3, groups=8), conv_norm(8, 8, 1), nn.ReLU()
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        for _ in range(2):
            left, right = x.chunk(2, dim=1)
            x = torch.cat((left, self.branch(right)), dim=1)
            batch, channels, height, width = x.shape
            x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        return self.head(x.mean([2, 3]))


class LayerNorm2d(nn.LayerNorm):
    """A layer norm over channels, written out as the first ConvNeXt had it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 4, 4), LayerNorm2d(8, eps=1e-6)
        self.deep, self.inner = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8, eps=1e-6)
        self.wide, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)
        self.gamma = nn.Parameter(0.5 * torch.rand(8))
        self.last, self.head = nn.LayerNorm(8), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x))
        for _ in range(2):
            y = self.inner(self.deep(x).permute(0, 2, 3, 1))
            y = self.gamma * self.narrow(F.gelu(self.wide(y)))
            x = x + y.permute(0, 3, 1, 2)
        return self.head(self.last(x.mean([-2, -1])))


class Block(nn.Module):
    """A transformer block: attention as matrix products, a perceptron with the approximate GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU("tanh"), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.one(x)).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        weights = ((q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.two(x))


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.places = nn.Parameter(torch.randn(1, 17, 16))
        self.blocks = nn.Sequential(Block(16, 2), Block(16, 2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class GroupUnet(nn.Module):
    """Of diffusion models: group norms, SiLU, a way down and up again with a skip, an RMS norm at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, 8), nn.GroupNorm(4, 16)])
        self.up, self.last = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 3, 3, padding=1)
        self.pad, self.rms = nn.ZeroPad2d((0, 1, 0, 1)), RmsNorm(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.down(F.silu(self.norms[0](x)))
        y = self.up(F.silu(self.norms[1](y)))
        y = self.last(torch.cat([x, y], 1))
        y = F.avg_pool2d(self.pad(y), 2, 1)
        return self.rms(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Dense(nn.Module):
    """Of DenseNet and Inception: norms before convolutions, joined branches, average pools, a padded pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ConstantPad2d(1, 0.0), nn.Conv2d(3, 8, 3, 2, bias=False))
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(12)])
        self.grow = nn.ModuleList([nn.Conv2d(8, 4, 3, padding=1, bias=False), nn.Conv2d(12, 4, 1, bias=False)])
        self.branches = nn.ModuleList([conv_norm(16, 4, 1), conv_norm(16, 4, 3)])
        self.squeeze, self.head = nn.Conv2d(24, 8, 1), nn.Linear(8 * 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm, grow in zip(self.norms, self.grow, strict=True):
            x = torch.cat([x, grow(F.relu(norm(x)))], 1)
        pooled = F.avg_pool2d(x, 3, 1, 1)
        x = torch.cat([self.branches[0](x), self.branches[1](x), pooled], 1)
        x = F.avg_pool2d(F.relu6(F.relu(self.squeeze(x))), 2)
        return self.head(F.dropout(x.reshape(x.size(0), -1), 0.5, training=False))


NETWORKS: dict[str, type[nn.Module]] = {
    "se_resnet": SeResnet,
    "hard_swish": HardSwishNet,
    "silu": SiluNet,
    "shuffle": Shuffle,
    "convnext": ConvNext,
    "vit": Vit,
    "group_unet": GroupUnet,
    "dense": Dense,
}
NORMS = ("group_unet",)
"""Networks with operators that opset 21 and 23 brought."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    x = torch.zeros(2, 3, 32, 32)
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        model = make().eval()
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, 0, 0.2)
                nn.init.normal_(norm.running_mean, 0, 0.2)
                nn.init.uniform_(norm.running_var, 0.5, 1.5)
        old = {"do_constant_folding": False, "dynamic_axes": {"x": {0: "batch"}}, "opset_version": 17}
        torch.onnx.export(
            model, (x,), str(folder / f"torch_{name}.onnx"), input_names=["x"], output_names=["y"], dynamo=False, **old
        )
        bare(folder / f"torch_{name}.onnx")
        for opset in (20, 23) if name in NORMS else (20,):
            program = torch.onnx.export(
                model,
                (x,),
                input_names=["x"],
                output_names=["y"],
                dynamo=True,
                opset_version=opset,
                optimize=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
            path = folder / f"dynamo{opset}_{name}.onnx"
            program.save(str(path))
            bare(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
