"""Optional libraries of some tests."""

from __future__ import annotations

from typing import Any

import pytest


class _OnDemand:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # doctest inspects everything in a module
            raise AttributeError(attribute)
        return getattr(pytest.importorskip(self._name), attribute)


def on_demand(name: str) -> Any:
    """Return a module that is imported at its first use.

    If it is missing, a test that uses it is skipped, and the other tests of the file
    run. So ``pytest -m gpu`` needs only an array library and xlr's dependencies.
    """
    return _OnDemand(name)
