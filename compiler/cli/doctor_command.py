"""`vggc doctor` and `vggc --version`: what is installed here, what is missing, and the commands that install it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from vggc import __version__
from vggc.cli.console import stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.cli.machine_output import for_programs, json_option, set_result
from vggc.cli.tables import plain_table
from vggc.diagnostics.packages import OPTIONAL

CORE = ("onnxruntime", "onnx", "onnx-graphsurgeon", "onnxsim", "numpy", "lark")
"""Packages that vggc stands on, as their distributions are named."""

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve")
"""Instructions that onnxruntime's kernels use, as Linux names them; vnni, amx, dp and i8mm are for int8."""


@dataclass(frozen=True)
class Package:
    """A package or a group of them: `version` is None when something is missing, which `command` installs."""

    name: str
    version: str | None
    purpose: str
    command: str | None


def show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the version, and those of what results depend on; then end."""
    if wanted and not context.resilient_parsing:
        others = [f"Python {platform.python_version()}", *(f"{name} {found}" for name, found in _versions() if found)]
        click.echo(f"vggc {__version__} ({', '.join(others)})")
        context.exit()


def _versions() -> list[tuple[str, str | None]]:
    return [(name, installed(name)) for name in ("onnxruntime", "onnx", "tensorrt-rtx", "tensorrt")]


def installed(name: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@click.command(cls=LoadingCommand)
@json_option
def doctor() -> None:
    """Show what vggc finds on this machine, and what is missing: packages, CPU, GPU, cache. Changes nothing."""
    found = examine()
    if for_programs():
        set_result(found)
        return
    table = plain_table("", "", "")
    table.add_row("vggc", found["vggc"], f"Python {found['python']}, {found['system']}")
    for each in found["packages"]:
        table.add_row(each["name"], each["version"] or "missing", each["purpose"])
    cpu, gpu, cache = found["cpu"], found["gpu"], found["cache"]
    table.add_row("CPU", f"{cpu['cores']} cores", f"{cpu['name']}; {', '.join(cpu['features']) or 'features unknown'}")
    table.add_row("GPU", gpu["capability"] or "none", gpu["name"] or gpu["problem"])
    table.add_row("cache", "on" if cache["folder"] else "off", cache["folder"] or cache["problem"])
    stdout().print(table)
    for each in found["packages"]:
        if each["command"]:
            stdout().print(f"\nmissing for {each['purpose'] or 'vggc'}:\n    {each['command']}", soft_wrap=True)


def examine() -> dict[str, Any]:
    """What is here, as plain JSON values."""
    return {
        "vggc": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": [asdict(each) for each in packages()],
        "cpu": _cpu(),
        "gpu": _gpu(),
        "cache": _cache(),
    }


def packages() -> list[Package]:
    """The packages that vggc stands on, the TensorRTs, and those that it can do without."""
    from vggc.targets.flavours import missing

    found = [_required(name) for name in CORE]
    absent = missing("tensorrt_rtx")
    release, advice = (None, absent.help) if absent else (installed("tensorrt-rtx"), None)
    found.append(Package("tensorrt-rtx", release, "`target tensorrt_rtx`", advice))
    for each in OPTIONAL:
        lacking = [name for name in each.modules if find_spec(name) is None]
        known = None if lacking else installed(each.packages[0]) or "here"
        found.append(Package(" ".join(each.packages), known, each.purpose, each.command if lacking else None))
    return found


def _required(name: str) -> Package:
    known = installed(name)
    return Package(name, known, "", None if known else f"pip install {name}")


def _cpu() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return {
        "name": name[1] if name else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "features": [each for each in FEATURES if each in known],
    }


def _gpu() -> dict[str, Any]:
    from vggc.targets.cuda_driver import CudaError, Device

    try:
        device = Device()
    except CudaError as error:
        return {"name": None, "capability": None, "problem": str(error)}
    return {"name": device.name, "capability": device.capability, "problem": None}


def _cache() -> dict[str, Any]:
    from vggc.cache import VARIABLE, open_store

    store = open_store()
    if store is None:
        return {"folder": None, "problem": f"the environment variable {VARIABLE} is off"}
    return {"folder": str(store.folder), "problem": None}
