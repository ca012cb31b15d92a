"""The rasteriser against one that asks every pixel about every triangle."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.students.fast_hamer.hand.model import VERTICES
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand
from edgekd.students.fast_hamer.render import normals_of, rasterise, shaded
from hypothesis import given, settings
from hypothesis import strategies as st


def slow(places: np.ndarray, faces: np.ndarray, values: np.ndarray, size: tuple[int, int], fine: int) -> np.ndarray:
    image = np.zeros((size[0] * fine, size[1] * fine, values.shape[1] + 1))
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            x, y, nearest = (column + 0.5) / fine, (row + 0.5) / fine, np.inf
            for face in faces:
                (ax, ay, az), (bx, by, bz), (cx, cy, cz) = places[face]
                whole = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                a = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / whole
                b = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / whole
                c = 1 - a - b
                if whole < 0 and min(a, b, c) >= 0 and a * az + b * bz + c * cz < nearest:
                    nearest = a * az + b * bz + c * cz
                    image[row, column] = [*(a * values[face[0]] + b * values[face[1]] + c * values[face[2]]), 1]
    return image.reshape(size[0], fine, size[1], fine, -1).mean((1, 3))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]))
def test_every_pixel_is_as_asked_one_by_one(seed: int, fine: int) -> None:
    rng, size = np.random.default_rng(seed), (9, 12)
    places = rng.uniform(-4, 16, (12, 3))
    faces = np.stack([rng.permutation(12)[:3] for _ in range(8)])
    values = rng.random((12, 2))
    np.testing.assert_allclose(
        rasterise(places, faces, values, size, fine), slow(places, faces, values, size, fine), atol=1e-5
    )


def square(depth: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two faces over pixels 2 to 6, clockwise as y points down."""
    places = np.array([[2, 2, depth], [6, 2, depth], [6, 6, depth], [2, 6, depth]], float)
    return places, np.array([[0, 2, 1], [0, 3, 2]])


def test_which_way_round_is_seen() -> None:
    places, faces = square()
    assert rasterise(places, faces, np.ones((4, 1)), (8, 8))[..., 1].sum() == 16
    assert rasterise(places, faces[:, ::-1], np.ones((4, 1)), (8, 8)).sum() == 0


def test_an_edge_on_the_middles_of_pixels_is_covered_once() -> None:
    places, faces = square()
    image = rasterise(places + np.array([0.5, 0.5, 0]), faces, np.full((4, 1), 3.0), (8, 8))
    assert set(np.unique(image[..., 0])) == {0.0, 3.0}
    assert image[3:6, 3:6, 1].all()


def test_finer_points_tell_half_covered_pixels() -> None:
    places, faces = square()
    image = rasterise(places + np.array([0.5, 0, 0]), faces, np.full((4, 1), 8.0), (8, 8), 2)
    np.testing.assert_allclose(image[3, :, 0], [0, 0, 4, 8, 8, 8, 4, 0])
    np.testing.assert_allclose(image[3, :, 1], [0, 0, 0.5, 1, 1, 1, 0.5, 0])


def test_the_nearer_hides_the_farther_whatever_their_order() -> None:
    near, far = square(1.0), square(2.0)
    places, faces = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1] + 4])
    values = np.repeat([[1.0], [2.0]], 4, 0)
    for order in (faces, faces[::-1]):
        assert rasterise(places, order, values, (8, 8))[4, 4, 0] == 1


def test_faces_beyond_the_picture_and_none_at_all() -> None:
    places, faces = square()
    assert rasterise(places + np.array([100, 0, 0]), faces, np.ones((4, 1)), (8, 8)).sum() == 0
    assert rasterise(places - np.array([0, 100, 0]), faces, np.ones((4, 1)), (8, 8)).sum() == 0
    assert rasterise(places * [1e6, 1e6, 1] - [5e6, 5e6, 0], faces, np.ones((4, 1)), (8, 8))[..., 1].all()
    assert rasterise(places, faces[:0], np.ones((4, 1)), (8, 8)).shape == (8, 8, 2)
    assert rasterise(np.zeros((4, 3)), faces, np.ones((4, 1)), (8, 8)).sum() == 0


def test_a_closed_view_of_the_hand_has_no_hole() -> None:
    model = synthetic_hand()
    places = (model.template * [1, -1, -1]) * 500 + [64, 110, 0]
    cover = rasterise(places, model.faces, np.ones((VERTICES, 1)), (128, 128))[..., 1]
    assert cover[68:108, 50:72].all()  # the palm
    assert set(np.unique(cover)) == {0.0, 1.0}


def test_normals_of_an_octahedron_point_from_its_middle() -> None:
    points = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], float)
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]])
    np.testing.assert_allclose(normals_of(2 * points, faces), points, atol=1e-12)


def test_what_faces_the_light_is_brightest() -> None:
    normals = np.array([[0, 0, -1], [1, 0, 0], [0, 0, 1.0]])
    lit = shaded(normals, np.full((3, 3), 200.0), np.array([0, 0, -5.0]), 0.25)
    assert lit[0] == pytest.approx(200)
    assert lit[2] == pytest.approx(50)
    assert lit[0, 0] > lit[1, 0] > lit[2, 0]
