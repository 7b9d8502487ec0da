/* recipes/recipe.h - configuration of other people's programs, as text with gaps: one file a program in text/, embedded
 * at build, filled by values that are checked first. Pure: text in, text out; nothing is kept between calls; any
 * thread.
 *
 * A recipe is lines. "#:" begins a directive, all else is text; @{NAME} is a gap.
 *   #: title TEXT                   one line
 *   #: for server|client|person     whose certificate it needs: a server's, or an identity's; person: `bundle` fills it
 *   #: xml                          values are escaped as XML and HTML have it, but for those that were lent
 *   #: set NAME DEFAULT | WHAT      a gap of its own; the default may have gaps
 *   #: if NAME, #: unless NAME, #: end    lines that stand only when the gap's value is not empty (is empty)
 *   #: file PATH                    a file begins; the path may have gaps
 *   #: private PATH                 the same, for its owner alone: it holds a secret
 *   #: then                         what to do next begins, for people */
#ifndef CS_RECIPES_RECIPE_H
#define CS_RECIPES_RECIPE_H

#include "base/buf.h"

enum {
    RECIPE_GAPS_MAX = 40,
    RECIPE_FILES_MAX = 12,
    RECIPE_VALUE_MAX = 512,       /* octets of a value */
    RECIPE_TEXT_MAX = 256 * 1024, /* of all files of one */
    RECIPE_PATH_MAX = 256
};

typedef struct recipe {
    const char *name, *text;
} recipe;

/* In the order of their names; NULL at the end. */
const recipe *recipe_at(size_t i);
/* usage, with the nearest name, when there is none. */
CS_MUST_USE cs_status recipe_find(const char *name, const recipe **ret, cs_err *err);

typedef struct recipe_gap {
    char name[32], value[RECIPE_VALUE_MAX + 1], says[160];
    const char *lent; /* instead of value; NULL: none */
    bool own;         /* of the recipe, by "set" */
} recipe_gap;
typedef struct recipe_gaps {
    recipe_gap at[RECIPE_GAPS_MAX];
    size_t n;
} recipe_gaps;

/* Gives a gap its value; what is there is replaced. Values stand in other programs' configuration: control characters,
 * quotes, ';', '#', '{', '}', '$', '`', '\\', '<' and '>' are refused (usage), naming the gap. */
CS_MUST_USE cs_status recipe_set(recipe_gaps *g, const char *name, const char *value, cs_err *err);
/* A value of our own making, which may be long: it stands as it is, and is borrowed until the gaps are done with. */
CS_MUST_USE cs_status recipe_lend(recipe_gaps *g, const char *name, const char *value, cs_err *err);
const char *recipe_value(const recipe_gaps *g, const char *name); /* NULL: there is no such gap */

typedef struct recipe_file {
    char path[RECIPE_PATH_MAX];
    bool is_private;
    cs_buf text; /* wiped */
} recipe_file;
typedef struct recipe_made {
    char title[160];
    bool server;   /* the certificate that it needs is a server's */
    bool person;   /* it is for a person's own machine, and bundle fills it */
    bool looks_up; /* it reads CRLs */
    recipe_file files[RECIPE_FILES_MAX];
    size_t n;
    cs_buf then;
} recipe_made;
void recipe_made_free(recipe_made *m);

/* What it says of itself: the title, for whom, its own gaps with their defaults into *g (those that are there stay as
 * they are). */
CS_MUST_USE cs_status recipe_head(const recipe *r, recipe_gaps *g, recipe_made *ret, cs_err *err);
/* Head and files. internal-error, with the line, when the recipe itself is wrong: a gap nobody knows, an "end" too
 * many. *ret is to be freed in either case. */
CS_MUST_USE cs_status recipe_fill(const recipe *r, recipe_gaps *g, recipe_made *ret, cs_err *err);

#endif
