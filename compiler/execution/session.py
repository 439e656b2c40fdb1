"""Run a model on the CPU with onnxruntime."""

from __future__ import annotations

import ctypes
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from vggc.diagnostics import Code, fail, spelling_help
from vggc.execution.errors import WITHOUT_RUNNING, Labels, failures, translate
from vggc.execution.threads import thread_limit
from vggc.graph import Graph, StoredWeights
from vggc.graph.arrays import Array, Feeds, Size
from vggc.graph.health import check_sizes
from vggc.graph.model_export import METADATA_IR_VERSION
from vggc.graph.node_order import live_nodes, reads
from vggc.graph.signature import ValueType, shape_text, type_text
from vggc.graph.weights import external_extent
from vggc.graph.wire import Skeleton, read_skeleton

Optimise = Literal["none", "basic", "extended", "all"]

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
_TYPES = {
    "float": "float32",
    "double": "float64",
    "string": "object",
    **{each: each for each in ("float16", "bfloat16", "bool")},
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
}
"""Element types with a numpy type of the same bytes, as onnxruntime and as numpy (or ml_dtypes) call them."""

_NODE = "vggc:"
"""The names of the nodes of a graph that is run begin with this; the index of the node follows."""

_FATAL_ONLY = 4
_INLINE_SHAPES = 1 << 20
_MAPPED_FROM = 64 << 20
"""Bytes of weights from which they are mapped instead of read by onnxruntime."""


