"""One peer's int8 quantization as a program of its own: `python quantize_peers.py PEER IN.onnx CALIB.npy OUT.onnx`.

CALIB.npy holds the samples, float32, of the model's one input. Prints the seconds that quantizing took, without those
for importing the peer, and the peak memory of the process in MB. Runs in an environment that has the peers, so it
imports nothing of vggc.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx

BATCH = 32

Quantize = Callable[[], None]


def onnxruntime(source: str, samples: np.ndarray, out: str, method: str, *, symmetric: bool) -> Quantize:
    """quantize_static: its own pre-processing, per-channel weights, Q/DQ where its CPU kernels want it."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnx.load(source).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([{name: samples[at : at + BATCH]} for at in range(0, len(samples), BATCH)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            prepared = str(Path(folder) / "prepared.onnx")
            quant_pre_process(source, prepared)
            quantization.quantize_static(
                prepared,
                out,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=getattr(quantization.CalibrationMethod, method),
                extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
            )

    return run


def modelopt(source: str, samples: np.ndarray, out: str, method: str) -> Quantize:
    """NVIDIA's quantizer for ONNX: Q/DQ where TensorRT wants it."""
    from modelopt.onnx.quantization import quantize

    def run() -> None:
        quantize(
            source,
            quantize_mode="int8",
            calibration_data=samples,
            calibration_method=method,
            calibration_eps=["cpu"],
            high_precision_dtype="fp32",
            output_path=out,
            log_level="ERROR",
        )

    return run


def nncf(source: str, samples: np.ndarray, out: str, preset: str) -> Quantize:
    """Intel's quantizer: with bias correction, by default fast."""
    import nncf

    model = onnx.load(source)
    name = model.graph.input[0].name

    def items() -> Iterator[dict[str, np.ndarray]]:
        return ({name: samples[at : at + 1]} for at in range(len(samples)))

    def run() -> None:
        dataset = nncf.Dataset(list(items()))
        options = {"preset": getattr(nncf.QuantizationPreset, preset), "subset_size": len(samples)}
        onnx.save(nncf.quantize(model, dataset, target_device=nncf.TargetDevice.CPU, **options), out)

    return run


PEERS: dict[str, Callable[[str, np.ndarray, str], Quantize]] = {
    "onnxruntime, entropy": lambda *given: onnxruntime(*given, "Entropy", symmetric=True),
    "onnxruntime, percentile": lambda *given: onnxruntime(*given, "Percentile", symmetric=True),
    "onnxruntime, uint8, minmax": lambda *given: onnxruntime(*given, "MinMax", symmetric=False),
    "modelopt, entropy": lambda *given: modelopt(*given, "entropy"),
    "modelopt, max": lambda *given: modelopt(*given, "max"),
    "nncf, performance": lambda *given: nncf(*given, "PERFORMANCE"),
    "nncf, mixed": lambda *given: nncf(*given, "MIXED"),
}


def peak_megabytes() -> float:
    """The most memory that this process had; that of `getrusage` begins as that of the parent."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    logging.disable(logging.WARNING)
    peer, source, samples, out = sys.argv[1:]
    quantize = PEERS[peer](source, np.load(samples), out)
    started = time.perf_counter(), time.process_time()
    quantize()
    print(f"seconds {time.perf_counter() - started[0]:.2f} {time.process_time() - started[1]:.2f}")
    print(f"peak {peak_megabytes():.0f}")


if __name__ == "__main__":
    main()
