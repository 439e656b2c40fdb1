"""Stands in for NVIDIA's `tensorrt`, which builds only where a GPU is: ends a build in the way the test asks for.

It has what the adapter may use of TensorRT 10 and nothing more; the environment variable FAKE_TENSORRT says how the
build goes. A network has one input `x` and one output `y`, float32 [2, 3], computed by one layer.
"""

from __future__ import annotations

import enum
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

__version__ = "10.13.3.9"

BEHAVIOUR = os.environ.get("FAKE_TENSORRT", "built")


class Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7
    REFIT = 4
    STRIP_PLAN = 15
    VERSION_COMPATIBLE = 14
    WEIGHT_STREAMING = 16


class HardwareCompatibilityLevel(enum.IntEnum):
    """Without SAME_COMPUTE_CAPABILITY, which some release does not have."""

    NONE = 0
    AMPERE_PLUS = 1


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class DataType(enum.IntEnum):
    FLOAT = 0


class ILogger:
    def __init__(self) -> None:
        """As the real one: subclasses must call it."""

    def log(self, severity: Severity, text: str) -> None:
        raise NotImplementedError


def tensor(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, dtype=DataType.FLOAT, shape=(2, 3), is_shape_tensor=False)


class Network:
    num_inputs = num_outputs = num_layers = 1

    def __init__(self) -> None:
        self.name = "Unnamed Network 0"
        self.layer = SimpleNamespace(name="relu1", metadata="[ONNX Layer: relu1]")

    def get_input(self, index: int) -> SimpleNamespace:
        return tensor("x")

    def get_output(self, index: int) -> SimpleNamespace:
        return tensor("y")

    def get_layer(self, index: int) -> SimpleNamespace:
        return self.layer


class OnnxParser:
    num_errors = 0

    def __init__(self, network: Network, logger: ILogger) -> None:
        self.logger = logger

    def parse_from_file(self, path: str) -> bool:
        if not Path(path).is_file():
            raise FileNotFoundError(path)
        self.logger.log(Severity.VERBOSE, "Parsing node: relu1 [Relu]")
        if BEHAVIOUR == "other numbers":
            self.logger.log(Severity.WARNING, "Weight at index 0: 1e+300 is out of range. Clamping to: 3.40282e+38")
        if BEHAVIOUR == "defaulting":
            self.logger.log(Severity.WARNING, "Detected UINT8 in the model. Defaulting to INT8.")
        return True


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[list[int], list[int], list[int]]] = {}

    def set_shape(self, name: str, low: list[int], middle: list[int], high: list[int]) -> None:
        self.shapes[name] = (low, middle, high)


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content + b" and this build's"


class Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.workspace = 1 << 36
        self.profiles: list[Profile] = []
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.builder_optimization_level = 3
        self.cache = b""

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> TimingCache:
        return TimingCache(content)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache.content
        return cache.content != b"another GPU's"

    def get_timing_cache(self) -> TimingCache:
        return TimingCache(self.cache)

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        return flag in self.flags

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        self.workspace = size

    def get_memory_pool_limit(self, pool: MemoryPoolType) -> int:
        return self.workspace


def say(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def exhaust_memory(logger: ILogger) -> None:
    raise MemoryError


def crash(logger: ILogger) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def be_killed(logger: ILogger) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate(logger: ILogger) -> None:
    say("terminate called after throwing an instance of 'std::bad_alloc'", sys.stderr)
    os.kill(os.getpid(), signal.SIGABRT)


def leave(logger: ILogger) -> None:
    say("giving up", sys.stderr)
    os._exit(7)


def hang(logger: ILogger) -> None:
    Path(os.environ["FAKE_TENSORRT_PID"]).write_text(str(os.getpid()))
    time.sleep(600)


def work(logger: ILogger) -> None:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass


def log_an_error(logger: ILogger) -> None:
    logger.log(Severity.ERROR, "[relu1] cannot be fused. In fuse at /_src/fuse.cpp:12")


def say_nothing(logger: ILogger) -> None:
    say("noise on standard output", sys.stdout)


def log_lost_memory(logger: ILogger) -> None:
    logger.log(Severity.ERROR, "Unexpected exception std::bad_alloc")


def lose_memory(logger: ILogger) -> None:
    logger.log(Severity.ERROR, "Requested amount of GPU memory could not be allocated: OutOfMemory")


ENDINGS = {
    "memory error": exhaust_memory,
    "crash": crash,
    "killed": be_killed,
    "terminate": terminate,
    "leave": leave,
    "hang": hang,
    "work": work,
    "quiet crash": crash,
    "error": log_an_error,
    "error and engine": log_an_error,
    "nothing": say_nothing,
    "memory logged": log_lost_memory,
    "gpu memory": lose_memory,
}


class Builder:
    def __init__(self, logger: ILogger) -> None:
        if BEHAVIOUR == "no gpu":
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags: int) -> Network:
        assert flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return Network()

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
        if BEHAVIOUR != "quiet crash":
            say("Loading plugins", sys.stdout)
        self.logger.log(Severity.WARNING, "Detected a slow path")
        self.logger.log(Severity.WARNING, "Detected a slow path")
        if BEHAVIOUR in ENDINGS:
            ENDINGS[BEHAVIOUR](self.logger)
        if BEHAVIOUR in ("error", "nothing", "memory logged", "gpu memory"):
            return None
        return f"engine of {network.name}: {network.layer.metadata}".encode()
