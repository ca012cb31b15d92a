"""States of recorded boards, from raw texts to what a person is told: simulated, no board was there."""

import json
import subprocess
import sys
import time

import pytest
from edgekd.devices.state import Clock, changed, parse
from edgekd.runners import board

from tests.devices.recorded import place, state, write


def test_an_orin_nano_with_jetpack_6(tmp_path, monkeypatch):
    place(tmp_path, "orin-nano-jetpack-6", monkeypatch)
    found = state(tmp_path)
    assert found.model == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert found.os == "Ubuntu 22.04.5 LTS"
    assert found.versions["jetson-linux"] == "36.4.3"
    assert found.versions["tensorrt"] == "10.3.0.30-1+cuda12.5"
    assert found.power_mode == "MAXN_SUPER"
    assert found.governor == "schedutil"
    assert found.clocks == {
        "CPU": Clock(729.6, 1728.0, 1510.4), "GPU": Clock(306.0, 624.75, 624.75), "EMC": Clock(2133.0, 2133.0, 2133.0),
    }  # fmt: skip
    assert found.temperatures == {"cpu-thermal": 47.875, "gpu-thermal": 50.218, "tj-thermal": 50.218}
    assert found.throttle_events == 2
    assert found.memory_bytes == 7802996 * 1024
    assert found.warnings() == [
        "CPU clock is 730 MHz, below its maximum of 1510 MHz",
        "GPU clock is 306 MHz, below its maximum of 625 MHz",
        "CPU clock is limited to 1510 of 1728 MHz",
        "governor is schedutil",
    ]


def test_an_agx_orin_with_jetpack_7(tmp_path, monkeypatch):
    """No files of CPU clocks, so `jetson_clocks` is believed, whose lines have no `Online=` here."""
    place(tmp_path, "agx-orin-jetpack-7", monkeypatch)
    found = state(tmp_path)
    assert found.power_mode == "MODE_30W"
    assert found.versions["jetson-linux"] == "39.2.0"
    assert found.clocks["CPU"] == Clock(1190.4, 1728.0, 1728.0)
    assert found.clocks["GPU"] == Clock(612.0, 612.0, 612.0)


def test_a_raspberry_pi(tmp_path, monkeypatch):
    place(tmp_path, "raspberry-pi-5", monkeypatch)
    found = state(tmp_path)
    assert found.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.throttled == ("throttled", "under-voltage since boot", "throttled since boot")
    assert found.temperatures == {"cpu-thermal": 61.7, "arm": 61.7}
    assert "held back: throttled" in found.warnings()


def test_a_busy_pc(tmp_path, monkeypatch):
    place(tmp_path, "pc", monkeypatch)
    found = state(tmp_path)
    assert found.cpu == "Intel(R) Core(TM) i7-1185G7 @ 3.00GHz"
    assert "governor is powersave" in found.warnings()
    busy = parse({"cpus": 2, "files": {"/proc/loadavg": "5.20 4.00 2.00 1/512 4711"}})
    assert busy.warnings() == ["load 5.2 on 2 CPUs"]


