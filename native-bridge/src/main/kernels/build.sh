#!/bin/sh
# Compiles the kernels to PTX with nvcc, where there is one: build.sh OUT WORK. OUT/<SHA-256 of the source>.ptx is found at run time
# while the source is the same; elsewhere NVRTC compiles it when it is first used.
set -eu
out=$1
work=$2
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v nvcc >/dev/null 2>&1; then
  exit 0
fi
mkdir -p "$out" "$work"
types="Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 F32 F16 BF16"
cat "$here/portable.h" "$here/layers.cl" "$here/attention.cl" "$here/choices.cl" >"$work/layers.cu"
for type in $types; do
  { echo "#define TYPE_$type"; cat "$here/portable.h" "$here/products.cl" "$here/nvidia.cu" "$here/tensor.cu"; } >"$work/$type.cu"
done
wanted=" "
todo=""
for source in "$work"/*.cu; do
  name=$(sha256sum "$source" | cut -d' ' -f1)
  wanted="$wanted$name "
  [ -s "$out/$name.ptx" ] || todo="$todo $source:$name"
done
for old in "$out"/*.ptx; do
  case "$wanted" in *" $(basename "$old" .ptx) "*) ;; *) rm -f "$old" ;; esac
done
[ -z "$todo" ] && exit 0
echo "kernels: compiling$(echo "$todo" | wc -w | tr -d '\n') sources with nvcc"
printf '%s\n' $todo | xargs -n 1 -P 2 sh -c '
  nvcc --ptx -arch=compute_80 --fmad=false -o "$1/$$.part" "${2%:*}" && mv "$1/$$.part" "$1/${2##*:}.ptx"' compile "$out" || {
  echo "kernels: nvcc here does not compile them; NVRTC will, where they are used" >&2
  rm -f "$out"/*.part
}
