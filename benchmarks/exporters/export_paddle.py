"""Small networks of PaddlePaddle, exported by paddle2onnx.

    python benchmarks/exporters/export_paddle.py FOLDER

Needs paddlepaddle and paddle2onnx. The files in benchmarks/exports/ were made by
PaddlePaddle 3.3 and paddle2onnx 2.1 with this.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import paddle
import paddle2onnx
from bare import bare
from paddle import nn
from paddle.nn import functional as F
from paddle.static import InputSpec


def conv_norm(channels_in: int, channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2D(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias_attr=False)
    return nn.Sequential(conv, nn.BatchNorm2D(channels))


class PaddleResnet(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 8, 7, 2), nn.ReLU(), nn.MaxPool2D(3, 2, 1))
        self.one, self.two, self.skip = conv_norm(8, 16, 3, 2), conv_norm(16, 16), conv_norm(8, 16, 1, 2)
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2D(1), nn.Dropout(0.2), nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(self.two(F.relu(self.one(x))) + self.skip(x))
        return F.softmax(self.head(self.drop(paddle.flatten(self.pool(x), 1))))


class PaddleLcnet(nn.Layer):
    """Of PP-LCNet: depthwise convolutions, hard swish, squeeze and excitation with a hard sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep, self.wide = conv_norm(3, 8, 3, 2), conv_norm(8, 8, 3, groups=8), conv_norm(8, 16, 1)
        self.down, self.up = nn.Conv2D(16, 4, 1), nn.Conv2D(4, 16, 1)
        self.pool, self.last, self.head = nn.AdaptiveAvgPool2D(1), nn.Conv2D(16, 32, 1), nn.Linear(32, 10)

    def forward(self, x):
        x = F.hardswish(self.wide(F.hardswish(self.deep(F.hardswish(self.stem(x))))))
        x = x * F.hardsigmoid(self.up(F.relu(self.down(self.pool(x)))))
        x = F.hardswish(self.last(self.pool(x)))
        return self.head(paddle.reshape(x, [x.shape[0], -1]))


class PaddleMixer(nn.Layer):
    """Layer norms, GELU, SiLU, attention as PaddleClas writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2D(3, 16, 8, 8), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.wide, self.narrow, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose([0, 2, 1])
        y = self.qkv(self.norm(x)).reshape([-1, 16, 3, 2, 8]).transpose([2, 0, 3, 1, 4])
        q, k, v = y[0], y[1], y[2]
        weights = F.softmax(paddle.matmul(q, k.transpose([0, 1, 3, 2])) * 8**-0.5)
        x = x + self.out(paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape([-1, 16, 16]))
        x = x + self.narrow(F.gelu(self.wide(x)))
        return self.head(F.silu(x).mean(1))


NETWORKS = {"resnet": PaddleResnet, "lcnet": PaddleLcnet, "mixer": PaddleMixer}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in NETWORKS.items():
        paddle.seed(0)
        model = make()
        model.eval()
        for norm in model.sublayers():
            if isinstance(norm, nn.BatchNorm2D):
                norm.weight.set_value(paddle.uniform(norm.weight.shape, min=0.5, max=1.5))
                norm.bias.set_value(0.2 * paddle.randn(norm.bias.shape))
                norm._mean.set_value(0.2 * paddle.randn(norm._mean.shape))
                norm._variance.set_value(paddle.uniform(norm._variance.shape, min=0.5, max=1.5))
        with tempfile.TemporaryDirectory() as work:
            base = str(Path(work) / name)
            paddle.jit.save(model, base, [InputSpec([None, 3, 32, 32], "float32", "x")])
            program = base + (".json" if Path(base + ".json").exists() else ".pdmodel")
            path = folder / f"paddle_{name}.onnx"
            # Without an optimizer behind it: this is what paddle2onnx writes by itself.
            paddle2onnx.export(program, f"{base}.pdiparams", str(path), opset_version=17, optimize_tool="None")
            bare(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
