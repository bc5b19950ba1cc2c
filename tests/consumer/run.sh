#!/bin/sh
# Install to a temporary prefix, then build and run an outside project found by CMake's find_package and by pkg-config, in C and,
# where there is a C++ compiler, in C++. usage: run.sh BUILD_DIR CC [CXX]
set -eu
build=$1 cc=$2 cxx=${3-}
here=$(cd "$(dirname "$0")" && pwd)
model=$here/../../models/tiny-sentiment
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/prefix/bin/foveate" --version

set -- -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$work/prefix"
[ -z "$cxx" ] || set -- "$@" -DCMAKE_CXX_COMPILER="$cxx"
{ cmake -G Ninja -S "$here" -B "$work/cmake" "$@" && cmake --build "$work/cmake"; } >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for program in c_shared c_static ${cxx:+cpp_shared}; do
    printf 'find_package %s: ' "$program"
    "$work/cmake/$program" "$model"
done

pc=$(find "$work/prefix" -name foveate.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
pkg-config --exists --print-errors 'foveate >= 0.1.0'
# shellcheck disable=SC2046 # flags are lists
{
    "$cc" "$here/main.c" -o "$work/c" $(pkg-config --cflags --libs foveate) -Wl,-rpath,"$libdir"
    [ -z "$cxx" ] || "$cxx" "$here/main.cpp" -o "$work/cpp" $(pkg-config --cflags --libs foveate) -Wl,-rpath,"$libdir"
    mkdir "$work/archive"
    cp "$libdir/libfoveate.a" "$work/archive"
    "$cc" "$here/main.c" -o "$work/static" -L"$work/archive" $(pkg-config --static --cflags --libs foveate |
        sed "s|-L$libdir[^ ]*||")
}
for program in c ${cxx:+cpp} static; do
    printf 'pkg-config %s: ' "$program"
    "$work/$program" "$model"
done
