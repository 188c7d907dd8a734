"""Worker processes on this machine, and measurements of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measure import peak_bytes


@contextmanager
def worker_processes(n_workers: int, memory_limit: str | float = 0) -> Iterator[Any]:
    """Start workers of one thread each, and yield their client; 0 means no limit."""
    from distributed import Client, LocalCluster

    with (
        # LocalCluster sets the workers' numbers of threads in this process first.
        patch.dict(os.environ),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=memory_limit,
            dashboard_address=":0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def peaks(client: Any) -> list[int | None]:
    """Return the peak resident memory of each worker since its start."""
    return list(client.run(peak_bytes).values())


def processes(client: Any) -> list[int]:
    """Return the process id of each worker; a restarted worker has a new one.

    A worker above its memory limit is killed, and its results are computed again.
    """
    return sorted(client.run(os.getpid).values())


def moved_bytes() -> int | None:
    """Return the bytes that went through the loopback interface so far, or None.

    They include the traffic of all processes of this machine.
    """
    try:
        for line in Path("/proc/net/dev").read_text().splitlines():
            name, _, counts = line.partition(":")
            if name.strip() == "lo":
                return int(counts.split()[0])
    except OSError:
        pass
    return None
