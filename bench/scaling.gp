# Time, workspace and error of attention methods over length, from `foveate bench attention >scaling.txt`:
#     gnuplot -e "input='scaling.txt'; output='scaling.svg'" bench/scaling.gp
if (!exists("input")) input = "scaling.txt"
if (!exists("output")) output = "scaling.svg"
set terminal svg size 1500,460 noenhanced
set output output
set datafile missing "-"
set logscale x 2
set logscale y
set format y "%g"
set xlabel "tokens"
set xtics rotate by -45
set grid
set key top left samplen 2
set multiplot layout 1,3
stats input using 1 nooutput
blocks = STATS_blocks
set ylabel "seconds per forward pass"
plot for [i=0:blocks-1] input index i using 1:2 with linespoints title columnheader(1)
set ylabel "workspace, MiB"
plot for [i=0:blocks-1] input index i using 1:3 with linespoints title columnheader(1)
set ylabel "relative error"
plot for [i=1:blocks-1] input index i using 1:5 with linespoints title columnheader(1)
unset multiplot
