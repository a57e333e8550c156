#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Manual pages: clean, complete, and in step with the headers.
#  - mandoc -T lint finds nothing
#  - each exported function has a page under its name, and a prototype in it
#  - no page names a function that is not exported
#  - references among our own pages lead somewhere
#  - the table of errors is that of error.h, that of findings that of check.h
here=$(dirname "$0")
top_srcdir=${top_srcdir:-$here/../..}
man=$top_srcdir/man
export top_srcdir
failed=0

fail()
{
	echo "$*" >&2
	failed=1
}

command -v mandoc >/dev/null 2>&1 || {
	echo "mandoc is not there" >&2
	exit 77
}

# Whether the system's own pages can be found is not our business.
for page in "$man"/*.[1357]; do
	complaints=$(mandoc -T lint "$page" 2>/dev/null |
		grep -v 'referenced manual not found')
	test -z "$complaints" || fail "$complaints"
done

# The page with a name: itself, or where the list of links leads.
page_of()
{
	if test -f "$man/$1.3"; then
		echo "$man/$1.3"
		return
	fi
	group=$(awk -v link="links/$1.3" '
		/^links_/ { group = substr($1, 7) }
		{ for (i = 1; i <= NF; i++) {
			n = length($i) - length(link) + 1
			if (n > 0 && substr($i, n) == link) print group
		} }' "$man/local.mk")
	test -n "$group" && echo "$man/$group.3"
}

symbols=$("$here/exported.sh" && "$here/exported.sh" sim)
test -n "$symbols" || fail "no functions were found in include/vdo"
for symbol in $symbols; do
	page=$(page_of "$symbol")
	if test -z "$page" || ! test -f "$page"; then
		fail "$symbol: no manual page"
		continue
	fi
	grep -q "^\.Nm $symbol\( ,\)\{0,1\}\$" "$page" ||
		fail "$symbol: not in the NAME section of $page"
	grep -q "^\.F[no] $symbol\( .*\)\{0,1\}\$" "$page" ||
		fail "$symbol: no prototype in $page"
done

for name in $(sed -n 's/^\.Nm \(vdo_[a-z0-9_]*\).*/\1/p' "$man"/*.3); do
	echo "$symbols" | grep -qx "$name" ||
		fail "$name: has a manual page, but is not exported"
done

sed -n 's/^\.Xr \([a-z_-]*vdo[a-z_-]*\) \([0-9]\).*/\1 \2/p' "$man"/*.[1357] |
	sort -u >man-xr.$$
while read -r name section; do
	test -f "$man/$name.$section" && continue
	test -n "$(page_of "$name")" || fail "$name($section): no such page"
done <man-xr.$$
rm -f man-xr.$$

sed -n 's/.*X([0-9]*, \([A-Z]*\), .*/VDO_E\1/p' \
	"$top_srcdir/include/vdo/error.h" | sort >man-header.$$
sed -n 's/^\.It Er \(VDO_E[A-Z]*\) .*/\1/p' "$man/vdo_strerror.3" |
	sort >man-page.$$
diff man-header.$$ man-page.$$ >&2 || fail "vdo_strerror.3 and error.h differ"
rm -f man-header.$$ man-page.$$

# Name, severity, mend.
sed -n '/define VDO_CHECK_FINDINGS/,/^$/p' "$top_srcdir/include/vdo/check.h" |
	tr '\\\n' '  ' | sed 's/X(/\n/g; s/$/\n/' | sed -n '
		s/COSMETIC/cosmetic/; s/WASTES/wastes space/
		s/LOSES/loses data/; s/FATAL/fatal/
		s/CANNOT/not mended/; s/MENDS/mended/
		s/CLEARS/mended by clearing/
		s/^[A-Z_]*, *"\([a-z-]*\)", "[^"]*", *\([^,]*\), *\([^,]*\), .*/\1: \2, \3/p' >man-header.$$
sed -n 's/^\.It Cm \([a-z-]*\) Pq \(.*\)/\1: \2/p' "$man/vdoctl-check.1" \
	>man-page.$$
test -s man-header.$$ || fail "no findings were found in check.h"
diff man-header.$$ man-page.$$ >&2 ||
	fail "vdoctl-check.1 and check.h differ"
rm -f man-header.$$ man-page.$$

exit $failed
