#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The models of doc/models/ and doc/rules.md agree: each rule that a model takes out
# is there and names the model, each rule that names a model is taken out in it,
# each switch is both listed and used, and all is distributed. No spin is needed.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
cd "$top_srcdir" || exit 1
failed=0
count=0

say() {
	echo "$*" >&2
	failed=1
}

# The models that a rule names, one a line.
models_of() {
	awk -v rule="**$1**" '
	$1 == rule { inside = 1 }
	$0 == "" { inside = 0 }
	inside { text = text " " $0 }
	END {
		if (sub(/.* Models?: */, "", text)) {
			sub(/\..*/, "", text)
			gsub(/, */, "\n", text)
			print text
		}
	}' doc/rules.md
}

for file in doc/models/*.pml; do
	model=$(basename "$file" .pml)
	grep -q "models/$model.pml" doc/local.mk ||
		say "$file is not in doc/local.mk"
	grep -q "\`$model.pml\`" doc/models/README.md ||
		say "$file is not in doc/models/README.md"
	grep -q '^ \* @run ' "$file" || say "$file: nothing is run as it is"
	listed=$(sed -n 's/^ \* @out [^ ]* \(BREAK_[A-Z0-9_]*\).*/\1/p' "$file" |
		sort)
	used=$(sed -n 's/^#if.*\(BREAK_[A-Z0-9_]*\).*/\1/p' "$file" | sort -u)
	[ "$listed" = "$used" ] ||
		say "$file: @out lists other switches than the model has:" \
			"$(printf '%s\n' "$listed" "$used" | sort | uniq -u)"
	for rule in $(sed -n 's/^ \* @out \([^ ]*\) .*/\1/p' "$file" |
		sort -u); do
		count=$((count + 1))
		models_of "$rule" | grep -qx "$model" || say "$file: $rule" \
			"does not name the model $model in doc/rules.md"
	done
done
for rule in $(sed -n 's/^\*\*\([DIQ][0-9]*\)\*\*.*/\1/p' doc/rules.md); do
	for model in $(models_of "$rule"); do
		grep -q "^ \* @out $rule " "doc/models/$model.pml" ||
			say "doc/rules.md: $rule names $model," \
				"which does not take it out"
	done
done
[ "$count" -ge 10 ] || say "only $count rules were found in models"
exit $failed
