#!/bin/sh
# tools/install-deps.sh does nothing when all is there, installs as root, and otherwise prints the command and fails.
# dpkg-query, apt-get, id and sudo are stand-ins here, so nothing is installed. usage: deps.sh SOURCE_DIR
set -eu
script=$1/tools/install-deps.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
for tool in sh mktemp rm cat env; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
stand_in() { # name, body
    printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}
run() { env PATH="$work/bin" "$work/bin/sh" "$script" "$@" >"$work/out" 2>&1; }
fail() {
    echo "$1"
    cat "$work/out"
    exit 1
}
stand_in apt-get "echo \"apt-get \$*\" >>'$work/calls'"

stand_in dpkg-query 'printf "installed "'
for tool in gcc cmake ninja pkg-config; do stand_in $tool ''; done
stand_in id 'echo 1000'
run || fail 'all there: must succeed'
[ ! -s "$work/out" ] || fail 'all there: must be silent'

stand_in dpkg-query 'case $* in *jansson*) exit 1 ;; *) printf "installed " ;; esac'
if run; then fail 'no root, no sudo: must fail'; fi
grep -q 'apt-get install --no-install-recommends libjansson-dev$' "$work/out" || fail 'no root: must print the command'
[ ! -e "$work/calls" ] || fail 'no root: must not call apt-get'

stand_in id 'echo 0'
run || fail 'root: must succeed'
grep -q '^apt-get .* install libjansson-dev$' "$work/calls" || fail 'root: must install'

stand_in apt-get 'echo broken mirror; exit 100'
if run; then fail 'apt-get failed: must fail'; fi
grep -q 'broken mirror' "$work/out" || fail "apt-get failed: must show apt-get's words"

stand_in dpkg-query 'printf "not-installed "'
if run; then fail 'a removed package counts as missing'; fi
if run nonsense; then fail 'an unknown purpose must fail'; fi
echo 'six cases'