def test_what_happens_during_a_run_is_told(tmp_path, monkeypatch):
    root = tmp_path / "board"
    place(root, "orin-nano-jetpack-6", monkeypatch)
    before = state(root)
    assert changed(before, before) == []
    write(root, "/sys/class/hwmon/hwmon2/oc3_event_cnt", "5\n")
    write(root, "bin/nvpmodel", "#!/bin/sh\necho 'NV Power Mode: 15W'; echo 0\n").chmod(0o755)
    for core in range(6):
        write(root, f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_max_freq", "1113600\n")
    assert changed(before, state(root)) == [
        "power mode changed during the run: MAXN_SUPER to 15W",
        "throttled during the run",
        "CPU clock was lowered during the run to 1114 MHz",
    ]


def test_a_pi_that_throttles_during_a_run(tmp_path, monkeypatch):
    place(tmp_path, "raspberry-pi-5", monkeypatch)
    after = state(tmp_path)
    write(tmp_path, "bin/vcgencmd", "#!/bin/sh\necho throttled=0x0\n").chmod(0o755)
    assert changed(state(tmp_path), after) == [
        "throttled during the run: throttled, under-voltage since boot, throttled since boot"
    ]


def test_a_board_that_tells_nothing():
    found = parse({})
    assert found.warnings() == []
    assert changed(found, found) == []


CPU = "/sys/devices/system/cpu/cpu0/cpufreq"


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({f"{CPU}/scaling_cur_freq": "<unknown>", f"{CPU}/cpuinfo_max_freq": "2400000"}, {}),
        ({f"{CPU}/scaling_cur_freq": "0"}, {}),
        ({f"{CPU}/scaling_cur_freq": "800000", f"{CPU}/scaling_max_freq": "<unknown>"}, {}),
        ({"/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "?"}, {}),
        ({"/sys/class/devfreq/17000000.gpu/cur_freq": "off"}, {}),
        ({}, {"jetson_clocks": "cpu4: Online=0 Governor=schedutil MinFreq=0 MaxFreq=0 CurrentFreq=0 IdleStates: c7=0"}),
    ],
)
def test_a_board_that_tells_no_numbers(files, commands):
    found = parse({"files": files, "commands": commands})
    assert found.clocks == {}
    assert found.warnings() == []


def test_this_machine():
    """What every Linux has, as it is."""
    found = parse(json.loads(json.dumps(board.read())))
    assert found.kernel
    assert found.cpus >= 1
    assert 0 < found.free_bytes <= found.memory_bytes
    assert found.versions["python"] == sys.version.split()[0]


def test_a_command_that_hangs_or_fails_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(board, "TIMEOUT", 0.2)
    for name, script in (("nvpmodel", "exec sleep 60"), ("vcgencmd", "echo no; exit 1")):
        write(tmp_path, name, f"#!/bin/sh\n{script}\n").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert board.read()["commands"].keys() <= {"dpkg", "jetson_clocks"}


@pytest.mark.parametrize(
    ("name", "rails"),
    [
        ("orin-nano-jetpack-6", {"VDD_IN": 4.665024, "VDD_CPU_GPU_CV": 0.558208, "VDD_SOC": 1.475264}),
        ("raspberry-pi-5", {"3V7_WL_SW": 0.37, "3V3_SYS": 0.165, "VDD_CORE": 1.6}),
    ],
)
def test_power_of_sensors(tmp_path, monkeypatch, name, rails):
    sample = board.power(place(tmp_path, name, monkeypatch))
    assert sample["watts"] == pytest.approx(rails)
    assert sample["joules"] == {}


def test_the_counter_of_a_pc(tmp_path, monkeypatch):
    sample = board.power(place(tmp_path, "pc", monkeypatch))
    assert sample["joules"] == {"package-0 (intel-rapl:0)": [1.5, 262143.32885]}


def test_a_log_samples_while_it_is_open(tmp_path, monkeypatch):
    root = place(tmp_path, "orin-nano-jetpack-6", monkeypatch)
    log = board.watch(lambda: time.sleep(0.3) or 7, idle=0.3, root=root)
    assert log["count"] == 7
    times = [sample["t"] for sample in log["samples"]]
    assert len(times) >= 3
    assert times == sorted(times)
    assert log["idle"][1] == log["load"][0]
    assert times[0] <= log["idle"][0] + 0.2


def test_tegrastats_where_the_sensors_cannot_be_read(tmp_path, monkeypatch):
    """It is ended by its own process id."""
    place(tmp_path, "agx-orin-jetpack-7", monkeypatch)
    line = (tmp_path / "bin/tegrastats").read_text().split("\n")[2]
    script = f"#!/bin/sh\necho $$ > {tmp_path}/pid\nwhile :; do echo '{line}'; sleep 0.05; done\n"
    write(tmp_path, "bin/tegrastats", script)
    with board.PowerLog(root=str(tmp_path)) as log:
        time.sleep(0.5)
    assert log.samples == []
    assert len(log.lines) >= 2
    assert log.lines[0][1] == line
    pid = (tmp_path / "pid").read_text().strip()
    assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode
