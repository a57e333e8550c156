#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Print what a shell needs to complete the command lines of vdoctl and dedup-copy, from
# what these programs say of themselves: so nothing is written down twice.
#
#	generate.sh bash|zsh|fish VDOCTL DEDUP-COPY
set -eu
shell=$1 vdoctl=$2 dedup_copy=$3

# name<TAB>summary
commands() {
	"$vdoctl" --help |
		sed -n 's/^  \([a-z][a-z-]*\)  *\(.*\)/\1	\2/p'
}

# words COMMAND: those behind it that choose what it does, such as "verify" of "index"
words() {
	"$vdoctl" "$1" --help |
		sed -n "s/^.*vdoctl $1 \([a-z][a-z-]*\) FILE.*/\1/p"
}

# long PROGRAM [COMMAND]: --name<TAB>takes an argument (1) or not (0)<TAB>summary
long() {
	"$@" --help | awk '
		/^  -/ {
			line = $0
			sub(/^ */, "", line)
			# what comes before two blanks is the option, or all of it
			text = ""
			if (match(line, /  +/)) {
				text = substr(line, RSTART + RLENGTH)
				line = substr(line, 1, RSTART - 1)
			}
			n = split(line, part, /, */)
			for (i = 1; i <= n; i++)
				if (match(part[i], /^--[a-z][a-z-]*/))
					print substr(part[i], 1, RLENGTH) "\t" \
						(part[i] ~ / [A-Z]/) "\t" text
		}' | sort -u -k 1,1
}

# name<TAB>values that it can have, with blanks between them, or nothing
options() {
	"$vdoctl" options | awk '
		/^[a-z]/ { sub(/=.*/, ""); name = $0; next }
		/^    \(/ {
			range = $0
			sub(/^ *\([a-z]*\) */, "", range)
			if (range ~ /^[a-z0-9|]*$/ && range ~ /[|]/)
				gsub(/[|]/, " ", range)
			else
				range = range ~ /^auto/ ? "auto" : ""
			print name "\t" range
		}'
}

list() {
	tr '\n' ' ' | sed 's/ *$//'
}

bash_options() {
	echo '_vdo_options()'
	echo '{'
	echo '	local cur=${COMP_WORDS[COMP_CWORD]} name= words='
	echo '	# "=" is a word of its own, as a rule'
	echo '	case $cur in'
	echo '	=) name=${COMP_WORDS[COMP_CWORD-1]} cur= ;;'
	echo '	*=*) name=${cur%%=*} cur=${cur#*=} ;;'
	echo '	*) test "${COMP_WORDS[COMP_CWORD-1]}" = = &&'
	echo '		name=${COMP_WORDS[COMP_CWORD-2]} ;;'
	echo '	esac'
	echo '	case $name in'
	echo "	'')"
	echo '		compopt -o nospace 2>/dev/null'
	printf '\t\twords="%s" ;;\n' "$(options | cut -f 1 | sed 's/$/=/' | list)"
	options | while IFS='	' read -r name values; do
		test -z "$values" ||
			printf '\t%s) words="%s" ;;\n' "$name" "$values"
	done
	echo '	esac'
	echo '	COMPREPLY=($(compgen -W "$words" -- "$cur"))'
	echo '}'
	cat <<'END'

# Is the cursor behind -o?
_vdo_in_option()
{
	local i=$((COMP_CWORD - 1))
	test "${COMP_WORDS[i]}" = = && i=$((i - 1)) && test $i -gt 0 && i=$((i - 1))
	test "${COMP_WORDS[COMP_CWORD]}" = = && i=$((COMP_CWORD - 2))
	test "${COMP_WORDS[i]}" = -o
}
END
}

bash_script() {
	echo '# Completion of vdoctl and dedup-copy for bash.'
	bash_options
	echo
	echo '_vdoctl()'
	echo '{'
	echo '	local cur=${COMP_WORDS[COMP_CWORD]} words='
	echo '	if test "$COMP_CWORD" -eq 1; then'
	printf '\t\tCOMPREPLY=($(compgen -W "%s --help --version" -- "$cur"))\n' \
		"$(commands | cut -f 1 | list)"
	echo '		return'
	echo '	fi'
	echo '	if _vdo_in_option; then _vdo_options; return; fi'
	echo '	case ${COMP_WORDS[1]} in'
	commands | while IFS='	' read -r name _; do
		printf '\t%s)\n' "$name"
		test -z "$(words "$name")" ||
			printf '\t\tif test "$COMP_CWORD" -eq 2; then\n\t\t\tCOMPREPLY=($(compgen -W "%s" -- "$cur")); return\n\t\tfi\n' \
				"$(words "$name" | list)"
		printf '\t\twords="%s -o" ;;\n' \
			"$(long "$vdoctl" "$name" | cut -f 1 | list)"
	done
	cat <<'END'
	esac
	case $cur in
	-*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
	*) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}

