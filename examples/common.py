"""Helpers for the tutorials: the array library, published figures, pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from backends import Backend, find_backend

mpl.use("agg")  # no window: the pictures go to files
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

plt.rcParams.update({"figure.dpi": 110, "axes.grid": True, "grid.alpha": 0.3})

# Blue for 0, orange for 1: colour-blind people can separate them (Okabe and Ito 2008).
COLOURS = ["#0072B2", "#E69F00"]
MARKERS = ["o", "^"]
WRONG = "#D81B60"
# From probability 0 to probability 1; white at one half.
SHADES = LinearSegmentedColormap.from_list("shades", [COLOURS[0], "white", COLOURS[1]])


@dataclass
class Tutorial:
    """One run of a tutorial.

    Attributes
    ----------
    backend : Backend
    folder : Path
        The folder for the pictures.
    full : bool
        Whether the command line asks for the long version, with ``--full``.
    """

    backend: Backend
    folder: Path
    full: bool
    _figures: list[tuple[str, float, float, float]] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        script: str,
        description: str,
        *,
        full: str | None = None,
        host_only: bool = False,
    ):
        """Read the command line.

        ``full`` is the help text of ``--full``, if the tutorial has this option.
        ``host_only`` allows only NumPy, for tables and SciPy matrices.
        """
        parser = argparse.ArgumentParser(description=description.splitlines()[0])
        parser.add_argument(
            "--backend", choices=["numpy", "cupy", "torch", "jax"], default="numpy"
        )
        name = Path(script).stem
        parser.add_argument(
            "--out",
            type=Path,
            default=Path(script).parent / "output" / name,
            help="folder for the pictures",
        )
        if full is not None:
            parser.add_argument("--full", action="store_true", help=full)
        options = parser.parse_args()
        print(description.splitlines()[0])
        backend = find_backend("numpy" if host_only else options.backend)
        print(f"Arrays: {backend.name} on {backend.device}")
        options.out.mkdir(parents=True, exist_ok=True)
        return cls(backend, options.out, full is not None and options.full)

    def compare(self, name: str, published: Any, ours: Any, tolerance: float) -> None:
        """Record our numbers and published ones, to compare within a tolerance."""
        published, ours = np.ravel(published), np.ravel(ours)
        for i, (theirs, here) in enumerate(zip(published, ours, strict=True)):
            part = f"{name} [{i}]" if published.size > 1 else name
            self._figures.append((part, float(theirs), float(here), tolerance))

    def save(self, figure: plt.Figure, name: str) -> None:
        """Write a picture to the folder."""
        figure.savefig(self.folder / f"{name}.png")
        plt.close(figure)

    def finish(self) -> None:
        """Print the comparison, if any, and exit with 1 if a figure is missed."""
        if not self._figures:
            print(f"\nPictures: {self.folder}")
            return
        heading("Published figures")
        width = max(len(name) for name, *_ in self._figures)
        print(f"  {'':<{width}}  {'theirs':>15}{'ours':>16}{'difference':>12}  allowed")
        missed = 0
        for name, theirs, here, tolerance in self._figures:
            good = abs(theirs - here) <= tolerance
            missed += not good
            print(
                f"  {name:<{width}}  {theirs:>15.10g}{here:>16.10g}"
                f"{here - theirs:>12.1e}  {tolerance:.0e}{'' if good else '  MISSED'}"
            )
        print(f"\nPictures: {self.folder}")
        if missed:
            sys.exit(f"{missed} of {len(self._figures)} published figures were missed.")


def heading(text: str) -> None:
    """Print a title with a blank line above it."""
    print(f"\n{text}\n{'-' * len(text)}")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its seconds."""
    started = perf_counter()
    result = call()
    return result, perf_counter() - started


def scatter(ax: plt.Axes, X: np.ndarray, y: np.ndarray, names: list[str], **style: Any):
    """Draw the first two columns of X as points, by class."""
    for label, name in enumerate(names):
        ax.scatter(
            *X[y == label, :2].T,
            c=COLOURS[label % 2],
            marker=MARKERS[label % 2],
            label=name,
            **style,
        )
