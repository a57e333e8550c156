#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Shells complete the command lines of vdoctl and dedup-copy: bash and fish are asked,
# zsh reads what is for it.
files=$(cd "${top_builddir:-.}/examples/completion" 2>/dev/null && pwd) &&
	test -e "$files/vdoctl" || {
	echo "there are no completions"
	exit 77
}
failed=0 ran=0

# expect SHELL WHAT WANTED GOT
expect()
{
	test "$3" = "$4" && return
	echo "$1: $2: '$4', not '$3'" >&2
	failed=1
}

# What bash would show for the words; the last one is under the cursor.
ask_bash()
{
	bash -c '. "$0"; F=$1; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		$F 2>/dev/null; echo "${COMPREPLY[*]}"' "$files/vdoctl" "$@"
}

if bash -c : 2>/dev/null; then
	ran=1
	expect bash commands stats "$(ask_bash _vdoctl vdoctl st)"
	expect bash words verify "$(ask_bash _vdoctl vdoctl index v)"
	expect bash switches --repair "$(ask_bash _vdoctl vdoctl check x --rep)"
	expect bash options compression= \
		"$(ask_bash _vdoctl vdoctl read x -o comp)"
	expect bash values "on off" \
		"$(ask_bash _vdoctl vdoctl read x -o compression =)"
	expect bash values off \
		"$(ask_bash _vdoctl vdoctl read x -o compression = of)"
	expect bash switches --keep-last \
		"$(ask_bash _dedup_copy dedup-copy --keep-l)"
	expect bash options "executor= executor-width=" \
		"$(ask_bash _dedup_copy dedup-copy -o exec)"
fi

ask_fish()
{
	fish -c 'source $argv[1]; complete -C $argv[2]' "$files/vdoctl.fish" "$1" |
		cut -f 1 | tr '\n' ' ' | sed 's/ $//'
}

if HOME=/nonexistent fish -c true 2>/dev/null; then
	ran=1
	expect fish commands stats "$(ask_fish 'vdoctl st')"
	expect fish switches --repair "$(ask_fish 'vdoctl check --rep')"
	expect fish values "compression=off compression=on" \
		"$(ask_fish 'vdoctl read x -o compression=o')"
fi

if zsh -c : 2>/dev/null; then
	ran=1
	zsh -n "$files/_vdoctl" || failed=1
fi
test $ran -eq 1 || exit 77
exit $failed
