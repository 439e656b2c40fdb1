"""Small networks as TensorFlow's users have them, channels last, exported by tf2onnx.

    python benchmarks/exporters/export_tf2onnx.py FOLDER

Needs tensorflow-cpu and tf2onnx. The files in benchmarks/exports/ were made by
TensorFlow 2.21 and tf2onnx 1.17 with this.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
import tf2onnx
from bare import bare
from tensorflow import keras
from tensorflow.keras import layers


def conv_norm(x, channels: int, kernel: int = 3, stride: int = 1, activation: str = "relu"):
    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def resnet(x):
    """Residual blocks, max pool, dense layers behind a flattened image."""
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(conv_norm(x, 8, 7, 2))
    for channels, stride in ((8, 1), (16, 2)):
        skip = conv_norm(x, channels, 1, stride, "") if stride > 1 else x
        y = conv_norm(conv_norm(x, channels, 3, stride), channels, activation="")
        x = layers.ReLU()(layers.Add()([y, skip]))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    return layers.Dense(10, activation="softmax")(layers.Dropout(0.3)(x))


def mobilenet(x):
    """Depthwise convolutions padded by hand, ReLU6, squeeze and excitation, hard swish."""
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Conv2D(8, 3, 2, padding="valid", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for _ in range(2):
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
        gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(y))
        gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
        y = layers.Multiply()([y, gate])
        x = layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(y))])
    x = x * layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def unet(x):
    """Joined skips, upsampling, transposed convolution, SiLU, average pool, leaky ReLU."""
    one = conv_norm(x, 8, activation="swish")
    two = conv_norm(layers.AveragePooling2D(2)(one), 16, activation="swish")
    low = conv_norm(layers.MaxPooling2D(2)(two), 16, activation="relu")
    y = layers.Concatenate()([layers.UpSampling2D()(low), two])
    y = layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(y)))
    y = layers.Concatenate()([layers.Conv2DTranspose(8, 2, 2)(y), one])
    return layers.Conv2D(3, 1, activation="sigmoid")(y)


def convnext(x):
    """Layer norms and GELU over channels that stand last."""
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(8, 4, 4)(x))
    y = layers.LayerNormalization(epsilon=1e-6)(layers.DepthwiseConv2D(7, padding="same")(x))
    y = layers.Dense(8)(keras.activations.gelu(layers.Dense(32)(y), approximate=True))
    x = layers.Add()([x, y])
    return layers.Dense(10)(layers.LayerNormalization()(layers.GlobalAveragePooling2D()(x)))


NETWORKS = {"resnet": resnet, "mobilenet": mobilenet, "unet": unet, "convnext": convnext}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in NETWORKS.items():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((32, 32, 3), name="x")
        model = keras.Model(inputs, make(inputs))
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                shape = layer.gamma.shape
                draw = [tf.random.uniform(shape, 0.5, 1.5), *(tf.random.normal(shape, 0, 0.2) for _ in range(2))]
                layer.set_weights([*(each.numpy() for each in draw), tf.random.uniform(shape, 0.5, 1.5).numpy()])
        call = tf.function(lambda x, model=model: model(x, training=False))
        spec = (tf.TensorSpec((None, 32, 32, 3), tf.float32, name="x"),)
        path = folder / f"tf_{name}.onnx"
        tf2onnx.convert.from_function(call, input_signature=spec, opset=17, output_path=str(path))
        bare(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