_dedup_copy()
{
	local cur=${COMP_WORDS[COMP_CWORD]}
	if _vdo_in_option; then _vdo_options; return; fi
	case $cur in
END
	printf '\t-*) COMPREPLY=($(compgen -W "%s -o" -- "$cur")) ;;\n' \
		"$(long "$dedup_copy" | cut -f 1 | list)"
	cat <<'END'
	*) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}

complete -o filenames -F _vdoctl vdoctl
complete -o filenames -F _dedup_copy dedup-copy
END
}

# Quoted for a word in single quotes.
quote() {
	sed "s/'/'\\\\''/g"
}

# For _arguments: '--name[summary]:value:'
zsh_long() {
	long "$@" | quote | sed 's/\[/\\[/g; s/\]/\\]/g; s/:/\\:/g' |
		while IFS='	' read -r name value text; do
			case $value in
			1) printf " \\\\\n\t\t\t'%s[%s]:value:_files'" "$name" "$text" ;;
			*) printf " \\\\\n\t\t\t'%s[%s]'" "$name" "$text" ;;
			esac
		done
}

zsh_script() {
	echo '#compdef vdoctl dedup-copy'
	echo '# Completion of vdoctl and dedup-copy for zsh.'
	echo '_vdo_options()'
	echo '{'
	echo '	local -a names values'
	echo '	if compset -P 1 "*="; then'
	echo '		case ${IPREFIX%=} in'
	options | while IFS='	' read -r name values; do
		test -z "$values" ||
			printf '\t\t*%s) values=(%s) ;;\n' "$name" "$values"
	done
	echo '		esac'
	echo '		compadd -a values'
	echo '	else'
	printf '\t\tnames=(%s)\n' "$(options | cut -f 1 | list)"
	echo '		compadd -S = -a names'
	echo '	fi'
	echo '}'
	echo
	echo '_vdoctl()'
	echo '{'
	echo '	local -a commands words_'
	echo '	if (( CURRENT == 2 )); then'
	echo '		commands=('
	commands | quote | sed "s/	/:/; s/.*/			'&'/"
	echo '		)'
	echo '		_describe command commands'
	echo '		return'
	echo '	fi'
	echo '	case $words[2] in'
	commands | while IFS='	' read -r name _; do
		printf '\t%s)\n' "$name"
		test -z "$(words "$name")" ||
			printf '\t\tif (( CURRENT == 3 )); then\n\t\t\tcompadd %s; return\n\t\tfi\n' \
				"$(words "$name" | list)"
		printf "\t\t_arguments '*-o[option of the library]:option:_vdo_options'%s \\\\\n\t\t\t'*:file:_files' ;;\n" \
			"$(zsh_long "$vdoctl" "$name")"
	done
	echo '	esac'
	echo '}'
	echo
	echo '_dedup_copy()'
	echo '{'
	printf "\t_arguments '*-o[option of the library]:option:_vdo_options'%s \\\\\n\t\t'*:file:_files'\n" \
		"$(zsh_long "$dedup_copy")"
	echo '}'
	echo
	echo 'case $service in'
	echo 'dedup-copy) _dedup_copy "$@" ;;'
	echo '*) _vdoctl "$@" ;;'
	echo 'esac'
}

# fish_long PROGRAM CONDITION WORD...: lines for the long options
fish_long() {
	program=$1 condition=$2
	shift 2
	long "$@" | quote | while IFS='	' read -r name value text; do
		printf "complete -c %s%s -l %s%s -d '%s'\n" "$program" \
			"$condition" "${name#--}" \
			"$(test "$value" = 0 || echo ' -r')" "$text"
	done
}

fish_script() {
	echo '# Completion of vdoctl and dedup-copy for fish.'
	echo 'function __vdo_options'
	options | while IFS='	' read -r name values; do
		printf '\techo %s=\n' "$name"
		for value in $values; do
			printf '\techo %s=%s\n' "$name" "$value"
		done
	done
	echo 'end'
	commands | quote | while IFS='	' read -r name text; do
		printf "complete -c vdoctl -n __fish_use_subcommand -f -a %s -d '%s'\n" \
			"$name" "$text"
	done
	commands | while IFS='	' read -r name _; do
		seen=" -n '__fish_seen_subcommand_from $name'"
		for word in $(words "$name"); do
			printf 'complete -c vdoctl%s -a %s\n' "$seen" "$word"
		done
		fish_long vdoctl "$seen" "$vdoctl" "$name"
	done
	fish_long dedup-copy '' "$dedup_copy"
	for program in vdoctl dedup-copy; do
		echo "complete -c $program -s o -x -a '(__vdo_options)' -d 'option of the library'"
	done
}

case $shell in
bash | zsh | fish) "${shell}_script" ;;
*)
	echo "generate.sh: bash, zsh or fish" >&2
	exit 2
	;;
esac
