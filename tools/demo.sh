#!/bin/sh
# The demo: classify a few sentences with the embedded model, explain one, and set exact beside approximate on labelled ones.
# usage: tools/demo.sh PROGRAM
set -eu
program=$1
docs=$(dirname "$0")/../docs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
show() {
    printf '\n$ foveate'
    for word in "$@"; do case $word in *' '* | *';'*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done
    printf '\n'
}

show classify docs/demo.txt
"$program" classify --quiet --format table "$docs/demo.txt"

sentence='It is not a bad film, and that is about all I can say for it.'
values=mca:alpha=.2
show explain --values "$values" "$sentence"
"$program" explain --values "$values" "$sentence"

set -- --compare values=mca:alpha=.05 --compare values=mca:alpha=.2 --compare values=regress --compare ffn=guided \
    --compare 'values=regress;ffn=guided' --rounds 5
show eval --task sst2 --data docs/demo.tsv "$@"
"$program" eval --task sst2 --data "$docs/demo.tsv" "$@" >"$work/table"
sed -n '/^compared/,$p' "$work/table"
cat <<'END'

mca samples the value projection (Kim & Ko, AAAI 2022); regress and guided are calibrated: the embedded model comes with the profile
they need. Forty sentences show that nothing breaks, not how much is lost: docs/results has whole development sets.
END
