"""Hands drawn on pictures."""

from __future__ import annotations

import numpy as np
from edgekd.students.fast_hamer.draw import COLOURS, draw_hand
from edgekd.students.fast_hamer.hand.skinning import skin
from edgekd.students.fast_hamer.hand.synthetic import synthetic_hand

MODEL = synthetic_hand()
PICTURE = np.full((200, 160, 3), 40, np.uint8)


def seen() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and landmarks in pixels, fingers up, with depth; the palm looks at the camera."""
    vertices, landmarks = skin(MODEL, np.tile(np.eye(3), (1, 16, 1, 1)), np.zeros((1, 10)))
    return tuple(points[0] * [800, -800, -1] + [70, 180, 0.5] for points in (vertices, landmarks))  # type: ignore[return-value]


def test_bones_have_the_colour_of_their_finger() -> None:
    _, landmarks = seen()
    drawn = draw_hand(PICTURE, landmarks[:, :2], None, None, MODEL.faces)
    for finger in range(5):
        x, y = (landmarks[4 * finger + 2, :2] + landmarks[4 * finger + 3, :2]) / 2
        assert tuple(drawn[int(y), int(x)]) == COLOURS[finger]
    assert (PICTURE == 40).all()


def test_the_mesh_lets_the_picture_through_and_leaves_the_rest() -> None:
    vertices, landmarks = seen()
    far = np.full((21, 2), 1e9)
    dark, light = (
        draw_hand(np.full_like(PICTURE, tone), far, vertices[:, :2], vertices[:, 2], MODEL.faces).astype(int)
        for tone in (40, 140)
    )
    x, y = landmarks[[0, 9], :2].mean(0).astype(int)
    np.testing.assert_allclose(light[y, x] - dark[y, x], 35, atol=1)
    assert (dark[:10] == 40).all()
    assert (np.abs(dark[y, x] - 40) > 20).any()


def test_a_mesh_half_out_of_the_picture_is_the_same_where_it_is_seen() -> None:
    (vertices, _), nowhere = seen(), np.full((21, 2), -1e3)
    whole = draw_hand(PICTURE, nowhere, vertices[:, :2], vertices[:, 2], MODEL.faces)
    part = draw_hand(PICTURE[90:, 70:], nowhere, vertices[:, :2] - [70, 90], vertices[:, 2], MODEL.faces)
    np.testing.assert_array_equal(part, whole[90:, 70:])
    assert (part != 40).any()


def test_places_that_are_nowhere_are_survived() -> None:
    vertices, _ = seen()
    lost = np.full((21, 2), np.nan)
    assert draw_hand(PICTURE, lost, vertices[:, :2] * np.nan, vertices[:, 2], MODEL.faces).shape == PICTURE.shape
    assert draw_hand(PICTURE, lost, np.zeros((778, 2)), np.zeros(778), MODEL.faces).shape == PICTURE.shape
    assert (draw_hand(PICTURE, np.full((21, 2), -1e3), vertices[:, :2] - 1e4, vertices[:, 2], MODEL.faces) == 40).all()
    assert draw_hand(PICTURE, lost, vertices[:, :2] * 1e5, vertices[:, 2], MODEL.faces).shape == PICTURE.shape


def test_landmarks_that_are_not_known_are_left_out() -> None:
    _, landmarks = seen()
    landmarks[17:, :2] = np.nan  # the little finger's
    drawn = draw_hand(PICTURE, landmarks[:, :2], None, None, MODEL.faces)
    colours = {tuple(map(int, colour)) for colour in drawn.reshape(-1, 3)}
    assert {*COLOURS} - colours == {COLOURS[4]}
