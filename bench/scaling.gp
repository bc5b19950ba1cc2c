# Time and workspace of attention methods over length, from `foveate bench attention >scaling.txt`:
#     gnuplot -e "input='scaling.txt'; output='scaling.svg'" bench/scaling.gp
if (!exists("input")) input = "scaling.txt"
if (!exists("output")) output = "scaling.svg"
set terminal svg size 1000,420 noenhanced
set output output
set datafile missing "-"
set logscale x 2
set logscale y
set xlabel "tokens"
set grid
set key top left
set multiplot layout 1,2
stats input using 1 nooutput
blocks = STATS_blocks
set ylabel "seconds per forward pass"
plot for [i=0:blocks-1] input index i using 1:2 with linespoints title columnheader(1)
set ylabel "workspace, MiB"
plot for [i=0:blocks-1] input index i using 1:3 with linespoints title columnheader(1)
unset multiplot
