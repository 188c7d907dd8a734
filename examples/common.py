"""What the tutorials share: the array library asked for, figures checked, pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import array_api_compat
import matplotlib as mpl
import numpy as np

mpl.use("agg")  # no window: the pictures go to files
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

plt.rcParams.update({"figure.dpi": 110, "axes.grid": True, "grid.alpha": 0.3})

# Blue for 0 and orange for 1, told apart by all kinds of eyes (Okabe and Ito 2008).
COLOURS = ["#0072B2", "#E69F00"]
MARKERS = ["o", "^"]
WRONG = "#D81B60"
# From surely 0 to surely 1, white where it could be either.
SHADES = LinearSegmentedColormap.from_list("shades", [COLOURS[0], "white", COLOURS[1]])


@dataclass(frozen=True)
class Backend:
    """An array library, and where it puts arrays."""

    name: str
    xp: Any
    device: Any

    def place(self, values: np.ndarray) -> Any:
        """A NumPy array as an array of this library."""
        return self.xp.asarray(values, device=self.device)


def find_backend(name: str) -> Backend:
    """The library of that name, or NumPy with a message where it cannot be used."""
    try:
        if name == "cupy":
            import cupy

            if not cupy.cuda.is_available():
                raise ImportError("CuPy sees no CUDA GPU")
            empty = cupy.empty(0)
        elif name == "torch":
            import torch

            empty = torch.empty(0, device="cuda" if torch.cuda.is_available() else None)
        elif name == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)  # float64, as the others have
            empty = jax.numpy.empty(0)
        else:
            empty = np.empty(0)
    except ImportError as error:
        print(f"{name} cannot be used here ({error}): going on with numpy.")
        name, empty = "numpy", np.empty(0)
    xp = array_api_compat.array_namespace(empty)
    return Backend(name, xp, array_api_compat.device(empty))


def host(values: Any) -> np.ndarray:
    """A NumPy copy of an array of any library."""
    if array_api_compat.is_torch_array(values):
        return values.cpu().numpy()
    if array_api_compat.is_cupy_array(values):
        return values.get()
    return np.asarray(values)


@dataclass
class Tutorial:
    """One run of a tutorial.

    Attributes
    ----------
    backend : Backend
    folder : Path
        Of the pictures.
    full : bool
        Whether the long version was asked for.
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

        ``full`` says what ``--full`` adds, if anything; ``host_only`` that there is
        nothing but NumPy for tables and matrices of SciPy.
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
        """Hold our numbers against published ones, to an absolute tolerance."""
        published, ours = np.ravel(published), np.ravel(ours)
        for i, (theirs, here) in enumerate(zip(published, ours, strict=True)):
            part = f"{name} [{i}]" if published.size > 1 else name
            self._figures.append((part, float(theirs), float(here), tolerance))

    def save(self, figure: plt.Figure, name: str) -> None:
        """Write a picture to the folder."""
        figure.savefig(self.folder / f"{name}.png")
        plt.close(figure)

    def finish(self) -> None:
        """Print the comparison, if any; exit with 1 if a figure was missed."""
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
    """A title with a blank line above it."""
    print(f"\n{text}\n{'-' * len(text)}")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What the call returns, and its seconds."""
    started = perf_counter()
    result = call()
    return result, perf_counter() - started


def scatter(ax: plt.Axes, X: np.ndarray, y: np.ndarray, names: list[str], **style: Any):
    """Points of two columns of X, by class."""
    for label, name in enumerate(names):
        ax.scatter(
            *X[y == label, :2].T,
            c=COLOURS[label % 2],
            marker=MARKERS[label % 2],
            label=name,
            **style,
        )