class Session:
    """A model that can be run.

    `outputs` names the values to return, intermediate ones included (default: the model's own outputs). `optimise`
    is onnxruntime's level of graph rewriting: none, so that what runs is what the graph says, unless asked for.
    It uses `threads` threads: by default as many as `thread_limit` allows, or without a limit one for each core.

    `spinning` lets its threads wait for work busily: a little faster alone, several times slower on a shared machine.
    `profile` is a folder for the profile of all runs, which `end_profile` completes.

    Weights are handed over without a copy when nothing is optimised; otherwise onnxruntime copies them once.
    Raises CompileError when onnxruntime cannot load the model, naming the node where it is known.
    """

    def __init__(
        self,
        model: Graph | Path,
        outputs: Sequence[str] | None = None,
        *,
        optimise: Optimise = "none",
        threads: int | None = None,
        spinning: bool = False,
        profile: Path | None = None,
    ) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(_FATAL_ONLY)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[optimise])
        # For 0, onnxruntime makes one thread for each core.
        options.intra_op_num_threads = threads or thread_limit() or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile / "profile")
        if isinstance(model, Path) and outputs is not None:
            model = Graph.load(model)
        if isinstance(model, Path) and not model.is_file():
            raise fail(f"there is no model `{model}`", code=Code.NO_MODEL)
        self._asked = list(outputs) if outputs is not None else None
        self._kept: list[Any] = [options]
        self._labels: Labels = {}
        if isinstance(model, Graph):
            check_sizes(model)
        with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
            content: bytes | str
            if isinstance(model, Graph):
                content = self._hand_over(model, options, Path(folder))
            else:
                content = self._hand_over_file(model, options, Path(folder))
            try:
                self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            except failures() as error:
                raise translate(error, self._labels, "load") from None
        # onnxruntime describes a value of unknown rank like a single number.
        inputs = model.inputs if isinstance(model, Graph) else []
        unknown = {value.name for value in inputs if value.shape is None}
        types = [_value_type(each) for each in self._session.get_inputs()]
        self.inputs = tuple(each._replace(shape=None) if each.name in unknown else each for each in types)
        self.outputs = tuple(each.name for each in self._session.get_outputs())
        kinds = {each.type for each in (*self._session.get_inputs(), *self._session.get_outputs())}
        self._plain = all(_known_to_numpy(kind) for kind in kinds)

    def _hand_over(self, graph: Graph, options: Any, folder: Path) -> bytes:
        """The model's bytes, its large weights given to `options` by name."""
        exported = graph.export()
        proto = exported.model
        # Later versions of the format only add element types, but onnxruntime refuses those it is older than.
        proto.ir_version = min(proto.ir_version, METADATA_IR_VERSION)
        # Shapes that passes noted are for passes; onnxruntime finds its own.
        del proto.graph.value_info[:]
        for index, (node, message) in enumerate(zip(graph.nodes, proto.graph.node, strict=True)):
            # onnxruntime names a failing node by its name only, so every node needs one of its own.
            message.name = f"{_NODE}{index}"
            self._labels[message.name] = graph.label(node)
        if self._asked is not None:
            _reduce(proto.graph, graph, self._asked)
        weights = {
            tensor.name: exported.weights[tensor.name]
            for tensor in proto.graph.initializer
            if tensor.data_location == onnx.TensorProto.EXTERNAL
        }
        self._give_weights(proto, weights, options, folder)
        return proto.SerializeToString()

    def _hand_over_file(self, path: Path, options: Any, folder: Path) -> bytes | str:
        """A model file: its path, or its bytes without those of large weights, which are mapped and not copied.

        Nothing else of the file is changed: what runs is what any program finds in it.
        """
        skeleton = read_skeleton(path)
        weights = _weights_apart(skeleton, path)
        if sum(each.nbytes for each in weights.values()) < _MAPPED_FROM:
            return str(path)
        self._give_weights(skeleton.model, weights, options, folder)
        return skeleton.model.SerializeToString()

    def _give_weights(
        self, proto: onnx.ModelProto, weights: Mapping[str, Array | StoredWeights], options: Any, folder: Path
    ) -> None:
        """Hand over weights that stand apart from a message by their names, without a copy if nothing is optimised."""
        from onnxruntime import GraphOptimizationLevel, OrtValue

        separate = {}
        for tensor in proto.graph.initializer:
            if tensor.name not in weights:
                continue
            held = weights[tensor.name]
            if _must_be_inline(tensor, held):
                tensor.CopyFrom(_inline(tensor, held))
                continue
            array = held.load() if isinstance(held, StoredWeights) else np.ascontiguousarray(held)
            separate[tensor.name] = OrtValue.ortvalue_from_numpy_with_onnx_type(array, tensor.data_type)
            self._kept.append(array)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value="none")
        if options.graph_optimization_level == GraphOptimizationLevel.ORT_DISABLE_ALL:
            # onnxruntime wants the file it is told of to be there, but reads what is given here instead. Should it
            # ever read the file, that fails, for the file is empty.
            (folder / "none").touch()
            # Packing weights for speed is a copy, too.
            options.add_session_config_entry("session.disable_prepacking", "1")
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
            for name, value in separate.items():
                options.add_initializer(name, value)
        elif separate:
            options.add_external_initializers(list(separate), list(separate.values()))
        self._kept.append(separate)

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The outputs for one set of inputs, by name, in the order asked for.

        Each array has the shape that the model declares of it; a sequence is a list of arrays.

        Raises CompileError when the feeds do not fit the model, or a node fails.
        """
        from onnxruntime import RunOptions

        self._check(feeds)
        options = RunOptions()
        options.log_severity_level = _FATAL_ONLY
        names = list(self.outputs)
        try:
            if self._plain:
                results = self._session.run(names, dict(feeds), options)
            else:
                given = {each.name: _to_ort(feeds[each.name], each) for each in self.inputs}
                results = [_from_ort(each) for each in self._session.run_with_ort_values(names, given, options)]
        except failures() as error:
            raise translate(error, self._labels, "run") from None
        return dict(zip(names, results, strict=True))

    def end_profile(self) -> Path:
        """End the profile of this session. Returns its file, which is a JSON list of events."""
        return Path(self._session.end_profiling())

    @staticmethod
    def node_index(name: str) -> int | None:
        """The index of a node in its graph, from a name that is or begins with the node's; None for other names."""
        digits = re.match(rf"{_NODE}(\d+)", name)
        return int(digits[1]) if digits else None

    def _check(self, feeds: Feeds) -> None:
        known = [each.name for each in self.inputs]
        for name in feeds:
            if name not in known:
                raise fail(
                    f"the model has no input `{name}`",
                    help=spelling_help(name, known, "its inputs"),
                    code=Code.MODEL_INPUT,
                )
        for wanted in self.inputs:
            if wanted.name not in feeds:
                raise fail(f"no value is given for the model's input `{wanted.name}`", code=Code.MODEL_INPUT)
            array = feeds[wanted.name]
            strings = array.dtype.kind in "OUST" and wanted.dtype.kind == "O"
            if array.dtype != wanted.dtype and not strings:
                want, got = type_text(wanted.dtype), type_text(array.dtype)
                raise fail(f"the model's input `{wanted.name}` is {want}, but {got} is given", code=Code.MODEL_INPUT)
            if wanted.shape is not None and not _fits(array.shape, wanted.shape):
                want, got = shape_text(wanted.shape), shape_text(array.shape)
                raise fail(
                    f"the model's input `{wanted.name}` has shape {want}, but {got} is given", code=Code.MODEL_INPUT
                )


