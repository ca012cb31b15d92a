#!/bin/sh
# Builds the int8 engine and, beside it, an engine of the unquantized graph. Usage: sh build.sh
set -eu
cd "$(dirname "$0")"
T=${TRTEXEC:-/usr/src/tensorrt/bin/trtexec}
sha256sum --check --quiet SHA256SUMS

# TensorRT 11 types every network strongly and has neither --stronglyTyped nor --fp16.
if "$T" --help | grep -q -- --stronglyTyped; then typed=--stronglyTyped; else typed=; fi
if "$T" --help | grep -q -- '--fp16'; then half=--fp16; else half=; fi

"$T" --onnx=int8.onnx --saveEngine=int8.plan $typed --skipInference --profilingVerbosity=detailed \
    --timingCacheFile=timing.cache --memPoolSize=workspace:@WORKSPACE@ --builderOptimizationLevel=@LEVEL@ \
    --exportLayerInfo=int8-layers.json
"$T" --onnx=float.onnx --saveEngine=float.plan $half --skipInference --profilingVerbosity=detailed \
    --timingCacheFile=timing.cache --memPoolSize=workspace:@WORKSPACE@ --builderOptimizationLevel=@LEVEL@ \
    --exportLayerInfo=float-layers.json
