#!/bin/sh
# Converts the network with Sony's imxconv-pt, which is not part of this folder. Usage: sh convert.sh
set -eu
cd "$(dirname "$0")"
grep " network.onnx$" SHA256SUMS | sha256sum --check --quiet -
"${EDGEKD_IMX500_CONVERTER:-imxconv-pt}" @CONVERT@
