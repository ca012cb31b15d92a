"""The state of a board, made of the raw texts that `edgekd/runners/board.py` reads there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_BUSY = 0.5
"""Load average per CPU from which a machine is not quiet."""
_THROTTLED = {
    0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit",
}  # fmt: skip
"""Bits of a Raspberry Pi's `get_throttled`; the same shifted by 16 tell that it happened since boot (its manual)."""
_CLOCK = re.compile(r"^(cpu\d+:|GPU|EMC)\s.*?MaxFreq=(\d+).*?CurrentFreq=(\d+)", re.MULTILINE)
_THROTTLE_COUNTS = ("package_throttle_count", "_event_cnt")
_UNIT = {"cpu": 1e3, "GPU": 1e6, "EMC": 1e6}
"""What `jetson_clocks` counts in, per MHz: kHz for CPUs, Hz for the others."""


@dataclass(frozen=True)
class Clock:
    """MHz now, and at most: what the chip can and what it is allowed."""

    now: float
    limit: float
    allowed: float


@dataclass(frozen=True)
class State:
    """A board at a moment. What it does not tell is empty."""

    model: str
    os: str
    kernel: str
    cpu: str
    cpus: int
    governor: str
    clocks: dict[str, Clock]
    temperatures: dict[str, float]
    power_mode: str
    throttled: tuple[str, ...]
    """Why it is held back now, or was since it was switched on."""
    throttle_events: int
    load: float
    memory_bytes: int
    free_bytes: int
    versions: dict[str, str]

    def warnings(self) -> list[str]:
        """What makes figures taken in this state doubtful."""
        out = [f"{name} clock is {c.now:.0f} MHz, below its maximum of {c.allowed:.0f} MHz"
               for name, c in self.clocks.items() if c.now < 0.99 * c.allowed]  # fmt: skip
        out += [f"{name} clock is limited to {c.allowed:.0f} of {c.limit:.0f} MHz"
                for name, c in self.clocks.items() if c.allowed < 0.99 * c.limit]  # fmt: skip
        if self.governor and self.governor != "performance":
            out.append(f"governor is {self.governor}")
        if self.load > _BUSY * self.cpus:
            out.append(f"load {self.load:.1f} on {self.cpus} CPUs")
        return out + [f"held back: {reason}" for reason in self.throttled]


def changed(before: State, after: State) -> list[str]:
    """What happened between two states that makes figures taken between them doubtful."""
    out = []
    for name in ("power_mode", "governor", "kernel", "versions"):
        first, second = getattr(before, name), getattr(after, name)
        if first != second:
            out.append(f"{name.replace('_', ' ')} changed during the run: {first} to {second}")
    new = [reason for reason in after.throttled if reason not in before.throttled]
    if new or after.throttle_events > before.throttle_events:
        out.append("throttled during the run" + (f": {', '.join(new)}" if new else ""))
    for name in before.clocks.keys() & after.clocks.keys():
        if after.clocks[name].allowed < 0.99 * before.clocks[name].allowed:
            out.append(f"{name} clock was lowered during the run to {after.clocks[name].allowed:.0f} MHz")
    return out


def parse(raw: Mapping[str, Any]) -> State:
    """A board's state from raw texts; a board that told nothing has an empty state."""
    files, said = raw.get("files", {}), raw.get("commands", {})
    uname = raw.get("uname", [""] * 5)
    memory = dict(re.findall(r"(\w+):\s+(\d+) kB", files.get("/proc/meminfo", "")))
    governors = sorted(set(_texts(files, "scaling_governor")))
    return State(
        model=files.get("/proc/device-tree/model", ""),
        os=_os(files),
        kernel=uname[2],
        cpu=raw.get("cpu") or uname[4],
        cpus=raw.get("cpus") or 1,
        governor=", ".join(governors),
        clocks=_clocks(files, said),
        temperatures=_temperatures(files, said),
        power_mode=_power_mode(said.get("nvpmodel", "")),
        throttled=_throttled(said.get("throttled", "")),
        throttle_events=sum(int(t) for name in _THROTTLE_COUNTS for t in _texts(files, name) if t.isdigit()),
        load=float((files.get("/proc/loadavg", "") or "0").split()[0]),
        memory_bytes=int(memory.get("MemTotal", 0)) * 1024,
        free_bytes=int(memory.get("MemAvailable", 0)) * 1024,
        versions=_versions(raw, files, said),
    )


