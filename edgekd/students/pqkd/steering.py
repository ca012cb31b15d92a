"""What happens to a conditioned net between training steps: SPSA on the angles, and new features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from edgekd.photonic.circuit import Floats
from edgekd.students.pqkd.config import ModelConfig
from edgekd.students.pqkd.device import Device
from edgekd.students.pqkd.mixing import direction
from edgekd.students.pqkd.network import CompactNet, Photonic, condition
from edgekd.students.pqkd.spsa import update

ANGLES, FEATURES, PROBES, SIGNS, FINAL = range(5)
"""Streams of random numbers, apart from each other."""


Proxy = Callable[[CompactNet, int], float]
"""Loss of a net on training pictures of a number, alike for the same number."""


class Steering:
    """The outer loop of PQKD; what it changes lies in the net's buffers alone."""

    def __init__(self, config: ModelConfig, device: Device, seed: int, proxy: Proxy) -> None:
        self.config, self.device, self.seed, self.proxy = config, device, seed, proxy

    def state(self) -> Photonic:
        """Random angles, no features yet."""
        rng = np.random.default_rng([self.seed, ANGLES])
        return Photonic(rng.uniform(0, 2 * np.pi, self.device.circuit.angles), self.device.length)

    def advance(self, net: CompactNet, step: int, steps: int) -> None:
        """Before every `refresh`-th step, `until` they stay: SPSA updates of the angles, then new features into the
        average."""
        photonic, spsa = self.config.photonic, self.config.spsa
        last = max(1, round(photonic.until * steps))
        if step % photonic.refresh or step >= last:
            return
        state, number = _state(net), step // photonic.refresh
        angles, updates = numbers(state.angles), -(-last // photonic.refresh) * spsa.updates
        for k in range(number * spsa.updates, (number + 1) * spsa.updates):
            rng = np.random.default_rng([self.seed, SIGNS, k])
            angles = update(partial(self._loss, net, k), angles, spsa, k, updates, rng)
        fresh = self._features(angles, FEATURES, number)
        beta = photonic.beta if number else 0.0
        self._set(net, angles, beta * numbers(state.features) + (1 - beta) * fresh)

    def finish(self, net: CompactNet) -> None:
        """The features of the net that is evaluated."""
        photonic, angles = self.config.photonic, numbers(_state(net).angles)
        if photonic.evaluate == "exact":
            self._set(net, angles, self.device.exact(angles, (self.seed, FINAL)))
        elif photonic.evaluate == "shots":
            shots = photonic.evaluate_shots
            self._set(net, angles, self.device.features(angles, shots, (self.seed, FINAL)))

    def _features(self, angles: Floats, *stream: int) -> Floats:
        return self.device.features(angles, self.device.shots, (self.seed, *stream))

    def _loss(self, net: CompactNet, k: int, angles: Floats, side: int) -> float:
        """Proxy loss at a setting, by the raw features of one feature vector: an average would hide what it does."""
        condition(net, direction(self._features(angles, PROBES, k, side)), self.config.mixing)
        return self.proxy(net, k)

    def _set(self, net: CompactNet, angles: Floats, found: Floats) -> None:
        _state(net).angles.copy_(torch.from_numpy(angles))
        _state(net).features.copy_(torch.from_numpy(found))
        condition(net, direction(found), self.config.mixing)


def numbers(tensor: Tensor) -> Floats:
    """A tensor as an array of its own."""
    return tensor.detach().cpu().double().numpy().copy()


def _state(net: CompactNet) -> Photonic:
    if net.photonic is None:
        raise AssertionError("a net that features do not condition is not steered")
    return net.photonic
