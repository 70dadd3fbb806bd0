#!/usr/bin/env bash
# Packs what measures a GPU on a machine that has nothing but its driver: a trimmed Java runtime, one jar with codec, native-bridge and
# shoal.bench.gpu, and the kernels in it. Models are made there, from a seed. Below 50 MB together.
#   bench/gpu/pack.sh [FOLDER]      default: bench/target/gpu-pack; FOLDER.tar.gz stands beside it
# There: FOLDER/first-run.sh
set -euo pipefail
most=50000000
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$home/bench/target/gpu-pack}
fail() { printf 'pack.sh: %s\n' "$*" >&2; exit 1; }

java=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac || true)")")")}
[ -x "$java/bin/jlink" ] || fail "needs a full JDK 25 with jlink; set JAVA_HOME."
if [ ! -d "$home/bench/target/classes/shoal/bench/gpu" ]; then
  (cd "$home" && mvn -q -B -DskipTests -pl bench -am compile) || fail "the build failed; its messages stand above."
fi

rm -rf "$folder" "$folder.tar.gz"
mkdir -p "$folder"
"$java/bin/jlink" --add-modules java.base,java.logging,jdk.incubator.vector --strip-debug --no-header-files --no-man-pages \
  --compress zip-9 --output "$folder/runtime" 2>/dev/null || fail "jlink of $java failed; it needs the folder jmods."

if command -v strip >/dev/null 2>&1; then # names of functions that no one calls from outside
  find "$folder/runtime/lib" -name '*.so' -exec strip --strip-unneeded {} +
fi

"$java/bin/jar" --create --file "$folder/shoal-gpu.jar" \
  -C "$home/codec/target/classes" . \
  -C "$home/native-bridge/target/classes" . \
  -C "$home/bench/target/classes" shoal/bench/gpu
cp "$home/bench/gpu/first-run.sh" "$folder/first-run.sh"
chmod +x "$folder/first-run.sh"
ls "$home"/native-bridge/target/classes/kernels/ptx/*.ptx >/dev/null 2>&1 ||
  printf 'pack.sh: no nvcc was here, so there is no PTX in the pack; the machine needs NVRTC (libnvrtc) for CUDA.\n' >&2

bytes=$(du -sb "$folder" | cut -f1)
[ "$bytes" -lt "$most" ] || fail "$folder has $bytes bytes, allowed are fewer than $most."
tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
printf '%s: %d bytes, packed %d\n' "$folder" "$bytes" "$(stat -c %s "$folder.tar.gz")"
