"""Rows in parts, each made where it is wanted: in memory, on workers, on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from data import Data
from generators import correlated_model
from measure import objective

FEWEST = 50  # rows for each feature: with fewer there may be no optimum
Model = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """``n_parts`` parts of ``part_rows`` rows of ``p`` features, and their labels.

    They are drawn as those of ``generators.correlated``; a part is drawn by itself, and
    is the same wherever that is done.
    """

    n_parts: int
    part_rows: int
    p: int

    @classmethod
    def share_of(cls, share: float, *, n: int, p: int, n_parts: int) -> Rows:
        """A share of n rows."""
        rows = max(min(n, FEWEST * p), int(n * share))
        return cls(n_parts, math.ceil(rows / n_parts), p)

    @property
    def n(self) -> int:
        return self.n_parts * self.part_rows

    @property
    def X_bytes(self) -> int:  # noqa: N802 - X is what it is called
        return 8 * self.n * self.p

    def part(self, i: int) -> Data:
        """One of the parts."""
        model = correlated_model(np.random.default_rng(0), p=self.p)
        return model.draw(np.random.default_rng([1, i]), self.part_rows)

    def parts(self) -> Iterator[tuple[slice, Data]]:
        """Each with where its rows are among all."""
        for i in range(self.n_parts):
            yield slice(i * self.part_rows, (i + 1) * self.part_rows), self.part(i)

    def whole(self) -> Data:
        """All of them, in memory."""
        X, y = np.empty((self.n, self.p)), np.empty(self.n, np.int64)
        for here, part in self.parts():
            X[here], y[here] = part.X, part.y
        return Data(X, y)

    def on_workers(self) -> tuple[Any, Any]:
        """X and y in chunks, made and kept by the workers of the present client."""
        import dask
        import dask.array as da
        from distributed import wait

        parts = [dask.delayed(self._pair, nout=2)(i) for i in range(self.n_parts)]
        shape = (self.part_rows, self.p)
        X = da.concatenate([da.from_delayed(X, shape, float) for X, _ in parts])
        y = da.concatenate([da.from_delayed(y, shape[:1], np.int64) for _, y in parts])
        X, y = dask.persist(X, y)
        wait([X, y])
        return X, y

    def _pair(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.part(i)[:2]

    def write_zarr(self, folder: Path) -> None:
        """X and y, a chunk for each part; random numbers cannot be compressed."""
        import zarr

        def create(name: str, dtype: str, *columns: int) -> Any:
            return zarr.create_array(
                str(folder / name),
                shape=(self.n, *columns),
                chunks=(self.part_rows, *columns),
                dtype=dtype,
                compressors=None,
            )

        X, y = create("X", "float64", self.p), create("y", "int64")
        for here, part in self.parts():
            X[here], y[here] = part.X, part.y

    def write_parquet(self, folder: Path) -> None:
        """A file for each part: the features of a row as a list, and its label."""
        import pyarrow as pa
        from pyarrow import parquet

        ends = np.arange(0, self.part_rows * self.p + 1, self.p, dtype=np.int32)
        for i in range(self.n_parts):
            part = self.part(i)
            features = pa.ListArray.from_arrays(ends, part.X.ravel())
            columns = pa.table({"features": features, "label": part.y.astype(float)})
            path = folder / f"{i:05}.parquet"
            parquet.write_table(columns, path, use_dictionary=False, compression="none")

    def objectives(self, models: Sequence[Model]) -> list[float]:
        """F of each model, without a penalty, part by part."""
        found: list[list[float]] = [[] for _ in models]
        for _, part in self.parts():
            for means, model in zip(found, models):
                means.append(objective(model["coef"], model["intercept"], part, np.inf))
        return [math.fsum(means) / self.n_parts for means in found]


def forget(folder: Path) -> None:
    """Ask the system to drop what it keeps in memory of some files."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
