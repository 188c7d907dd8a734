"""Rows in parts, each made where it is used: in memory, on workers, on disk."""

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

MIN_ROWS_PER_FEATURE = 50  # with fewer rows there may be no optimum
Model = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """``n_parts`` parts of ``part_rows`` rows of ``p`` features, and their labels.

    The distribution is that of ``generators.correlated``. Each part is drawn by itself,
    and is the same wherever it is drawn.
    """

    n_parts: int
    part_rows: int
    p: int

    @classmethod
    def share_of(cls, share: float, *, n: int, p: int, n_parts: int) -> Rows:
        """Return the rows with ``n`` times ``share`` rows."""
        n_rows = max(min(n, MIN_ROWS_PER_FEATURE * p), int(n * share))
        return cls(n_parts, math.ceil(n_rows / n_parts), p)

    @property
    def n(self) -> int:
        return self.n_parts * self.part_rows

    @property
    def X_bytes(self) -> int:  # noqa: N802 - X is the name of the features
        return 8 * self.n * self.p

    def part(self, i: int) -> Data:
        """Draw one of the parts."""
        model = correlated_model(np.random.default_rng(0), p=self.p)
        return model.draw(np.random.default_rng([1, i]), self.part_rows)

    def parts(self) -> Iterator[tuple[slice, Data]]:
        """Yield each part with the slice of its rows."""
        for i in range(self.n_parts):
            yield slice(i * self.part_rows, (i + 1) * self.part_rows), self.part(i)

    def whole(self) -> Data:
        """Draw all rows in memory."""
        X, y = np.empty((self.n, self.p)), np.empty(self.n, np.int64)
        for here, part in self.parts():
            X[here], y[here] = part.X, part.y
        return Data(X, y)

    def on_workers(self) -> tuple[Any, Any]:
        """Return X and y in chunks, which the client's workers make and keep."""
        import dask
        import dask.array as da
        from distributed import wait

        parts = [dask.delayed(self._X_and_y, nout=2)(i) for i in range(self.n_parts)]
        shape = (self.part_rows, self.p)
        X = da.concatenate([da.from_delayed(X, shape, float) for X, _ in parts])
        y = da.concatenate([da.from_delayed(y, shape[:1], np.int64) for _, y in parts])
        X, y = dask.persist(X, y)
        wait([X, y])
        return X, y

    def _X_and_y(self, i: int) -> tuple[np.ndarray, np.ndarray]:  # noqa: N802
        return self.part(i)[:2]

    def write_zarr(self, folder: Path) -> None:
        """Write X and y, one chunk per part, uncompressed as the numbers are random."""
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
        """Write one file per part: each row has a list of features and a label."""
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
        """Return F of each model, without a penalty, summed part by part."""
        by_model: list[list[float]] = [[] for _ in models]
        for _, part in self.parts():
            for means, model in zip(by_model, models):
                means.append(objective(model["coef"], model["intercept"], part, np.inf))
        return [math.fsum(means) / self.n_parts for means in by_model]


def drop_from_cache(folder: Path) -> None:
    """Ask the system to drop the files of a folder from its cache."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
