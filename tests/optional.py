"""Libraries that some tests need in addition to those that xlr itself is made with."""

from __future__ import annotations

from typing import Any

import pytest


class _OnDemand:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # doctest looks at all that a module holds
            raise AttributeError(attribute)
        return getattr(pytest.importorskip(self._name), attribute)


def on_demand(name: str) -> Any:
    """Return a module that is imported when it is first used.

    A test that uses it is skipped without it, and the others of its file still run: so
    ``pytest -m gpu`` needs no more than an array library and what xlr depends on.
    """
    return _OnDemand(name)