def check_loadable(path: Path) -> None:
    """Raise CompileError when onnxruntime has no kernel for a node of a model file, or refuses it in another way.

    Large weights are not read: they are declared as inputs. So the check takes little time and memory.
    """
    import onnxruntime

    skeleton = read_skeleton(path)
    apart = _weights_apart(skeleton, path)
    graph = skeleton.model.graph
    inputs = {each.name for each in graph.input}
    if apart:
        kept = [each for each in graph.initializer if each.name not in apart]
        for tensor in graph.initializer:
            if tensor.name in apart and tensor.name not in inputs:
                graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        del graph.initializer[:]
        graph.initializer.extend(kept)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Nothing is run, so nothing has to be ready for it.
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", "1")
    content = skeleton.model.SerializeToString() if apart else str(path)
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except failures() as error:
        raise translate(error, {}, "load") from None


def _weights_apart(skeleton: Skeleton, path: Path) -> dict[str, StoredWeights]:
    """The initializers of a model file whose numbers are not in the skeleton: large ones, and external data."""
    weights = {}
    for position, tensor in enumerate(skeleton.model.graph.initializer):
        extent = skeleton.extents.get(position)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            extent = external_extent(tensor, path.parent)
        if extent is not None:
            weights[tensor.name] = StoredWeights(tensor, extent)
    return weights


def _reduce(proto: onnx.GraphProto, graph: Graph, outputs: Sequence[str]) -> None:
    """Keep only the nodes that compute `outputs`; onnxruntime would run the others too."""
    values = {value.name: value for node in graph.nodes for value in node.outputs}
    live = live_nodes(graph.nodes, [values[name] for name in outputs if name in values])
    kept = {id(node) for node in live}
    needed = {value.name for node in live for value in reads(node)} | set(outputs)
    declared = {each.name: each for each in proto.output}
    nodes = [message for node, message in zip(graph.nodes, proto.node, strict=True) if id(node) in kept]
    weights = [tensor for tensor in proto.initializer if tensor.name in needed]
    results = [declared.get(name) or onnx.ValueInfoProto(name=name) for name in outputs]
    del proto.node[:], proto.initializer[:], proto.output[:]
    proto.node.extend(nodes)
    proto.initializer.extend(weights)
    proto.output.extend(results)


def _fits(given: tuple[int, ...], declared: Sequence[Size]) -> bool:
    return len(given) == len(declared) and all(
        not isinstance(want, int) or want == got for got, want in zip(given, declared, strict=True)
    )


def _must_be_inline(tensor: onnx.TensorProto, held: Array | StoredWeights) -> bool:
    """Whether onnxruntime must find the numbers in the message itself.

    Its shape inference reads shapes, axes and sizes, which are lists of integers; and packed types (two INT4 to a
    byte) have no numpy array of the same bytes.
    """
    size = held.nbytes
    integers = tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    packed = size < int(np.prod(tensor.dims, dtype=np.int64))
    return packed or (integers and len(tensor.dims) <= 1 and size <= _INLINE_SHAPES)


def _inline(tensor: onnx.TensorProto, held: Array | StoredWeights) -> onnx.TensorProto:
    raw = b"".join(held.chunks()) if isinstance(held, StoredWeights) else np.ascontiguousarray(held).tobytes()
    return onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=raw)


def _value_type(given: Any) -> ValueType:
    kind = given.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _TYPES:
        raise fail(
            f"the model's input `{given.name}` is a {given.type}, which vggc cannot feed",
            help=WITHOUT_RUNNING,
            code=Code.MODEL_INPUT,
        )
    return ValueType(given.name, _dtype(kind), tuple(given.shape))


def _dtype(kind: str) -> np.dtype[Any]:
    import ml_dtypes

    name = _TYPES[kind]
    return np.dtype(getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name)


def _known_to_numpy(kind: str) -> bool:
    """Whether onnxruntime itself turns a value of this type into numpy arrays and back."""
    return not any(each in kind for each in ("bfloat16", "float8", "int2", "int4", "float4"))


def _to_ort(array: Array, wanted: ValueType) -> Any:
    from onnxruntime import OrtValue

    if wanted.dtype.kind == "O":
        return OrtValue.ortvalue_from_numpy(array)
    number = int(onnx.helper.np_dtype_to_tensor_dtype(wanted.dtype))
    return OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array), number)


def _from_ort(value: Any) -> Any:
    if not value.is_tensor() or _known_to_numpy(value.data_type()):
        return value.numpy()
    kind = value.data_type().removeprefix("tensor(").removesuffix(")")
    if kind not in _TYPES:
        raise fail(
            f"a value of type {kind} cannot be read from onnxruntime", help=WITHOUT_RUNNING, code=Code.ONNXRUNTIME
        )
    numbers = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(numbers, _dtype(kind)).reshape(value.shape())
