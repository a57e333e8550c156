# SPDX-License-Identifier: BSD-2-Clause
# What the code cites: the rules and the format.
dist_doc_DATA = %D%/format.md %D%/rules.md
