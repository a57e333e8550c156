# SPDX-License-Identifier: BSD-2-Clause
# What the code cites: the rules and the format; and the bounds of what is read.
dist_doc_DATA = %D%/bounds.md %D%/format.md %D%/rules.md
