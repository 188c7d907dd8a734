"""Forms and inverses that change in place, against NumPy's of the same matrices."""

from __future__ import annotations

import numpy as np
import pytest

from xlr.solvers.quadratic import Quadratic


def matrix_of(seed: int, q: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3 * q, q)) * 10 ** rng.uniform(-3, 3, size=q)
    return rows.T @ rows


def whole(lower: np.ndarray) -> np.ndarray:
    return np.tril(lower) + np.tril(lower, -1).T


def inverse_of_part(quadratic: Quadratic, inside: np.ndarray) -> np.ndarray:
    """By NumPy: zero outside."""
    expected = np.zeros_like(quadratic.matrix)
    place = np.ix_(inside, inside)
    expected[place] = np.linalg.inv(whole(quadratic.matrix)[place])
    return expected


def assert_is_inverse(quadratic: Quadratic, inverse, inside: np.ndarray) -> None:
    np.testing.assert_array_equal(inverse.inside, inside)
    vectors = np.random.default_rng(0).normal(size=(5, inside.shape[0]))
    for vector in vectors:
        found, expected = inverse.times(vector), inverse_of_part(quadratic, inside)
        np.testing.assert_allclose(found, expected @ vector, rtol=1e-8, atol=1e-10)
        assert (found[~inside] == 0).all()


def test_products_are_those_of_the_matrix_in_its_units():
    matrix = matrix_of(0, 12)
    quadratic = Quadratic(matrix, noise=1e-10)
    np.testing.assert_allclose(quadratic.unit, np.sqrt(np.diag(matrix)))
    u = np.random.default_rng(1).normal(size=12)
    product = quadratic.times(u * quadratic.unit) * quadratic.unit
    np.testing.assert_allclose(product, matrix @ u, rtol=1e-10)
    np.testing.assert_allclose(np.diag(quadratic.matrix), 1.0)
    np.testing.assert_allclose(quadratic.diagonal, np.diag(matrix))


def test_a_damped_quadratic_is_in_units_of_its_own():
    matrix, added = matrix_of(0, 12), np.geomspace(1e-9, 1e9, 12)
    quadratic = Quadratic(matrix, noise=1e-10)
    damped = quadratic.damped(added)
    vector = np.random.default_rng(1).normal(size=12)
    product = damped.times(vector * damped.unit) * damped.unit
    np.testing.assert_allclose(product, (matrix + np.diag(added)) @ vector, rtol=1e-10)
    np.testing.assert_allclose(np.diag(damped.matrix), 1.0)
    product = quadratic.times(vector * quadratic.unit) * quadratic.unit
    np.testing.assert_allclose(product, matrix @ vector, rtol=1e-10)


@pytest.mark.parametrize("few", [True, False])
def test_an_inverse_follows_the_coordinates(few):
    """One by one where they are few, at once where they are many."""
    quadratic = Quadratic(matrix_of(2, 40), noise=1e-10)
    inside = np.random.default_rng(3).random(40) < 0.6
    inverse = quadratic.inverse_of(inside)
    assert_is_inverse(quadratic, inverse, inside)
    changed = inside.copy()
    changed[: 3 if few else 30] ^= True
    other = quadratic.inverse_of(changed)
    assert (other is inverse) == few
    assert_is_inverse(quadratic, other, changed)
    again = quadratic.inverse_of(changed, anew=True)
    assert again is not other
    assert_is_inverse(quadratic, again, changed)


def test_a_coordinate_that_others_stand_for_is_not_taken_in():
    matrix = matrix_of(4, 20)
    matrix[:, 19] = matrix[:, 18]
    matrix[19, :] = matrix[18, :]
    quadratic = Quadratic(matrix, noise=1e-9)
    inside = np.arange(20) < 19
    inverse = quadratic.inverse_of(inside)
    column, left = inverse.standing_for(19)
    assert abs(left) < 1e-9
    np.testing.assert_allclose(column[18], 1.0, atol=1e-6)
    # Asked for all the same, it is the pseudo-inverse.
    both = quadratic.inverse_of(np.ones(20, dtype=bool))
    vector = whole(quadratic.matrix) @ np.random.default_rng(5).normal(size=20)
    solved = both.times(vector)
    np.testing.assert_allclose(quadratic.times(solved), vector, rtol=1e-6, atol=1e-8)


