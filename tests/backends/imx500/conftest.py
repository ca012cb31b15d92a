"""The environment with mct-quantizers' operators: fetched once into the cache (48 MB), else those tests are skipped."""

import pytest
from edgekd.backends.imx500.verify import LOCK
from edgekd.errors import MissingError
from edgekd.toolchains.fetch import fetch
from edgekd.toolchains.lock import find_lock


@pytest.fixture(scope="session")
def operators():
    try:
        return fetch(find_lock(LOCK))
    except MissingError as error:
        pytest.skip(f"{LOCK} is not here and cannot be fetched: {error.message}")
