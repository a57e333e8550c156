#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# "make html": all manual pages as a site of plain files, with a page of figures.
#
#	site.sh SOURCE FOLDER [PLOTS]
#
# FOLDER is made anew. PLOTS is where "make bench-plots" left its pictures and tables;
# without them the page of figures says how to make them.
set -eu
source=$1 folder=$2 plots=${3:-}

command -v mandoc >/dev/null 2>&1 || {
	echo "site.sh: mandoc is missing" >&2
	exit 77
}
rm -rf "$folder.new"
mkdir -p "$folder.new"
cp "$source/doc/html/style.css" "$folder.new"

# head TITLE
head_of()
{
	cat <<END
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="style.css">
<title>$1</title>
</head>
<body>
<nav><a href="index.html">libvdo</a> <a href="figures.html">figures</a></nav>
END
}

tail_of()
{
	echo '</body>'
	echo '</html>'
}

# One page; what it refers to leads to other pages of the site, where there are.
page()
{
	file=$1
	base=$(basename "$file")
	title=${base%.*}
	section=${base##*.}
	{
		head_of "$title($section)"
		mandoc -T html -O "fragment,man=%N.%S.html" "$file"
		tail_of
	} >"$folder.new/$title.$section.html"
}

# describe FILE: what the page is about, in a line
describe()
{
	sed -n 's/^\.Nd //p' "$1" | head -n 1 |
		sed 's/&/\&amp;/g; s/</\&lt;/g; s/\\(em/-/g; s/\\&//g'
}

# A name that is described by a page leads to it.
names()
{
	sed -n 's/^\.Nm \([a-z_][a-z0-9_-]*\).*/\1/p' "$1" | sort -u
}

section_title()
{
	case $1 in
	1) echo Programs ;;
	3) echo "The library" ;;
	5) echo "The format" ;;
	7) echo "Options and more" ;;
	*) echo "Section $1" ;;
	esac
}

index()
{
	head_of libvdo
	echo '<h1>libvdo</h1>'
	echo '<p>Deduplicated, compressed, thin block storage in user space,'
	echo "in the format of Linux's dm-vdo.</p>"
	for section in 1 3 5 7; do
		ls "$source/man/"*."$section" >/dev/null 2>&1 || continue
		echo "<h2>$(section_title $section)</h2>"
		echo '<dl>'
		for file in "$source/man/"*."$section"; do
			base=$(basename "$file")
			title=${base%.*}
			echo "<dt><a href=\"$title.$section.html\">$title($section)</a></dt>"
			echo "<dd>$(describe "$file")"
			others=$(names "$file" | grep -vx "$title" || true)
			test "$section" != 3 || test -z "$others" ||
				echo "<br><small>$(echo "$others" | tr '\n' ' ')</small>"
			echo '</dd>'
		done
		echo '</dl>'
	done
	tail_of
}

figures()
{
	head_of "Figures"
	echo '<h1>Figures</h1>'
	if test -z "$plots" || ! ls "$plots"/*.svg >/dev/null 2>&1; then
		echo '<p>There are none yet: <code>make bench-plots</code>' \
			'measures them on this machine, then <code>make' \
			'html</code> puts them here.</p>'
	else
		echo '<p>Rates over depths and sizes of operations, as measured' \
			'by <code>make bench-plots</code>: a volume in a file' \
			'beside the file itself, and a volume in memory.</p>'
		for picture in "$plots"/*.svg; do
			name=$(basename "$picture")
			cp "$picture" "$folder.new/$name"
			echo "<figure><img src=\"$name\" alt=\"${name%.svg}\">"
			table=${picture%.svg}.dat
			if test -e "$table"; then
				cp "$table" "$folder.new"
				echo "<figcaption><a href=\"$(basename "$table")\">${name%.svg} as a table</a></figcaption>"
			fi
			echo '</figure>'
		done
	fi
	tail_of
}

for file in "$source"/man/*.[1-9]; do
	page "$file"
done
# Names that a page describes besides its own: the same page.
for file in "$source"/man/*.3; do
	base=$(basename "$file")
	for name in $(names "$file"); do
		test -e "$folder.new/$name.3.html" ||
			printf '<!DOCTYPE html>\n<meta charset="utf-8">\n<title>%s</title>\n<meta http-equiv="refresh" content="0; url=%s.html">\n<a href="%s.html">%s(3)</a>\n' \
				"$name" "$base" "$base" "${base%.*}" \
				>"$folder.new/$name.3.html"
	done
done
index >"$folder.new/index.html"
figures >"$folder.new/figures.html"
rm -rf "$folder"
mv "$folder.new" "$folder"

# No link leads nowhere.
lost=$(cd "$folder" &&
	grep -oh 'href="[^"#:]*\.[1-9]\.html' ./*.html | sed 's/href="//' |
	sort -u | while read -r target; do
		test -e "$target" || echo "$target"
	done)
# Pages of the system are not ours.
lost=$(echo "$lost" | grep '^\(vdo\|libvdo\|dedup\)' | grep -v '^vdo\(format\|stats\)' || true)
test -z "$lost" || {
	echo "site.sh: links lead to no page:" $lost >&2
	exit 1
}
# Those become text.
for file in "$folder"/*.html; do
	sed -i 's/<a class="Xr" href="\([^"]*\)">\([^<]*\)<\/a>/\n@@\1@@\2@@\n/g' "$file"
	awk -v folder="$folder" '
		/^@@/ {
			split($0, part, "@@")
			if ((getline line < (folder "/" part[2])) >= 0) {
				close(folder "/" part[2])
				printf "<a class=\"Xr\" href=\"%s\">%s</a>", part[2], part[3]
			} else {
				printf "<span class=\"Xr\">%s</span>", part[3]
			}
			glue = 1
			next
		}
		{ if (NR > 1 && !glue) printf "\n"; printf "%s", $0; glue = 0
			was = $0 }
		END { printf "\n" }' "$file" >"$file.new"
	mv "$file.new" "$file"
done
