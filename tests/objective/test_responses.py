"""What each model makes of the rows: its labels and its weights of them."""

from dataclasses import replace

import numpy as np
import pytest

from xlr.objective import Responses


@pytest.fixture
def responses(place, xp, device):
    """Four models: two ways to count, two labels, and weights of their classes."""
    index = {"device": device}
    return Responses(
        4,
        place(np.asarray([[0, 1], [1, 1], [0, 0]], dtype=np.uint8)),
        place(np.asarray([[1.0], [0.5], [2.0]])),
        counts=place(np.asarray([[2, 0], [1, 1], [0, 3]], dtype=np.uint8)),
        class_factors=place(np.asarray([[1, 4], [1, 1], [2, 1], [1, 0.5]])),
        target_of=xp.asarray([0, 1, 0, 1], **index),
        count_of=xp.asarray([0, 0, 1, 1], **index),
        resample_of=np.asarray([0, 1, 0, 1]),
    )


EXPECTED_TARGETS = np.asarray([[0.0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
EXPECTED_WEIGHTS = np.asarray([[2, 2, 0, 0], [2, 0.5, 0.5, 0.25], [0, 0, 12, 6]])


def test_responses_are_formed_block_by_block(responses, xp, assert_close, wide):
    for rows in (slice(None), slice(1, 3)):
        targets, weights = responses.block(rows, xp=xp)
        assert_close(targets, EXPECTED_TARGETS[rows])
        assert_close(weights, EXPECTED_WEIGHTS[rows])
    total = responses.total_weight(getattr(xp, wide), xp=xp)
    assert_close(total, EXPECTED_WEIGHTS.sum(axis=0), as_dtype=wide)


def test_weights_of_the_classes(responses, xp, assert_close, wide):
    weights = responses.class_weights(2, getattr(xp, wide), xp=xp)
    of_class = [
        (EXPECTED_WEIGHTS * (k == EXPECTED_TARGETS)).sum(axis=0) for k in (0, 1)
    ]
    assert_close(weights, np.stack(of_class, axis=1), as_dtype=wide)


def test_rows_weigh_alike_where_nothing_tells_models_apart(responses):
    assert not responses.weighs_alike
    counted = replace(responses, class_factors=None)
    assert not counted.weighs_alike
    assert not responses.without_counts().weighs_alike
    assert counted.without_counts().weighs_alike


def test_responses_of_some_models(responses, xp, assert_close, wide):
    chosen = np.asarray([3, 0])
    part = responses.select(chosen)
    targets, weights = part.block(slice(None), xp=xp)
    assert_close(targets, EXPECTED_TARGETS[:, chosen])
    assert_close(weights, EXPECTED_WEIGHTS[:, chosen])
    total = part.total_weight(getattr(xp, wide), xp=xp)
    assert_close(total, EXPECTED_WEIGHTS[:, chosen].sum(axis=0), as_dtype=wide)
    np.testing.assert_array_equal(part.resample_of, [1, 0])
