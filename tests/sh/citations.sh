#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What comments cite (V 10.3, X 3.7, E 7.5, D4, I20, Q1, trap 16) is in doc/, and
# the files, functions and tests that doc/bounds.md, doc/rules.md and
# tests/README.md name exist.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
cd "$top_srcdir" || exit 1
failed=0
pages='ARCHITECTURE.md HACKING.md doc/bounds.md doc/format.md doc/rules.md
	tests/README.md'

# Looked at are comments of C files, comment lines of scripts and makefiles,
# and all of a page.
LC_ALL=C awk '
	function know(name) {
		known[name] = 1
		rules++
	}
	function check(name) {
		cited++
		if (name in known)
			return
		print FILENAME ":" FNR ": there is no " name " in doc/"
		failed = 1
	}
	# Numbers may follow each other: V 7.4, 7.5 and 10.1
	function check_more(letter, rest, number) {
		while (match(rest, /^(,| to| and| or) [0-9]+(\.[0-9]+)+/)) {
			number = substr(rest, 1, RLENGTH)
			rest = substr(rest, RLENGTH + 1)
			sub(/^[^0-9]*/, "", number)
			check(letter " " number)
		}
		return rest
	}
	function look(text, name) {
		gsub(/[ \t]+/, " ", text)
		text = " " text
		while (match(text, cite)) {
			name = substr(text, RSTART + 1, RLENGTH - 1)
			text = substr(text, RSTART + RLENGTH)
			if (text ~ /^[A-Za-z0-9_=]/)
				continue
			check(name)
			if (name ~ /^[EVX] /)
				text = check_more(substr(name, 1, 1), text)
			text = " " text
		}
	}
	function end_of_text() {
		look(text)
		text = ""
	}
	# Add what is comment in a line of C. Strings are not.
	function add_comments(line, i) {
		if (!inside)
			gsub(/"([^"\\]|\\.)*"/, "", line)
		else
			sub(/^[ \t]*\*($|[^\/])/, "", line)
		while (line != "") {
			i = index(line, inside ? "*/" : "/*")
			if (inside)
				text = text " " (i == 0 ? line \
					: substr(line, 1, i - 1))
			if (i == 0)
				break
			line = substr(line, i + 2)
			inside = !inside
		}
	}
	BEGIN {
		cite = "[^A-Za-z0-9_/]([EVX] [0-9]+(\\.[0-9]+)*|" \
			"[DIQ][1-9][0-9]*|trap [0-9]+)"
	}
	FNR == 1 {
		inside = 0
		traps = 0
	}
	pass == 1 && /^#+ / {
		traps = $2 == "Traps"
		if ($2 ~ /^[EVX]$/)
			know($2 " " $3)
	}
	pass == 1 && /^\*\*[DIQ][0-9]+\*\*/ {
		sub(/^\*\*/, "")
		sub(/\*\*.*/, "")
		know($0)
	}
	pass == 1 && traps && /^[0-9]+\. / { know("trap " ($1 + 0)) }
	pass == 1 { next }
	FILENAME ~ /\.(c|h|pml)$/ {
		add_comments($0)
		if (!inside)
			end_of_text()
		next
	}
	FILENAME ~ /\.md$/ {
		text = text " " $0
		if ($0 == "")
			end_of_text()
		next
	}
	/^[ \t]*#/ { look($0) }
	END {
		end_of_text()
		if (rules < 100 || cited < 200) {
			print "only " rules " rules and " cited " citations"
			failed = 1
		}
		exit failed
	}' pass=1 doc/format.md doc/rules.md pass=2 $pages \
	$(find doc lib include tests examples -name '*.[ch]' -o -name '*.sh' \
		-o -name '*.mk' -o -name '*.pml') >&2 || failed=1

# `folder/file.c` `function()`, u/file `test`: one line each, what it is, where
# it must be, and where it is named.
named() {
	LC_ALL=C awk '
		function say(kind, name) {
			print kind, file, name, FILENAME ":" FNR
		}
		function take(token) {
			if (token ~ /^[uv]\//) {
				file = "tests/" (token ~ /^u/ ? "unit" \
					: "volume") "/test_" substr(token, 3) \
					".c"
				test = 1
				say("file", "-")
			} else if (token ~ /^`tests\/[a-z0-9_\/.-]+`$/) {
				file = substr(token, 2, length(token) - 2)
				test = 0
				say("file", "-")
			} else if (token ~ /^`[a-z_]+\/[a-z0-9_]+\.[ch]`$/ && \
				   token !~ /^`lib/) {
				file = "lib/" substr(token, 2, \
					length(token) - 2)
				test = 0
				say("file", "-")
			} else if (token ~ /^`[a-z0-9_]+\(\)`$/ && !test) {
				gsub(/[`()]/, "", token)
				if (file != "")
					say("function", token)
			} else if (token ~ /^`[a-z0-9_]+`$/ && test) {
				gsub(/`/, "", token)
				say("test", token)
			}
		}
		function look(text) {
			while (match(text, /`[^` ]+`|[ (][uv]\/[a-z0-9_]+/)) {
				token = substr(text, RSTART, RLENGTH)
				text = substr(text, RSTART + RLENGTH)
				sub(/^[ (]/, "", token)
				take(token)
			}
		}
		$0 == "" || /^\|/ || /^[0-9]+\. / {
			file = ""
			test = 0
		}
		/Kept:/ { test = 0 }
		{ look(" " $0) }' "$@"
}
named doc/bounds.md doc/rules.md tests/README.md >citations-named.$$
test "$(wc -l <citations-named.$$)" -gt 200 || {
	echo "rules.md and README.md name hardly anything" >&2
	failed=1
}
while read -r kind file name where; do
	case $kind in
	file) test -e "$file" && continue
		name=$file ;;
	function) grep -q "\\b$name(" "$file" && continue ;;
	test) grep -Eq "START_TEST\\((test_)?$name\\)" "$file" && continue ;;
	esac
	echo "$where: there is no $kind $name (${file##*/})" >&2
	failed=1
done <citations-named.$$
rm -f citations-named.$$
exit $failed
