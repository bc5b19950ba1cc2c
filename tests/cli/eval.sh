#!/bin/sh
# Measuring: eval, its page, bench. usage: eval.sh PROGRAM SOURCE_DIR
. "$2/tests/cli/helpers.sh"

printf 'sentence\tlabel\na charming and often affecting journey\t1\nit is slow\t0\n"a bore\tnegative\n' >sst2.tsv
run 0 eval --task sst2 --data sst2.tsv --json eval.json --dump dump.jsonl
shows 'accuracy  *1.0000'
json_file eval.json
lines dump.jsonl 3
json_lines dump.jsonl
run 0 eval --task sst2 --data sst2.tsv --values mca:alpha=0.4 --seeds 3 --quiet --json eval.json
shows 'over 3 seeds'
grep -q '"seeds": 3' eval.json || wrong 'eval.json does not say 3 seeds'
run 0 eval --task sst2 --data sst2.tsv --seeds 3
says 'one seed is enough'
printf 'sentence\tlabel\nx\tmaybe\n' >label.tsv
failed eval --task sst2 --data label.tsv
says "label.tsv: line 2, column 'label': the model has no label 'maybe': it has negative, positive"
failed eval --task mrpc --data sst2.tsv
says "no column '#1 String'"
failed eval --task stsb --data sst2.tsv
says 'does not fit'
failed eval --task sst2 --data sst2.tsv --json absent/x.json
# the page: its values are the JSON's, and texts, labels and names from outside stay text
failed eval --task sst2 --data sst2.tsv --report absent/x.html
failed eval --task sst2 --data absent-too --report absent/x.html
says 'absent/x.html: cannot write'
refused eval --task sst2 --data sst2.tsv --report ./sst2.tsv
refused eval --task sst2 --data sst2.tsv --json same --report ./same
refused eval --task sst2 --data sst2.tsv --report x.html --compare values=mcaa
refused eval --task sst2 --data sst2.tsv --report x.html --compare '<b>'
failed eval --task sst2 --data label.tsv --report x.html
[ -e x.html ] && wrong 'a failure left a page'
hostile="it's <i>&\"x.tsv"
printf 'sentence\tlabel\n<script>alert(1)</script> &amp; "a" </span><b>\t1\n\001\002 \303\050 \342\200\256 slow\t0\n' >"$hostile"
mkdir "<u>&'\"" && cp "$tiny"/* "<u>&'\""
sed 's/"positive"/"<img src=x onerror=alert(1)>"/' "$tiny/config.json" >"<u>&'\"/config.json"
grep -q onerror "<u>&'\"/config.json" || wrong 'no hostile label'
run 0 eval --model "<u>&'\"" --task sst2 --data "$hostile" --values mca:alpha=.4 --report page.html --json page.json --quiet \
    --compare 'attention=topk:k=4;ffn=topk:k=99' --compare values=mca:alpha=1 --seeds 4 --rounds 2 --dump page.jsonl
shows 'compared, 4 passes in turn'
json_file page.json
if command -v python3 >/dev/null 2>&1; then
    python3 "$2/tests/cli/report.py" page.html page.json || wrong 'the page is not as it should be'
fi
run 0 eval --task sst2 --data sst2.tsv --attention yoso --report page.html --quiet
grep -q 'No weights to show' page.html || wrong 'the page hides that yoso has no weights'
run 0 eval --task sst2 --data sst2.tsv --report page.html --json page.json --quiet --limit 1
if command -v python3 >/dev/null 2>&1; then
    python3 "$2/tests/cli/report.py" page.html page.json || wrong 'the page of one text is not as it should be'
fi
run 0 bench --limit 4 --repeat 2 --quiet --compare values=mca:alpha=.4 --json
json_file out
run 0 bench --limit 4 --repeat 2 --quiet --data texts --compare 'attention=dense;values=mca:alpha=.4'
shows 'of peak'
run 0 bench attention --max-length 1024 --head-size 8 --quiet --json
json_file out
grep -q '"workspace"' out || wrong 'bench attention --json has no workspace'
run 0 bench attention --max-length 512 --head-size 8 --threads 1 --quiet
shows 'dense '
run 0 bench attention --max-length 2048 --head-size 8 --threads 1 --quiet --exact-length 1024 --method topk:k=4096 --method yoso \
    --method yoso:m=4
shows '^# left out from T = 2048 on: --exact-length says so'
shows '^# extrapolated by T^2 from the longest measured: .* seconds at T = 2048'
shows '^# extrapolated: at T = 2048 .* times as fast as dense would be'
shows '^# error against yoso'
[ "$(grep -c '^2048 ' out)" -eq 3 ] || wrong 'an extrapolated time stands among the measured ones'
# all keys kept: exact. Sampled against its expectation: neither none nor all is wrong
awk '/^topk/ { exact = 1 } /^yoso / { exact = 0 } /^yoso:m=4/ { sampled = 1 }
     exact && /^1024 / && !($5 < 1e-5) { exit 1 } sampled && /^1024 / && !($5 > .01 && $5 < 1.5) { exit 1 }' out ||
    { wrong 'errors of bench attention'; cat out; }

[ $bad -eq 0 ] && echo "$cases cases"
exit $bad
