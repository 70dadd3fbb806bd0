#!/usr/bin/env bash
# Everything about this machine's first device in one call, and a report beside this file: whether it computes what the oracle does,
# with and without graphs, run to run; leaks; then all measurements. From pack.sh's folder, or from a checkout that was built.
#   first-run.sh [DEVICE] [--tiny] [--check] [--common] [--no-graphs] [--peer LLAMA_BENCH]
# Where something is wrong, it runs again without the maker's own kernels, and then without graphs: the reports tell whose fault it is.
# Environment: SHOAL_REPORT (a file), SHOAL_NVRTC, SHOAL_CUBLAS (paths of libraries that lie in unusual places).
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -x "$here/runtime/bin/java" ]; then
  java=$here/runtime/bin/java
  path=$here/shoal-gpu.jar
else
  home=$(cd "$here/../.." && pwd)
  java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  path=$home/codec/target/classes:$home/native-bridge/target/classes:$home/bench/target/classes
  [ -d "$home/bench/target/classes" ] || { echo "first-run.sh: build first: ./shoal bench gpu --help" >&2; exit 1; }
fi
report=${SHOAL_REPORT:-$PWD/gpu-report.txt}
run=("$java" --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED -cp "$path" shoal.bench.gpu.GpuMain)

# Libraries that pip or a toolkit left in places where the loader does not look.
if [ -z "${SHOAL_NVRTC:-}" ]; then
  SHOAL_NVRTC=$(ls -d /usr/local/cuda*/lib64/libnvrtc.so.1[123] /usr/local/cuda*/targets/*/lib/libnvrtc.so.1[123] \
    /usr/lib/python3*/*-packages/nvidia/*/lib/libnvrtc.so.1[123] \
    /usr/local/lib/python3*/*-packages/nvidia/*/lib/libnvrtc.so.1[123] 2>/dev/null | head -1)
  export SHOAL_NVRTC
fi
if [ -z "${SHOAL_CUBLAS:-}" ]; then
  SHOAL_CUBLAS=$(ls -d /usr/local/cuda*/lib64/libcublas.so.1[123] /usr/local/cuda*/targets/*/lib/libcublas.so.1[123] \
    /usr/lib/python3*/*-packages/nvidia/*/lib/libcublas.so.1[123] \
    /usr/local/lib/python3*/*-packages/nvidia/*/lib/libcublas.so.1[123] 2>/dev/null | head -1)
  export SHOAL_CUBLAS
fi
for library in "$SHOAL_NVRTC" "$SHOAL_CUBLAS"; do
  [ -n "$library" ] && LD_LIBRARY_PATH=$(dirname "$library"):${LD_LIBRARY_PATH:-}
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}

"${run[@]}" --report "$report" "$@"
code=$?
if [ $code = 1 ]; then
  "${run[@]}" --report "$report.common" "$@" --common || "${run[@]}" --report "$report.plain" "$@" --common --no-graphs --check
fi
{
  echo
  echo "nvidia-smi:"
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit --format=csv 2>&1 || true
} >>"$report"
if command -v compute-sanitizer >/dev/null 2>&1; then
  { echo; echo "compute-sanitizer, memcheck, of a tiny check:"; } >>"$report"
  timeout 300 compute-sanitizer --tool memcheck --error-exitcode 9 "${run[@]}" --tiny --check >>"$report" 2>&1
  echo "compute-sanitizer ended with $?" >>"$report"
fi
echo "report: $report"
exit $code
