"""The Python packages that vggc can do without: what each is for, and the command that installs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Optional:
    """Packages that belong together: an extra of vggc. `modules` are the names under which Python imports them.

    `separate` packages need other versions of packages that vggc needs too, so that they need another environment.
    """

    extra: str
    purpose: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    separate: bool = False

    @property
    def command(self) -> str:
        """The command that installs them; vggc itself is on no package index, so that it names the packages."""
        return f"pip install {' '.join(self.packages)}"


TORCH = Optional(
    "torch",
    "`vggc export`, PyTorch modules as models, and the step `recover`",
    ("torch", "onnxscript", "safetensors"),
    ("torch", "onnxscript", "safetensors"),
)
TENSORRT = Optional("tensorrt", "`target tensorrt`, on a machine with an NVIDIA GPU", ("tensorrt",), ("tensorrt",))
LSP = Optional("lsp", "`vggc lsp`, the language server for editors", ("pygls",), ("pygls", "lsprotocol"))
DETECTION = Optional("detection", "the measures map50 and map50_95", ("pycocotools",), ("pycocotools",))
ONNXRUNTIME = Optional("onnxruntime", "every compile", ("onnxruntime",), ("onnxruntime",))
OPENVINO = Optional("openvino", "`target openvino`", ("openvino",), ("openvino",))
SEARCH = Optional("search", "`vggc search`", ("optuna",), ("optuna",))
RAY = Optional("ray", "`--on ray` of `vggc search` and `vggc sweep`", ("ray",), ("ray",))
TVM = Optional("tvm", "`target tvm`", ("apache-tvm", "onnx"), ("tvm", "onnx"))
TVM_TUNING = Optional(
    "tvm",
    "`minutes` of `target tvm`",
    # MetaSchedule of TVM 0.27 ends the process with apache-tvm-ffi 0.1.15.
    ("apache-tvm", "apache-tvm-ffi==0.1.14.post0", "onnx", "psutil", "cloudpickle", "xgboost-cpu"),
    ("tvm", "tvm_ffi", "onnx", "psutil", "cloudpickle", "xgboost"),
)
ONNX2TF = Optional(
    "onnx2tf", "the targets `litert`, `saved_model` and `tf_serving`", ("onnx2tf",), ("onnx2tf",), separate=True
)
TENSORFLOW = Optional(
    "tensorflow",
    "models of Keras, TensorFlow and TFLite",
    ("tensorflow-cpu", "tf2onnx"),
    ("tensorflow", "tf2onnx"),
)
PADDLE = Optional(
    "paddle",
    "models of Paddle",
    # paddle2onnx imports the last two, and does not say so.
    ("paddlepaddle", "paddle2onnx", "setuptools", "packaging"),
    ("paddle", "paddle2onnx", "setuptools", "packaging"),
    separate=True,
)
TORCH_EXPORT = Optional("torch", "programs of torch.export (.pt2)", ("torch", "onnxscript"), ("torch", "onnxscript"))
TORCHSERVE = Optional("torchserve", "`target torchserve`", ("torch-model-archiver",), ("model_archiver",))
MLFLOW = Optional("mlflow", "`--mlflow` of `vggc report`", ("mlflow-skinny",), ("mlflow",))

OPTIONAL = (
    TORCH,
    TENSORRT,
    LSP,
    DETECTION,
    OPENVINO,
    SEARCH,
    RAY,
    TVM,
    ONNX2TF,
    TORCHSERVE,
    TENSORFLOW,
    PADDLE,
    MLFLOW,
)
