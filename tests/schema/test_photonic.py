"""The descriptor of a photonic device."""

import json

import pytest
from edgekd.errors import ProblemsError, RequestError
from edgekd.schema.describe import fields
from edgekd.schema.photonic import Photonic, find_photonic
from edgekd.schema.targets import boards, find_target, photonics

LEAVES = (
    "validated",
    "circuit.photons",
    "circuit.loops",
    "circuit.phases",
    "shots",
    "interleaved",
    "source",
    "imperfections",
    "clock",
)


@pytest.mark.parametrize("name", sorted(photonics()))
def test_shipped_devices_are_whole(name):
    device = find_photonic(name)
    assert device.name == name
    for field in LEAVES:
        assert any(field.startswith(source) for source in device.sources), f"{field} has no source"


def test_boards_and_devices_are_apart():
    assert "photonic-tbi" in photonics()
    assert not set(boards()) & set(photonics())
    with pytest.raises(RequestError, match="is a source of photonic features, not a board") as error:
        find_target("photonic-tbi")
    assert "edgekd targets" in error.value.hint
    with pytest.raises(RequestError, match="`x86` is a board"):
        find_photonic("x86")
    with pytest.raises(RequestError, match="unknown target `photonic-tib`") as error:
        find_photonic("photonic-tib")
    assert error.value.hint == "did you mean `photonic-tbi`?"


def test_a_device_of_ones_own(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "photonic-tbi"\nname = "mine"\nsource = "exact"\n[clock]\nsetup_seconds = 3\n')
    device = find_photonic(str(mine))
    assert (device.name, device.source, device.clock.setup_seconds, device.shots) == ("mine", "exact", 3, 200)
    assert find_photonic(f"{mine}:gaussian").source == "gaussian"
    with pytest.raises(RequestError, match="not a board"):
        find_target(str(mine))


def test_overrides_lie_on_top():
    device = find_photonic("photonic-tbi:exact", {"shots": 50, "imperfections": {"efficiency": 0.9}})
    assert (device.source, device.shots, device.imperfections.efficiency, device.ideal) == ("exact", 50, 0.9, False)
    assert find_photonic("photonic-tbi").ideal


def test_the_time_of_a_shot():
    device = find_photonic("photonic-tbi", {"clock": {"bins_per_second": 1000}})
    assert device.shot_seconds == pytest.approx((16 + 1 + 1) / 1000)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"circuit": {"loops": [16]}}, "a loop of 16 bins does not fit 16 modes"),
        ({"circuit": {"loops": []}}, "circuit.loops"),
        ({"imperfections": {"hold": 0}}, "imperfections.hold"),
        ({"circuit": {"photons": [1, -1]}}, "circuit.photons.1"),
        ({"imperfections": {"drift": -0.1}}, "imperfections.drift"),
        ({"imperfections": {"efficiency": 1.5}}, "imperfections.efficiency"),
        ({"imperfections": {"eficiency": 1}}, "unknown key"),
        ({"shots": 0}, "shots"),
        ({"clock": {"bins_per_second": 0}}, "clock.bins_per_second"),
    ],
)
def test_mistakes_are_placed(wrong, told):
    with pytest.raises(ProblemsError) as error:
        find_photonic("photonic-tbi", wrong)
    assert told in str(error.value)


def test_it_survives_json_and_every_field_has_a_meaning():
    device = find_photonic("photonic-tbi")
    assert Photonic.model_validate(json.loads(device.model_dump_json(by_alias=True))) == device
    assert [path for path, _, _, about in fields(Photonic) if not about] == []
