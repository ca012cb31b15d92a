"""Arrays of `.npz` files. numpy."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an `.npz` file. Raises MissingError or RequestError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise MissingError(f"data file `{path}` does not exist", "name an `.npz` file in `data.source`") from None
    except (OSError, ValueError, EOFError, TypeError, RuntimeError, BadZipFile, zlib.error) as error:
        raise RequestError(f"`{path}` cannot be read: {error}", "replace that file") from None
