"""Firmware files: read, rewritten, refused. The files are written by the tests from the public description."""

from contextlib import suppress

import pytest
from edgekd.backends.imx500.firmware import checked_rpk
from edgekd.backends.imx500.kit import write_kit
from edgekd.backends.imx500.rpk import parse_rpk, read_rpk
from edgekd.errors import MissingError, ProblemsError, RequestError
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.imx500.files import OPTIONS, dialect, info, job, rpk


@pytest.fixture
def kit(tmp_path):
    folder = tmp_path / "kit"
    folder.mkdir()
    write_kit(dialect(), job(), OPTIONS, folder)
    return folder


def test_it_is_read():
    found = parse_rpk(rpk(intrinsics={"task": "segmentation"}))
    assert [block.size for block in found.blocks] == [100, 40]
    assert not found.locked
    assert [member.name for member in found.members] == ["imx500_regs", "network_info.txt", "network_intrinsics"]
    assert found.intrinsics == {"task": "segmentation"}
    assert (found.info.width, found.info.height, found.info.format) == (10, 6, "RGB")
    assert found.info.gains == (1.0, 1.0, 1.0)
    assert found.info.offsets == (-128.0, -128.0, -128.0)
    assert found.info.signed
    assert [(o.elements, o.bytes_each) for o in found.info.outputs] == [(60, 1)]


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_gains_and_offsets_are_fixed_point(order):
    found = parse_rpk(rpk(info(signed=False, order=order, inputTensorNorm_K11="0x0E00", inputTensorNorm_K13="0x1FF8")))
    assert found.info.gains == (1.0, -0.5, 1.0)
    assert found.info.offsets == (0.0, -0.5, 0.0)
    assert not found.info.signed


@given(
    payloads=st.lists(st.binary(max_size=50), min_size=1, max_size=4),
    told=st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4),
    locked=st.booleans(),
)
def test_other_intrinsics_change_nothing_else(payloads, told, locked):
    data = rpk(payloads=tuple(payloads), locked=locked, intrinsics={"task": "classification"})
    found = parse_rpk(data)
    assert found.write() == data
    again = parse_rpk(found.with_intrinsics(told).write())
    assert again.intrinsics == told
    assert (again.head, again.info, again.locked) == (found.head, found.info, locked)
    assert again.members[:2] == found.members[:2]


WHOLE = rpk(intrinsics={"task": "segmentation"})


@given(st.integers(0, len(WHOLE.rstrip(b"\0")) - 1))
def test_a_truncated_file_is_refused(length):
    with pytest.raises(RequestError):
        parse_rpk(WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6))
def test_no_damage_ends_in_anything_but_a_request_error(at, junk):
    with suppress(RequestError):
        parse_rpk(WHOLE[:at] + junk + WHOLE[at + len(junk) :])


@given(st.binary(max_size=400))
def test_no_bytes_end_in_anything_but_a_request_error(data):
    for start in (b"", b"9464", rpk()[:208]):
        with pytest.raises(RequestError):
            parse_rpk(start + data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4", "does not begin with a block"),
        (WHOLE[:90], "ends within block 1"),
        (WHOLE[:164] + WHOLE[268:], "has 1 of 2 blocks"),
        (WHOLE[:160] + b"xxxx" + WHOLE[164:], "block 1 does not end where"),
        (rpk("version=020400\n"), "does not tell `outputTensorNum`"),
        (rpk(info(outputTensorNum=16)), "16 outputs"),
        (rpk(info(inputTensorWidth="wide")), "has `wide` as `inputTensorWidth`"),
        (rpk(""), "holds no `network_info.txt`"),
        (WHOLE.replace(b'{"task"', b'["task"'), "are no JSON"),
        (WHOLE[:268] + WHOLE[268:].replace(b"070701", b"070702", 1), "no header at byte 0"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, data, message):
    path = tmp_path / "network.rpk"
    path.write_bytes(data)
    with pytest.raises(RequestError, match=message) as told:
        read_rpk(path)
    assert "network.rpk" in told.value.message
    assert told.value.hint


def test_an_absent_file_is_missing(tmp_path):
    with pytest.raises(MissingError, match="does not exist"):
        read_rpk(tmp_path / "network.rpk")


def test_the_networks_own_file_is_taken(kit, tmp_path):
    path = tmp_path / "network.rpk"
    path.write_bytes(rpk())
    assert checked_rpk(path, kit).info.width == 10


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (info(size=(8, 10)), "its size: "),
        (info(order="BGR"), "its order of colours: BGR"),
        (info(signed=False), "its signed codes: False"),
        (info(inputTensorNorm_K00="0x0200"), "its gains: "),
        (info(outputTensorDimSize1=61), "its outputs: "),
        (info(outputTensorBytesPerElement1=2), "its bytes of a code: "),
        (info(outputTensorPadding1=4), "its padding: "),
    ],
)
def test_another_networks_file_is_not(kit, tmp_path, told, message):
    path = tmp_path / "network.rpk"
    path.write_bytes(rpk(told))
    with pytest.raises(ProblemsError, match=message):
        checked_rpk(path, kit)


def test_a_locked_file_is_not(kit, tmp_path):
    path = tmp_path / "network.rpk"
    path.write_bytes(rpk(locked=True))
    with pytest.raises(RequestError, match="locked to one device"):
        checked_rpk(path, kit)
