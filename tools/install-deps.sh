#!/bin/sh
# Install what this build needs on Debian and its relatives, and nothing when all is there.
# usage: tools/install-deps.sh [ci|bench|fuzz|format]...     more packages for these purposes
# As root, or with sudo that asks for no password, it installs; otherwise it prints the command and exits 1.
set -eu

# package[:command]; a command that is there will do in place of its package
wanted='gcc:gcc libc6-dev cmake:cmake ninja-build:ninja pkg-config:pkg-config libutf8proc-dev libjansson-dev liblzma-dev libcmocka-dev'
for purpose in "$@"; do
    case $purpose in
    ci) wanted="$wanted g++:g++ clang:clang libclang-rt-dev clang-format:clang-format" ;;
    bench) wanted="$wanted libdnnl-dev" ;;
    fuzz) wanted="$wanted clang:clang libclang-rt-dev" ;;
    format) wanted="$wanted clang-format:clang-format" ;;
    *)
        echo "install-deps.sh: unknown purpose '$purpose'; known: ci bench fuzz format" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "install-deps.sh: not a Debian system; CMake will name what is missing of: $wanted" >&2
    exit 0
fi

missing=
for item in $wanted; do
    package=${item%%:*}
    case $item in
    *:*) if command -v "${item#*:}" >/dev/null 2>&1; then continue; fi ;;
    esac
    state=$(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null) || state=
    case $state in
    *'installed '*) case $state in *not-installed*) missing="$missing $package" ;; esac ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
else
    echo "Packages are missing:$missing" >&2
    echo "Install them with:" >&2
    echo "    sudo apt-get update && sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # both lists are meant to be split
if ! { $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing; } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    echo "install-deps.sh: apt-get failed (above)" >&2
    exit 1
fi
