/* conf/tree.h - a configuration file checked key by key, so that every error names its line and column.
 * libcyaml then loads what has passed; it knows the structure, but not where and what was expected. */
#ifndef CS_CONF_TREE_H
#define CS_CONF_TREE_H

#include "base/buf.h"

/* Is `text`, the content of `file`, YAML that keeps to conf_schema and conf/value.h? Files that it names must be
 * readable, taken from `folder` when relative. config-invalid: "FILE:LINE:COLUMN: KEY: ..., expected ...".
 * *ret_empty: nothing but comments is in it. Appended to ret_text: what libcyaml is to load, in which profiles by name
 * are a list. */
CS_MUST_USE cs_status conf_tree_check(cs_view text, const char *file, const char *folder, bool *ret_empty,
                                      cs_buf *ret_text, cs_err *err);

#endif
