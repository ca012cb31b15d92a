"""`network_info.txt` of a firmware file: what the sensor makes of its pixels, and what it gives out.

Numbers of the colour matrix are fixed-point, as libcamera and picamera2 read them: a gain is 12 bits of two's
complement over 1024, an offset 13 bits over 16, and `code = clip(gain * pixel + offset)`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.errors import RequestError

MOST_OUTPUTS = 15
"""libcamera passes on fewer than 16."""
GAINS = {"RGB": ("K00", "K11", "K22"), "BGR": ("K02", "K11", "K20")}
OFFSETS = ("K03", "K13", "K23")


@dataclass(frozen=True)
class Given:
    """An output as the sensor gives it: elements, padding, bytes of an element."""

    elements: int
    padding: int
    bytes_each: int


@dataclass(frozen=True)
class NetworkInfo:
    """One network: the size and order of what it takes, gain and offset of each channel, and its outputs."""

    width: int
    height: int
    format: str
    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    signed: bool
    outputs: tuple[Given, ...]


def parse(text: bytes) -> NetworkInfo:
    """The first network told of. Raises RequestError."""
    if not text:
        raise RequestError("it holds no `network_info.txt`")
    lines = [line.partition("=") for line in text.decode("ascii", "replace").split()]
    told = dict[str, str]()
    for key, _, value in lines:
        told.setdefault(key, value)  # the first network's stand first
    order = told.get("inputTensorFormat", "")
    count = _whole(told, "outputTensorNum")
    if not 0 <= count <= MOST_OUTPUTS:
        raise RequestError(f"it tells of {count} outputs; libcamera passes on {MOST_OUTPUTS} at most")
    offsets = [_whole(told, f"inputTensorNorm_{entry}") for entry in OFFSETS]
    gains = [_whole(told, f"inputTensorNorm_{entry}") for entry in GAINS.get(order, GAINS["RGB"])]
    return NetworkInfo(
        _whole(told, "inputTensorWidth"),
        _whole(told, "inputTensorHeight"),
        order,
        tuple(_signed(gain, 12) / 1024 for gain in gains),
        tuple(_signed(offset, 13) / 16 for offset in offsets),
        bool(offsets[0] >> 12 & 1),
        tuple(_output(told, i + 1) for i in range(count)),
    )


def _output(told: dict[str, str], number: int) -> Given:
    names = ("outputTensorDimSize", "outputTensorPadding", "outputTensorBytesPerElement")
    return Given(*(_whole(told, f"{name}{number}") for name in names))


def _whole(told: dict[str, str], key: str) -> int:
    value = told.get(key, "")
    try:
        return int(value, 0) if len(value) < 20 else int("")
    except ValueError:
        where = "does not tell" if key not in told else f"has `{value[:20]}` as"
        raise RequestError(f"its `network_info.txt` {where} `{key}`") from None


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
