#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Figures of the source, for each folder of lib/ and for what is around it:
# lines and the share of comments in them, lengths of functions, assertions a
# function (VDO_ASSERT and VDO_CHECK) and the share of functions that have any.
cd "${top_srcdir:-$(dirname "$0")/../..}" || exit 1

printf '%-14s %5s %6s %8s %9s  %-15s %7s %6s\n' folder files lines comments \
	functions 'med p90 p99 max' asserts have

# Functions are what the style makes of them: { and } in the first column.
figures() {
	name=$1
	shift
	LC_ALL=C awk -v name="$name" '
		function percentile(p) {
			return n == 0 ? 0 : lengths[int((n - 1) * p / 100) + 1]
		}
		function sort(i, j, v) {
			for (i = 2; i <= n; i++) {
				v = lengths[i]
				for (j = i - 1; j > 0 && lengths[j] > v; j--)
					lengths[j + 1] = lengths[j]
				lengths[j + 1] = v
			}
		}
		FNR == 1 {
			files++
			inside = 0
			begin = 0
		}
		{ comment = inside }
		/^[ \t]*\/\*/ { comment = 1 }
		/\/\*/ { inside = 1 }
		/\*\// { inside = 0 }
		{ comments += comment }
		/^[A-Za-z_].*[(,]/ && !/;[ \t]*$/ && !comment { head = FNR }
		/^(struct|enum|union|typedef)[^(]*$/ { head = 0 }
		/^{/ && head > 0 {
			begin = FNR
			own = 0
		}
		!comment && begin > 0 {
			own += gsub(/VDO_(ASSERT|CHECK)\(/, "&")
		}
		/^}/ && begin > 0 {
			lengths[++n] = FNR - begin + 2
			asserts += own
			have += own > 0
			begin = head = 0
		}
		END {
			sort()
			printf "%-14s %5d %6d %7.1f%% %9d  ", name, files, NR,
				100 * comments / NR, n
			printf "%-15s", percentile(50) " " percentile(90) " " \
				percentile(99) " " percentile(100)
			printf " %7.2f %5d%%\n", n ? asserts / n : 0,
				n ? 100 * have / n : 0
		}' "$@"
}

for folder in $(grep -v '^#' lib/LAYERS); do
	figures "$folder" lib/"$folder"/*.[ch]
done
figures lib lib/*/*.[ch]
figures include include/vdo/*.h
figures examples $(find examples -name '*.[ch]')
figures tests $(find tests -name '*.[ch]')
