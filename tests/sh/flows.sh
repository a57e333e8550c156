#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tables of ARCHITECTURE.md name the rows of the flows as the code has them:
# the same rows in the same order, on the same queues.
#
# A table of the page belongs to the macro that is named in the line of the form
# "Rows: `WRITE_ROWS` in `lib/path/write.c`." before it. Its first column names
# rows, without the prefix of their functions; rows in brackets are none of the
# code's. The second column says where all rows of a line run.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
cd "$top_srcdir" || exit 1
page=ARCHITECTURE.md
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# The words for the places, as "ON_X words".
cat >"$tmp/places" <<'END'
ANYWHERE there
ON_LOGICAL logical zone
ON_PHYSICAL physical zone
ON_CANDIDATE physical zone
ON_SHARED physical zone
ON_HASH hash zone
ON_PACKER packer
ON_JOURNAL journal
ON_INDEX index, main
ON_MAIN index, main
ON_ZONES index zones in turn
ON_CALLER caller
END

# MACRO FILE: "row|where" for each row of the code.
code_rows() {
	awk -v macro="$1" '
		FILENAME == places {
			place = $1
			sub(/^[^ ]* /, "")
			words[place] = $0
			next
		}
		$1 == "#define" && index($2, macro "(") == 1 { inside = 1 }
		inside && match($0, /X\([A-Za-z0-9_, ]*\)/) {
			split(substr($0, RSTART + 2, RLENGTH - 3), part, /, */)
			name = part[2]
			sub(/^[a-z]*_/, "", name)
			gsub(/_/, " ", name)
			print name "|" (part[3] in words ? words[part[3]] \
				: part[3])
		}
		inside && !/\\$/ { exit }' places="$tmp/places" \
		"$tmp/places" "$2"
}

# LINE: the same for the first table of the page after LINE.
page_rows() {
	awk -F'|' -v from="$1" '
		NR <= from { next }
		/^\|/ {
			if (++line <= 2)
				next
			where = $3
			gsub(/^ *| *$/, "", where)
			count = split($2, name, ",")
			for (i = 1; i <= count; i++) {
				gsub(/^ *| *$/, "", name[i])
				if (name[i] !~ /^\(/)
					print name[i] "|" where
			}
			next
		}
		line > 0 { exit }' "$page"
}

failed=0
grep -n '^Rows: ' "$page" >"$tmp/tables"
while IFS=: read -r number _ text; do
	macro=$(printf '%s' "$text" | cut -d'`' -f2)
	file=$(printf '%s' "$text" | cut -d'`' -f4)
	code_rows "$macro" "$file" >"$tmp/code"
	page_rows "$number" >"$tmp/page"
	if ! test -s "$tmp/code"; then
		echo "$page:$number: no rows of $macro in $file" >&2
		failed=1
	elif ! diff -u "$tmp/page" "$tmp/code" >&2; then
		echo "$page:$number: the table is not $macro of $file" >&2
		failed=1
	fi
done <"$tmp/tables"

# Every table of the code is on the page, or its file says what it is for.
grep -rn --include='*.[ch]' '^#define [A-Z_]*_ROWS(X)' lib |
	sed 's/:[0-9]*:#define \([A-Z_]*\)(X).*/ \1/' >"$tmp/all"
while read -r file macro; do
	if ! grep -q "\`$macro\` in \`$file\`" "$page"; then
		echo "$page: no table for $macro of $file" >&2
		failed=1
	fi
done <"$tmp/all"
test -s "$tmp/all" || { echo "no tables were found" >&2; failed=1; }
exit $failed
