#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Files of lib/ include their own folder and those before it in lib/LAYERS, and
# their objects need no symbols of other ones; x_priv.h stays in its folder;
# headers do not include each other in circles; tools and examples see the
# public headers only.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
top_builddir=$(cd "${top_builddir:-.}" && pwd)
cd "$top_srcdir" || exit 1

awk '
	function fail(text) {
		print FILENAME ":" FNR ": " text
		failed = 1
	}
	FILENAME == "lib/LAYERS" {
		if ($0 !~ /^#/ && NF > 0)
			level[$1] = ++levels
		next
	}
	FNR == 1 {
		split(FILENAME, part, "/")
		own = part[2]
		files++
		if (!(own in level))
			fail("folder " own " is not in lib/LAYERS")
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, part, "\"")
		path = part[2]
		if (path == "build.h")
			next
		if (split(path, part, "/") != 2 || !(part[1] in level)) {
			fail("include \"" path "\": not FOLDER/FILE.h of lib/")
			next
		}
		if (level[part[1]] > level[own])
			fail("include \"" path "\": " part[1] \
				" is above " own)
		if (path ~ /_priv\.h$/ && part[1] != own)
			fail("include \"" path "\": private to " part[1])
	}
	END {
		if (files < 20) {
			print "only " files " files were found"
			failed = 1
		}
		exit failed
	}' lib/LAYERS lib/*/*.[ch] >&2
failed=$?

# tsort prints nothing but complaints on standard error if there is a circle
circles=$(awk '/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, part, "\"")
		if (part[2] != "build.h")
			print substr(FILENAME, 5), part[2]
	}' lib/*/*.h | tsort 2>&1 >/dev/null)
if test -n "$circles"; then
	echo "headers include each other in a circle:" >&2
	echo "$circles" >&2
	failed=1
fi

# The same by symbols: a declaration by hand needs no include.
objects=$(for source in lib/*/*.c; do
	name=$(basename "$source" .c).o
	for object in "${source%/*}/.libs/$name" "${source%/*}/$name"; do
		test -f "$top_builddir/$object" && echo "$object" && break
	done
done)
if test -n "$objects" && command -v nm >/dev/null 2>&1; then
	(cd "$top_builddir" && nm -A -P $objects) | awk '
		FILENAME == "lib/LAYERS" {
			if ($0 !~ /^#/ && NF > 0)
				level[$1] = ++levels
			next
		}
		{
			split($1, part, "/")
			file = $1
			sub(/^.*\//, part[2] "/", file)
			sub(/\.o:$/, ".c", file)
			if ($3 == "U")
				uses[file " " $2] = part[2]
			else if ($3 ~ /^[A-Z]$/)
				folder[$2] = part[2]
		}
		END {
			for (use in uses) {
				split(use, part, " ")
				if (!(part[2] in folder))
					continue
				resolved++
				home = folder[part[2]]
				if (level[home] <= level[uses[use]])
					continue
				print part[1] ": " part[2] " is in " home \
					", above " uses[use]
				failed = 1
			}
			if (resolved < 500) {
				print "only " resolved + 0 " symbols resolved"
				failed = 1
			}
			exit failed
		}' lib/LAYERS - >&2 || failed=1
else
	echo "symbols: no objects, or no nm" >&2
fi

folders=$(grep -v '^#' lib/LAYERS | tr '\n' '|')
if grep -En "^#include \"(${folders%|})/" $(find examples -name '*.[ch]') >&2
then
	echo "examples must not include internal headers" >&2
	failed=1
fi
exit $failed
