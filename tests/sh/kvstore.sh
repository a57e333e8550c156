#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The crash test of examples/kvstore, on simulated storage: the store passes, and
# the mistake that it can be told to make is found.
test=${top_builddir:-.}/examples/kvstore/crash-test
failed=0

"$test" || {
	echo "committed data was lost" >&2
	failed=1
}
"$test" --sloppy || {
	echo "a commit without a flush was not found" >&2
	failed=1
}
exit $failed
