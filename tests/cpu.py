"""What this machine's CPU can show."""

import pytest
from edgekd.runners import board

int8_in_openvino = pytest.mark.skipif(
    board.saturates(), reason="x86 without VNNI: OpenVINO runs networks with 8-bit weights in float"
)
