"""A fit that fails leaves nothing of itself behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["all_or_nothing"]

# What scikit-learn notes on an estimator to end its callbacks with.
OF_CALLBACKS = "_skl_", "_callback_"


@contextlib.contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Give an estimator its attributes back where the context ends with an exception.

    Whatever that is: an error of a callback, a warning that is an error, Ctrl-C between
    two attributes. They are to be replaced, not changed in place.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        now = vars(estimator)
        for name in now.keys() - before.keys():
            if not name.startswith(OF_CALLBACKS):
                del now[name]
        now.update(before)
        raise
