/* authority/admins.h - who may do what over the API: identities of ours with roles. Kept in the store, changed only
 * through the writer, each change an audit record. Any thread. */
#ifndef CS_AUTHORITY_ADMINS_H
#define CS_AUTHORITY_ADMINS_H

#include "authority/authority.h"

enum {
    ROLE_ISSUER = 1 << 0,   /* issues, revokes, holds, releases */
    ROLE_APPROVER = 1 << 1, /* decides on requests and proposals */
    ROLE_AUDITOR = 1 << 2,  /* reads, the audit log too */
    ROLE_OPERATOR = 1 << 3, /* publishes, configures, says who is an administrator */
    ROLE_ANY = ROLE_ISSUER | ROLE_APPROVER | ROLE_AUDITOR | ROLE_OPERATOR,
    ROLE_TEXT_MAX = 48,
};

/* "issuer", "approver", "auditor", "operator", "all", or several with commas. usage naming the choices. */
CS_MUST_USE cs_status admin_roles_parse(cs_view text, unsigned *ret, cs_err *err);
/* "issuer,auditor" */
const char *admin_roles_text(unsigned roles, char out[ROLE_TEXT_MAX]);

/* Who holds the certificate with that serial and SHA-256, and with which roles? It must be one of ours, valid now and
 * not revoked. *who gets name and serial. certificate-unknown, revoked, certificate-expired; roles 0: no administrator.
 */
CS_MUST_USE cs_status admin_of_certificate(authority *a, const char *serial, const uint8_t sha256[32],
                                           authority_who *who, unsigned *ret_roles, cs_err *err);

/* An administrator was let in: the first time in an hour, from that address, it is a record. */
CS_MUST_USE cs_status admin_login(authority *a, const authority_who *who, unsigned roles, cs_err *err);
/* Somebody who is no administrator was not: is it to be recorded? Once a minute for an address, lest strangers fill the
 * log. */
bool admin_refusal_counts(authority *a, const char *event, const authority_who *who);

/* kind and name as cs_identity_make has them; roles are added to those that the identity has. name-invalid. */
CS_MUST_USE cs_status admin_add(authority *a, cs_kind kind, cs_view name, unsigned roles, const authority_who *by,
                                unsigned *ret_roles, cs_err *err);
/* roles: which are taken; none are left: no administrator any more. admin-unknown. */
CS_MUST_USE cs_status admin_remove(authority *a, cs_kind kind, cs_view name, unsigned roles, const authority_who *by,
                                   unsigned *ret_roles, cs_err *err);

#endif
