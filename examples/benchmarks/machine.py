"""Machine and versions of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from measure import cores
from peers import PEERS
from threadpoolctl import threadpool_info

import xlr


def processor() -> str:
    """Return the system's name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict:
    """Return CPU, cores, system, and the environment's limits on threads."""
    threads = sorted(
        {
            f"{info.get('internal_api')} {info.get('version') or ''}".strip()
            + f" x {info['num_threads']}"
            for info in threadpool_info()
        }
    )
    limits = {
        name: value
        for name, value in os.environ.items()
        if name.endswith("_NUM_THREADS")
    }
    return {
        "processor": processor(),
        "cores": cores(),
        "system": platform.system(),
        "threads": threads,
        "limits": limits,
    }


COMPARED = ("numpy", "scipy", *(peer.distribution for peer in PEERS.values()), "skglm")


def versions(wanted: Iterable[str] = COMPARED) -> dict[str, str]:
    """Return the versions of Python and the libraries, and the commit of xlr."""
    found = {"python": platform.python_version(), "xlr": xlr.__version__}
    if commit := _commit():
        found["xlr"] += f" ({commit})"
    for name in dict.fromkeys(wanted):
        if name not in found:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "not installed"
    return found


def _commit() -> str | None:
    """Return the commit of the folder that holds xlr, if it is a git checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    folder = Path(xlr.__file__).parent
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None
