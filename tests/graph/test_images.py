"""Pictures, PSNR and SSIM against the definitions written out."""

import numpy as np
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.graph import images
from edgekd.students.qdr.task import DenoiseTask
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

IO = DenoiseTask({}, 0).io((16, 24))


@given(seed=st.integers(0, 1000))
def test_decode_undoes_encode(seed):
    picture = np.random.default_rng(seed).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    encoded = images.encode_picture(picture, IO.inputs[0])
    assert encoded.shape == (1, 3, 16, 24)
    assert encoded.min() >= -1
    assert encoded.max() <= 1
    np.testing.assert_array_equal(images.decode_picture(encoded, IO.outputs[0]), picture)


def test_psnr_by_definition():
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 12
    assert images.psnr(a, b) == pytest.approx(10 * np.log10(255**2 * 48 / 144))
    assert images.psnr(a, a) == 100.0


def test_ssim_by_definition():
    """One window, one channel at a time, with plain loops over the Gaussian weights."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (11, 11, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    values = []
    for c in range(3):
        x, y = a[..., c].astype(float), b[..., c].astype(float)
        mx, my = (weight * x).sum(), (weight * y).sum()
        vx, vy = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum()
        cov = (weight * (x - mx) * (y - my)).sum()
        c1, c2 = 2.55**2, 7.65**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert images.ssim(a, b) == pytest.approx(np.mean(values), abs=1e-12)
    assert images.ssim(a, a) == pytest.approx(1.0)


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(MissingError, match="does not exist"):
        images.picture_files(str(tmp_path / "gone"))
    with pytest.raises(MissingError, match="holds no picture"):
        images.picture_files(str(tmp_path))
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RequestError, match="cannot be decoded"):
        images.read_picture(path)


def test_shipped_pictures_are_the_ones_the_readme_lists():
    readme = (images.find_folder("edgekd:photos").parent / "README.md").read_text()
    for name in ("edgekd:photos", "edgekd:kodak", "edgekd:sprites"):
        for file, digest in images.data_digests((name,)).items():
            assert f"{file.partition('/')[2]}" in readme
            assert digest in readme
