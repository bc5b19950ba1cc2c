#!/bin/sh
# The include directions of ARCHITECTURE.md: a room includes only itself and the rooms above it; tools and bindings only the
# public headers and their own files; public headers only each other. usage: rooms.sh SOURCE_DIR
set -eu
cd "$1"
find src include tools bindings -type f \( -name '*.[ch]' -o -name '*.inc' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null |
    LC_ALL=C sort >"${TMPDIR:-/tmp}/rooms.$$"
trap 'rm -f "${TMPDIR:-/tmp}/rooms.$$"' EXIT
awk '
function fail(why) { printf "%s:%d: %s: %s\n", file, line, text, why; bad = 1 }
function allow(room, list) { above[room] = " foveate " list " " room " " }
BEGIN {
    allow("core", "")
    allow("kernels", "core")
    allow("token", "core")
    methods = "core kernels token"
    allow("attention", methods)
    allow("values", methods)
    allow("feedforward", methods)
    allow("model", methods " attention values feedforward")
    allow("cuda", methods " attention values feedforward model")
    allow("api", methods " attention values feedforward model cuda")
}
{
    file = $0; line = 0; n = split(file, part, "/")
    folder = substr(file, 1, length(file) - length(part[n]))
    while ((getline text < file) > 0) {
        line++
        if (text !~ /^[ \t]*#[ \t]*include/) continue
        count++
        if (match(text, /"[^"]*"/)) angle = 0
        else if (match(text, /<[^>]*>/)) angle = 1
        else { fail("neither \"...\" nor <...>"); continue }
        target = substr(text, RSTART + 1, RLENGTH - 2)
        room = index(target, "/") ? substr(target, 1, index(target, "/") - 1) : ""
        if (angle && room != "foveate" && !(room in above)) continue # a system header
        if (part[1] == "src") {
            if (!(part[2] in above)) fail("src/" part[2] " is not a room")
            else if (room == "") fail("name the room: \"room/file.h\"")
            else if (index(above[part[2]], " " room " ") == 0) fail(part[2] " may include:" above[part[2]])
        } else if (room != "foveate") {
            if (part[1] == "include") fail("a public header includes only public headers")
            else if (target ~ /\.\./ || (getline dummy < (folder target)) < 0) fail("tools include only public headers and their own files")
            else close(folder target)
        }
    }
    close(file)
}
END {
    if (count == 0) { print "no include found: wrong folder?"; exit 1 }
    if (!bad) printf "%d includes, all in direction\n", count
    exit bad
}' "${TMPDIR:-/tmp}/rooms.$$"
