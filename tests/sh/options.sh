#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdo-options(7) has the options of the library, with their ranges, defaults
# and sections, in the same order.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
vdoctl=${VDOCTL:-${top_builddir:-.}/examples/vdoctl/vdoctl}

test -x "$vdoctl" || {
	echo "vdoctl was not built" >&2
	exit 77
}

# name=default / help / (when) range
"$vdoctl" options | awk '
	NR % 3 == 1 { i = index($0, "="); name = substr($0, 1, i - 1)
		      value = substr($0, i + 1) }
	NR % 3 == 0 { when = $1; sub(/^ *\([a-z]*\) /, "")
		      gsub(/[()]/, "", when)
		      print when, name, "(" $0 "; " value ")" }' >options-code.$$
test -s options-code.$$ || {
	echo "vdoctl options printed nothing" >&2
	exit 1
}

# .It Cm name Pq range; default
awk '
	/^\.Sh [A-Z]* OPTIONS/ { when = tolower($2) }
	/^\.Sh CONFLICTS/ { exit }
	when != "" && /^\.It Cm [a-z-]* Pq / {
		name = $3; sub(/^\.It Cm [a-z-]* Pq /, "")
		print when, name, "(" $0 ")"
	}' "$top_srcdir/man/vdo-options.7" >options-page.$$

diff options-code.$$ options-page.$$ >&2
result=$?
rm -f options-code.$$ options-page.$$
exit $result
