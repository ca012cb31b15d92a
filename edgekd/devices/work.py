"""What of a bundle a device is given."""

from __future__ import annotations

from edgekd.backends.base import FIRMWARE, Artifact, Firmware
from edgekd.backends.registry import backend
from edgekd.devices.base import Work
from edgekd.evidence import Bundle


def work_of(bundle: Bundle, name: str, artifact: Artifact) -> Work:
    """An artifact as it is run: the firmware that was made of it, where its engine takes one."""
    assert artifact.runner is not None
    model, maker = bundle.path / "artifacts" / name / artifact.model, backend(artifact.backend)
    firmware = maker.loadable(bundle.run / FIRMWARE) if isinstance(maker, Firmware) else None
    return Work(name, artifact.runner, firmware or model, artifact.options)
