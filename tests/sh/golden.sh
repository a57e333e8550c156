#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A clone tests itself: the tests look for nothing beside it, but for Linux in
# an emulator; the golden files are there, and 30 MB at most.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
cd "$top_srcdir" || exit 1
failed=0

# The name is put together, so that this line is not found.
beside=$(grep -rlE "\.\./share[d]" tests bootstrap .ci |
	grep -v -e '^tests/kernel/' -e '^tests/README.md$')
test -z "$beside" || {
	echo "these look for files beside the clone:" >&2
	echo "$beside" >&2
	failed=1
}

size=$(find tests/golden -type f -exec cat {} + | wc -c)
test "$size" -gt 20000000 && test "$size" -le 30000000 || {
	echo "tests/golden has $size bytes" >&2
	failed=1
}

# A volume that has no manifest would be compared with nothing.
for image in tests/golden/kernel/*.img.zst; do
	name=${image%.img.zst}
	test -s "$name.sha256" || {
		echo "$image: no $name.sha256" >&2
		failed=1
	}
	case $name in
	*/fresh) continue ;;
	esac
	test -s "$name.manifest.zst" || {
		echo "$image: no $name.manifest.zst" >&2
		failed=1
	}
done
exit $failed
