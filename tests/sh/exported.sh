#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Print the functions that the public headers declare, one a line: those of
# libvdo or, with the argument sim, those that libvdo-sim adds.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}

case $1 in
sim) cat "$top_srcdir"/include/vdo/sim.h ;;
*) ls "$top_srcdir"/include/vdo/*.h | grep -v '/sim\.h$' | xargs cat ;;
esac | awk '
	{
		line = $0
		code = ""
		while (line != "") {
			if (comment) {
				i = index(line, "*/")
				if (i == 0)
					break
				line = substr(line, i + 2)
				comment = 0
				continue
			}
			i = index(line, "/*")
			if (i == 0) {
				code = code line
				break
			}
			code = code substr(line, 1, i - 1)
			line = substr(line, i + 2)
			comment = 1
		}
		while (match(code, /vdo_[a-z0-9_]+\(/)) {
			print substr(code, RSTART, RLENGTH - 1)
			code = substr(code, RSTART + RLENGTH)
		}
	}' | sort -u
