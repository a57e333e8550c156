# SPDX-License-Identifier: BSD-2-Clause
# What the tests of the nbdkit plugin share: $plugin is its whole name. Without
# nbdkit, or where that cannot load the plugin, the test that reads this is left
# out.
plugin=${NBDKIT_PLUGIN:-${top_builddir:-.}/examples/nbdkit/.libs/libnbdkit-vdo-plugin.so}
test -f "$plugin" && command -v nbdkit >/dev/null 2>&1 || {
	echo "nbdkit or the plugin is not there" >&2
	exit 77
}
if ldd "$plugin" 2>/dev/null | grep -q 'lib[at]san'; then
	echo "nbdkit cannot load what was built with sanitizers" >&2
	exit 77
fi
case $plugin in
/*) ;;
*) plugin=$PWD/$plugin ;;
esac
