#!/bin/sh
# The demo: classify a few sentences with the embedded model, explain one, and set exact beside Monte-Carlo values.
# usage: tools/demo.sh PROGRAM
set -eu
program=$1
texts=$(dirname "$0")/../docs/demo.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
show() {
    printf '\n$ foveate'
    for word in "$@"; do case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done
    printf '\n'
}

show classify docs/demo.txt
"$program" classify --quiet --format table "$texts"

sentence='It is not a bad film, and that is about all I can say for it.'
values=mca:alpha=.2
show explain --values "$values" "$sentence"
"$program" explain --values "$values" "$sentence"

printf '\nExact and Monte-Carlo values (mca, seed 0) on these texts; smaller alpha is more exact:\n\n'
"$program" classify --quiet --format jsonl "$texts" >"$work/exact"
printf '%-14s  %-21s  %-11s  %s\n' '--values' 'work on values, real' 'same labels' 'largest change of a score'
for values in exact mca:alpha=.05 mca:alpha=.2 mca:alpha=.5 mca:alpha=1; do
    "$program" classify --format jsonl --values "$values" "$texts" >"$work/now" 2>"$work/summary"
    share=$(sed -n 's/.*real tokens: \([0-9.]*\) % of the values.*/\1 %/p' "$work/summary")
    awk -v values="$values" -v share="${share:-100.0 %}" '
    function field(name) {
        if (!match($0, "\"" name "\": *(\"[^\"]*\"|[-+.0-9e]+)")) { print "demo.sh: no " name " in: " $0; exit 1 }
        value = substr($0, RSTART, RLENGTH); sub(/^[^:]*: */, "", value); gsub(/"/, "", value)
        return value
    }
    NR == FNR { label[FNR] = field("label"); score[FNR] = field("score"); next }
    {
        now = field("label"); p = field("score")
        if (now == label[FNR]) same++; else p = 1 - p # two labels: the score of the same one
        change = p > score[FNR] ? p - score[FNR] : score[FNR] - p
        if (change > most) most = change
    }
    END { printf "%-14s  %-21s  %2d of %-5d  %.4f\n", values, share, same, FNR, most }' "$work/exact" "$work/now"
done
