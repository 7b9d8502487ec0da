/* cli/profile.h - what the verbs of countersign profile share. One thread; texts are borrowed until said. */
#ifndef CS_CLI_PROFILE_H
#define CS_CLI_PROFILE_H

#include "cli/cli.h"
#include "x509/profile.h"

/* Lines of FIELD, VALUE and WHY for people, or objects of a JSON list that is open. */
typedef struct saying {
    cs_buf *b;
    cs_json *j; /* NULL: for people */
} saying;
/* why may be NULL; refused: it is the reason for which nothing would be issued. */
void say_field(const saying *s, const char *field, const char *value, const char *why, bool refused);

/* Lists as "a, b", into b, which is cleared first; "" for none. */
void words_of_keys(const cs_profile *p, cs_buf *b);
void words_of_key_usage(unsigned mask, cs_buf *b);
void words_of_eku(unsigned mask, cs_buf *b);
void words_of_doors(const cs_profile *p, cs_buf *b);
const char *word_of_source(cs_from from);

/* Every rule of a profile. */
void say_profile(const saying *s, const cs_profile *p);

typedef struct try_said {
    conf_overrides conf;
    const char *csr, *profile, *name, *lifetime, *door;
    cli_texts dns, ip, email;
} try_said;
/* What a request would get, field by field. *ret_refused: nothing would be issued. */
CS_MUST_USE cs_status try_request(const try_said *said, const conf *c, const saying *s, bool *ret_refused, cs_err *err);

#endif