def test_an_inverse_of_no_coordinates(capfd):
    quadratic = Quadratic(matrix_of(9, 5), noise=1e-10)
    none = np.zeros(5, dtype=bool)
    assert_is_inverse(quadratic, quadratic.inverse_of(none), none)
    assert capfd.readouterr() == ("", "")


def test_a_correction_takes_the_step_to_the_change_of_gradient():
    quadratic = Quadratic(matrix_of(6, 25), noise=1e-10)
    inside = np.arange(25) % 3 > 0
    inverse = quadratic.inverse_of(inside)
    rng = np.random.default_rng(7)
    step = rng.normal(size=25) / quadratic.unit
    change = whole(quadratic.matrix) @ (step * quadratic.unit) * quadratic.unit
    change *= rng.uniform(0.5, 2.0, size=25)  # of a function that is not quadratic
    assert step @ change > 0
    quadratic.correct(step, change)
    product = quadratic.times(step * quadratic.unit) * quadratic.unit
    np.testing.assert_allclose(product, change, rtol=1e-8)
    assert quadratic.inverse_of(inside) is inverse
    assert_is_inverse(quadratic, inverse, inside)


def test_a_correction_is_as_good_for_a_small_step_and_in_its_place():
    quadratic = Quadratic(matrix_of(6, 25), noise=1e-10)
    before = quadratic.matrix
    step = 1e-9 * np.random.default_rng(7).normal(size=25) / quadratic.unit
    change = 3 * whole(quadratic.matrix) @ (step * quadratic.unit) * quadratic.unit
    quadratic.correct(step, change)
    product = quadratic.times(step * quadratic.unit) * quadratic.unit
    np.testing.assert_allclose(product, change, rtol=1e-8)
    assert np.shares_memory(quadratic.matrix, before)


def test_an_inverse_that_cannot_follow_a_correction_is_computed_again():
    """The curvature along the step all but vanishes, as far as the noise tells."""
    quadratic = Quadratic(matrix_of(6, 25), noise=1e-2)
    inside = np.ones(25, dtype=bool)
    inverse = quadratic.inverse_of(inside)
    step = np.random.default_rng(7).normal(size=25) / quadratic.unit
    change = whole(quadratic.matrix) @ (step * quadratic.unit) * quadratic.unit
    quadratic.correct(step, 1e-3 * change)
    again = quadratic.inverse_of(inside)
    assert again is not inverse
    assert_is_inverse(quadratic, again, inside)


def test_one_that_others_stand_for_has_the_inverse_computed_again():
    matrix = matrix_of(4, 20)
    matrix[:, 19] = matrix[:, 18]
    matrix[19, :] = matrix[18, :]
    quadratic = Quadratic(matrix, noise=1e-9)
    inverse = quadratic.inverse_of(np.arange(20) < 19)
    both = quadratic.inverse_of(np.ones(20, dtype=bool))
    assert both is not inverse
    assert both.inside.all()


def test_the_inverse_of_a_part_that_has_no_factor():
    matrix = np.asarray([[1.0, 2.0, 0.5], [2.0, 1.0, -0.3], [0.5, -0.3, 1.0]])
    assert np.linalg.eigvalsh(matrix)[0] < 0
    quadratic, every = Quadratic(matrix, noise=1e-10), np.ones(3, dtype=bool)
    assert_is_inverse(quadratic, quadratic.inverse_of(every), every)


def test_nothing_is_learned_of_a_gradient_that_does_not_rise():
    quadratic = Quadratic(matrix_of(8, 10), noise=1e-10)
    before = quadratic.matrix.copy()
    step = np.ones(10)
    quadratic.correct(step, -step)
    quadratic.correct(0 * step, 0 * step)
    np.testing.assert_array_equal(quadratic.matrix, before)
