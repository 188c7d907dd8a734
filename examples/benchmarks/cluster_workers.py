"""Worker processes on this machine, and what can be read off them."""

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
    """A client of so many workers, each with one thread; 0 for no limit."""
    from distributed import Client, LocalCluster

    with (
        # Numbers of threads that are meant for the workers are set here first.
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
    """Peak of the resident memory of each worker since it was started."""
    return list(client.run(peak_bytes).values())


def processes(client: Any) -> list[int]:
    """The number of each worker's process; one that was killed comes back as another.

    A worker that passes its limit is killed, and what it held is computed again.
    """
    return sorted(client.run(os.getpid).values())


def moved_bytes() -> int | None:
    """Return the bytes that went through the loopback interface so far, or None.

    All that processes of this machine send to each other, of whatever they are.
    """
    try:
        for line in Path("/proc/net/dev").read_text().splitlines():
            name, _, counts = line.partition(":")
            if name.strip() == "lo":
                return int(counts.split()[0])
    except OSError:
        pass
    return None
