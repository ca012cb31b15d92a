#!/bin/sh
# Builds an engine of each graph. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
. ./trtexec.sh
sha256sum --check --quiet SHA256SUMS

@BUILD@
