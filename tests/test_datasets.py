"""The small data sets, on every library."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import to_numpy

import xlr
from xlr.datasets import load_exam_marks, load_study_hours

LOADERS = {"exam_marks": load_exam_marks, "study_hours": load_study_hours}
loaders = pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)


def test_exam_marks_are_the_published_ones():
    marks = load_exam_marks()
    assert marks.data.shape == (100, 2)
    assert marks.data.dtype == np.float64
    assert marks.target.dtype == np.int64
    np.testing.assert_array_equal(marks.data[0], [34.62365962451697, 78.0246928153624])
    assert marks.target.sum() == 60
    assert marks.feature_names == ["exam 1", "exam 2"]
    assert marks.target_names[1] == "admitted"
    assert "100 applicants" in marks.DESCR


def test_study_hours_are_the_published_ones():
    X, y = load_study_hours(return_X_y=True)
    np.testing.assert_array_equal(X[:, 0], np.arange(1, 13) / 2)
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1])


@loaders
def test_datasets_are_made_on_a_given_device(load, backend):
    expected_X, expected_y = load(return_X_y=True)
    X, y = load(return_X_y=True, xp=backend.xp, device=backend.device)
    for values, expected in ((X, expected_X), (y, expected_y)):
        assert xlr.arrays.namespace(values).__name__ == backend.xp.__name__
        assert xlr.arrays.device_of(values) == backend.device
        np.testing.assert_allclose(to_numpy(values), expected, rtol=1e-7)
    if backend.supports("float64"):
        np.testing.assert_array_equal(to_numpy(X), expected_X)
    bunch = load(xp=backend.xp, device=backend.device)
    np.testing.assert_array_equal(to_numpy(bunch.data), to_numpy(X))


@loaders
def test_datasets_are_made_on_the_default_device(load, backend):
    X, _ = load(return_X_y=True, xp=backend.xp)
    assert xlr.arrays.device_of(X) == xlr.arrays.device_of(backend.xp.empty(0))


@loaders
def test_datasets_of_two_calls_share_no_memory(load):
    load().data[:] = 0
    assert load().data.min() > 0
