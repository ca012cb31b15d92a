"""Tables of numbers in json files. numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError


def read_table(path: Path, *shape: int, count: int | None = None) -> NDArray[np.float32]:
    """A json file of (N, *shape) numbers, `count` of them where that is known. Raises MissingError or RequestError."""
    try:
        found: Any = np.asarray(json.loads(path.read_bytes()), np.float32)
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist", "`data.source` names the folder that holds it") from None
    except OSError as error:
        raise MissingError(f"`{path}` cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"`{path}` is damaged: {error}", "fetch it again") from None
    if found.ndim < 2 or not len(found) or found[0].size != int(np.prod(shape)) or not np.isfinite(found).all():
        raise RequestError(f"`{path}` is no table of {list(shape)} numbers each", "fetch it again")
    if count is not None and len(found) != count:
        raise RequestError(
            f"`{path}` tells of {len(found)} hands, not {count}", "fetch its set again, all of one version"
        )
    table: NDArray[np.float32] = found.reshape(-1, *shape)
    return table
