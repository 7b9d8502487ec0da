/* crl_priv.h - what the publisher's files share: crl.c decides when a list is made, crl_make.c makes it, crl_lists.c
 * knows where lists stand and shows them. All but showing is the publisher's thread's alone. */
#ifndef CS_AUTHORITY_CRL_PRIV_H
#define CS_AUTHORITY_CRL_PRIV_H

#include "authority/authority_priv.h"

/* Its file: STATE/crl/NAME.crl. */
CS_MUST_USE cs_status crl_path(const authority *a, const char *name, const char *ext, char out[CONF_PATH_MAX],
                               cs_err *err);
/* Every CA's lists, and the addresses under which they stand. */
CS_MUST_USE cs_status crl_lists_make(authority *a, cs_err *err);
/* What was published before, here or by another node: shown, if it is newer than what is shown. */
CS_MUST_USE cs_status crl_list_load(authority *a, crl_list *l, cs_err *err);
/* From now on. Takes fd. */
CS_MUST_USE cs_status crl_list_show(authority *a, crl_list *l, const store_crl *crl, int take_fd, cs_err *err);
/* The delta beside a complete list, or the other way; NULL: there is none. */
crl_list *crl_list_twin(const crl_list *l);
/* STATE/crl/all.crl.pem: the complete lists of all CAs and roots, for servers that read one file of them. */
CS_MUST_USE cs_status crl_bundle_write(authority *a, cs_err *err);

/* One list, built, signed, published; *ret_turn false: another node is at it. */
CS_MUST_USE cs_status crl_list_make(authority *a, crl_list *l, const authority_who *asked_by, cs_err *err);

#endif
