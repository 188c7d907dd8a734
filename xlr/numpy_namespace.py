"""NumPy as a namespace, without its Python wrappers around frequent functions.

Calls of the method or the ufunc in a wrapper save a large part of the time of small
fits.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter

import numpy as np

__name__ = "numpy"  # array-api-compat knows a namespace by its name

globals().update(
    {name: getattr(np, name) for name in np.__all__},
    astype=np.ndarray.astype,
    matrix_transpose=attrgetter("mT"),
    permute_dims=np.ndarray.transpose,
    reshape=np.ndarray.reshape,
    take=np.ndarray.take,
    all=partial(np.logical_and.reduce, axis=None),
    any=partial(np.logical_or.reduce, axis=None),
    max=partial(np.maximum.reduce, axis=None),
    min=partial(np.minimum.reduce, axis=None),
    sum=partial(np.add.reduce, axis=None),
)
