"""Write a net with random weights in a framework: `python roads_models.py FRAMEWORK NET SIZE FOLDER`.

FRAMEWORK is keras, tflite, paddle or torch; NET is vgg16, resnet50 or mobilenet. `roads.py` runs this with the Python
that has the framework. Batch norms get random statistics, so that folding them changes numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def write_keras(net: str, size: int, folder: Path, *, lite: bool = False) -> Path:
    """A net of keras.applications with average pooling and 10 classes, as .keras or .tflite."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    make = {
        "vgg16": keras.applications.VGG16,
        "resnet50": keras.applications.ResNet50,
        "mobilenet": keras.applications.MobileNet,
    }[net]
    body = make(include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3))
    random = np.random.default_rng(0)
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            spread = random.uniform(0.5, 1.5, (4, gamma.size)).astype(np.float32)
            layer.set_weights([gamma * spread[0], beta + 0.1 * spread[1], mean + 0.1 * spread[2], variance * spread[3]])
    model = keras.Model(body.input, keras.layers.Dense(10, name="logits")(body.output))
    if not lite:
        path = folder / f"{net}.keras"
        model.save(path)
        return path
    import tensorflow as tf

    model.export(folder / "saved")
    path = folder / f"{net}.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert())
    return path


def write_paddle(net: str, size: int, folder: Path) -> Path:
    """A net of paddle.vision.models with 10 classes, as an inference model. VGG-16 has average pooling, as in Keras."""
    import paddle

    paddle.seed(0)
    if net == "vgg16":
        # Its own classifier has 120 million weights, which say nothing about a road and take most of the time.
        body = paddle.vision.models.vgg16(pretrained=False, num_classes=0, with_pool=False)
        pool = (paddle.nn.AdaptiveAvgPool2D(1), paddle.nn.Flatten(), paddle.nn.Linear(512, 10))
        model: Any = paddle.nn.Sequential(body, *pool)
    else:
        make = {"resnet50": paddle.vision.models.resnet50, "mobilenet": paddle.vision.models.mobilenet_v1}[net]
        model = make(pretrained=False, num_classes=10)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.Conv2D):
            # As in `write_torch`: without this, hardly anything of the input reaches the output of a deep net.
            fan = layer.weight.shape[1] * layer.weight.shape[2] * layer.weight.shape[3]
            layer.weight.set_value((2 / fan) ** 0.5 * paddle.randn(layer.weight.shape))
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._mean.set_value(0.1 * paddle.rand(layer._mean.shape))
            layer._variance.set_value(0.5 + paddle.rand(layer._variance.shape))
    model.eval()
    spec = [paddle.static.InputSpec([None, 3, size, size], "float32", "image")]
    paddle.jit.save(model, str(folder / "inference"), input_spec=spec)
    return folder


def write_torch(net: str, size: int, folder: Path) -> Path:
    """A net written out in PyTorch with 10 classes, as a program of torch.export."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    def unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        norm = nn.BatchNorm2d(outputs)
        nn.init.uniform_(norm.running_mean, 0.0, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        return [convolution, norm, nn.ReLU()]

    class Bottleneck(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            last = unit(width, 4 * width, 1)[:2]
            self.body = nn.Sequential(*unit(inputs, width, 1), *unit(width, width, 3, stride), *last)
            same = stride == 1 and inputs == 4 * width
            self.skip: nn.Module = nn.Identity() if same else nn.Sequential(*unit(inputs, 4 * width, 1, stride)[:2])

        def forward(self, x: Any) -> Any:
            return torch.relu(self.body(x) + self.skip(x))

    layers: list[nn.Module] = []
    channels = 3
    if net == "vgg16":
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += unit(channels, width)
                channels = width
            layers.append(nn.MaxPool2d(2))
    elif net == "resnet50":
        layers += [*unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for index in range(count):
                layers.append(Bottleneck(channels, width, stride if index == 0 else 1))
                channels = 4 * width
    else:
        layers += unit(3, 32, 3, 2)
        channels = 32
        for width, stride in (
            (64, 1),
            (128, 2),
            (128, 1),
            (256, 2),
            (256, 1),
            (512, 2),
            *[(512, 1)] * 5,
            (1024, 2),
            (1024, 1),
        ):
            layers += [*unit(channels, channels, 3, stride, channels), *unit(channels, width, 1)]
            channels = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.ones(2, 3, size, size),), dynamic_shapes=({0: batch},))
    path = folder / f"{net}.pt2"
    torch.export.save(program, path)
    return path


def main(framework: str, net: str, size: str, folder: str) -> None:
    """Write the net and print its path."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if framework in ("keras", "tflite"):
        path = write_keras(net, int(size), place, lite=framework == "tflite")
    else:
        path = {"paddle": write_paddle, "torch": write_torch}[framework](net, int(size), place)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
