"""Silence for libraries that talk at length."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO


@contextmanager
def silence(level: int = logging.WARNING) -> Iterator[None]:
    """Nothing is printed, no log up to `level` is kept; errors still come as exceptions."""
    before = logging.root.manager.disable
    logging.disable(max(level, before))
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)
