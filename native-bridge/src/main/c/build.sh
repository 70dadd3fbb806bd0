#!/bin/sh
# Compiles the native library if there is a C compiler, and says in one line why not if there is none; never fails the build.
#   build.sh OUT WORK    writes OUT/<os>-<arch>/libshoal.so (.dylib on macOS); keeps objects in WORK
# Files named level-*.c are compiled with the instruction sets of that level; the library looks at the CPU before it calls them.
# All other files run on any CPU of the architecture. CC names another compiler; what it compiles for is asked of it. SHOAL_CROSS_CC
# names more compilers, such as aarch64-linux-gnu-gcc: their libraries are built beside, so that one jar serves several platforms.
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=$1
work=$2
cc=${CC:-cc}

skip() {
  if [ -n "${SHOAL_CROSS:-}" ]; then
    echo "native kernels are not built with $cc: $1."
  else
    echo "native kernels are not built: $1. Everything works without them, more slowly."
    rm -rf "$out"
  fi
  exit 0
}

others() { # one after another, each with objects of its own
  for other in ${SHOAL_CROSS_CC:-}; do
    CC=$other SHOAL_CROSS=yes SHOAL_CROSS_CC= sh "$here/build.sh" "$out" "$work/$(basename "$other")"
  done
}

command -v "$cc" >/dev/null 2>&1 || skip "there is no C compiler ($cc)"

machine=$("$cc" -dumpmachine 2>/dev/null) || machine=$(uname -m)-$(uname -s) # such as x86_64-linux-gnu, arm64-apple-darwin23.1
case $machine in
  *linux* | *Linux*) os=linux library=libshoal.so ;;
  *darwin* | *Darwin*) os=macos library=libshoal.dylib ;;
  *) skip "$machine is not among the systems they are built for" ;;
esac
case $machine in
  x86_64-* | amd64-*) arch=x86_64 ;;
  aarch64-* | arm64-*) arch=aarch64 ;;
  *) skip "$machine is not among the architectures they are built for" ;;
esac
target=$out/$os-$arch/$library

# No contraction: a product and a sum are one rounding only where the source says fma.
flags="-std=gnu11 ${OPTIMISE:--O3} -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror=implicit-function-declaration"
stamp=$(cat "$here"/*.c "$here"/*.h "$here"/*.sh | cksum; "$cc" --version 2>/dev/null | head -n 1)
if [ -f "$target" ] && [ "$(cat "$work/stamp" 2>/dev/null)" = "$stamp" ]; then
  others
  exit 0
fi
mkdir -p "$work" "$(dirname "$target")" || skip "$work can't be written"
rm -f "$work"/*.o "$work"/stamp

level() { # NAME SOURCE FLAGS…: one level, at the same time as the others; a compiler that doesn't know its flags leaves it out
  name=$1 source=$2
  shift 2
  levels="$levels $name"
  "$cc" $flags "$@" -DLEVEL="$name" -c "$here/$source" -o "$work/level-$name.o" 2>"$work/level-$name.log" &
}
levels=
case $arch in
  x86_64)
    level avx2 level-avx2.c -mavx2 -mfma -mf16c
    level avxvnni level-avx2.c -mavx2 -mfma -mf16c -mavxvnni
    level avx512vnni level-avx512.c -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni \
      -mprefer-vector-width=512
    ;;
  aarch64)
    level neon level-neon.c -march=armv8.2-a+dotprod
    ;;
esac
wait
objects=
defines=
for name in $levels; do
  if [ -f "$work/level-$name.o" ]; then
    objects="$objects $work/level-$name.o"
    defines="$defines -DHAVE_$name"
  else
    echo "native kernels of level $name are not built: $(grep -m 1 error "$work/level-$name.log")"
  fi
done
for source in "$here"/*.c; do
  case $source in */level-*) continue ;; esac
  object=$work/$(basename "$source" .c).o
  "$cc" $flags $defines -c "$source" -o "$object" 2>"$work/log" || skip "$(head -n 1 "$work/log")"
  objects="$objects $object"
done
"$cc" -shared -o "$target" $objects 2>"$work/log" || skip "$(head -n 1 "$work/log")"
printf '%s\n' "$stamp" >"$work/stamp"
others
