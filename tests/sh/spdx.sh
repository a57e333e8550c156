#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each source file names its licence in its first two lines; and what begins with
# #! can be run.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
cd "$top_srcdir" || exit 1

files=$(find doc include lib examples tests man -name '*.[ch]' -o -name '*.sh' \
	-o -name '*.mk' -o -name '*.pml' -o -name '*.[1-9]' | sort)
count=$(echo "$files" | wc -l)
test "$count" -ge 300 || {
	echo "only $count files were found" >&2
	exit 1
}
failed=0
for file in $files configure.ac Makefile.am bootstrap; do
	# man/links and the like are made by the build
	case $(head -n 1 "$file") in
	.so\ *) continue ;;
	esac
	case $(head -c 2 "$file") in
	"#!") test -x "$file" || {
		echo "$file: is not executable" >&2
		failed=1
	} ;;
	esac
	head -n 2 "$file" |
		grep -q 'SPDX-License-Identifier: BSD-2-Clause' && continue
	echo "$file: no SPDX-License-Identifier in its first two lines" >&2
	failed=1
done
exit $failed