def _texts(files: Mapping[str, str], ending: str) -> list[str]:
    return [text for name, text in files.items() if name.endswith(ending)]


def _os(files: Mapping[str, str]) -> str:
    match = re.search(r'^PRETTY_NAME="?(.+?)"?$', files.get("/etc/os-release", ""), re.MULTILINE)
    return match.group(1) if match else ""


def _power_mode(text: str) -> str:
    """nvpmodel's name of the mode; its number means something else on every board."""
    match = re.search(r"NV Power Mode\s*:\s*(\S+)", text)
    return match.group(1) if match else ""


def _throttled(text: str) -> tuple[str, ...]:
    match = re.search(r"throttled=0x([0-9a-fA-F]+)", text)
    bits = int(match.group(1), 16) if match else 0
    now = [reason for bit, reason in _THROTTLED.items() if bits >> bit & 1]
    past = [f"{reason} since boot" for bit, reason in _THROTTLED.items() if bits >> bit + 16 & 1]
    return tuple(now + past)


def _clocks(files: Mapping[str, str], said: Mapping[str, str]) -> dict[str, Clock]:
    """The slowest CPU, GPU and memory; from the kernel's files, and from `jetson_clocks` where it may be asked."""
    found = dict(_kernel_clocks(files))
    cpus: list[Clock] = []
    for name, top, now in _CLOCK.findall(said.get("jetson_clocks", "")):
        if not int(top):  # its block is off
            continue
        unit = _UNIT[name[:3]]
        clock = Clock(float(now) / unit, float(top) / unit, float(top) / unit)
        if name.startswith("cpu"):
            cpus.append(clock)
        else:
            found.setdefault(name, clock)
    if cpus:
        found.setdefault("CPU", min(cpus, key=lambda clock: clock.now / clock.limit))
    return found


def _kernel_clocks(files: Mapping[str, str]) -> Iterator[tuple[str, Clock]]:
    cores = []
    for name, text in files.items():
        if name.endswith("/scaling_cur_freq"):
            folder = name.rsplit("/", 1)[0]
            allowed, limit = (files.get(f"{folder}/{file}", text) for file in ("scaling_max_freq", "cpuinfo_max_freq"))
            cores += _clock((text, limit, allowed), 1e3)
    if cores:
        yield "CPU", min(cores, key=lambda clock: clock.now / clock.limit)
    for name, text in files.items():
        if name.endswith("/cur_freq"):
            top = files.get(name.replace("cur_freq", "max_freq"), text)
            yield from (("GPU", clock) for clock in _clock((text, top, top), 1e6))


def _clock(texts: Sequence[str], unit: float) -> list[Clock]:
    """Now, limit and allowed; none where one is no number (`<unknown>` in virtual machines), or the limit 0.

    `unit`: what counts in a MHz.
    """
    if not all(text.isdigit() for text in texts) or not int(texts[1]):
        return []
    return [Clock(*(int(text) / unit for text in texts))]


def _temperatures(files: Mapping[str, str], said: Mapping[str, str]) -> dict[str, float]:
    """°C by zone; zones whose block is off tell nothing, or a value below freezing by far."""
    found = {}
    for name, text in files.items():
        if name.endswith("/temp") and re.fullmatch(r"-?\d+", text) and int(text) > -100_000:
            found[files.get(name[:-4] + "type", name.split("/")[-2])] = int(text) / 1e3
    match = re.search(r"temp=([\d.]+)", said.get("arm_temperature", ""))
    return found | ({"arm": float(match.group(1))} if match else {})


def _versions(raw: Mapping[str, Any], files: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Runtimes, packages and, on a Jetson, Jetson Linux: `# R36 (release), REVISION: 4.3` is 36.4.3."""
    pairs = [line.split() for line in said.get("dpkg", "").splitlines()]
    found = dict(raw.get("versions", {})) | {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    match = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", files.get("/etc/nv_tegra_release", ""))
    return found | ({"jetson-linux": f"{match.group(1)}.{match.group(2)}"} if match else {})
