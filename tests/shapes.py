"""Pictures of ellipses with label maps, and a teacher that sees them larger than they are: small, real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


def write_shapes(folder: Path, pictures: int = 8, grown: float = 1.0) -> Path:
    """`NAME.png` and `NAME.mask.png`: four ellipses each, their masks `grown` times as large as they are drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(pictures):
        rng = np.random.default_rng(i)
        picture, labels = rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        for j in range(4):
            y, x = 16 + 32 * (j // 2) + rng.integers(-2, 3), 16 + 32 * (j % 2) + rng.integers(-2, 3)
            a, b = rng.uniform(6, 9, 2)
            rows, columns = np.ogrid[:SIDE, :SIDE]
            distance = np.hypot((rows - y) / a, (columns - x) / b)
            picture[distance <= 1] = rng.integers(150, 250, 3)
            labels[distance <= grown] = j + 1
        Image.fromarray(picture).save(folder / f"shapes-{i}.png")
        Image.fromarray(labels).save(folder / f"shapes-{i}.mask.png")
    return folder
