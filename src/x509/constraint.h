/* x509/constraint.h - name constraints that people type, for the CA certificates that we build.   @rfc 5280#4.2.1.10
 * Plain values; nothing is owned. */
#ifndef CS_X509_CONSTRAINT_H
#define CS_X509_CONSTRAINT_H

#include "x509/cert.h"

enum { CS_CONSTRAINTS_MAX = 32, CS_CONSTRAINT_BASE_MAX = 254 };
typedef struct cs_constraint {
    cs_san_type type;
    uint8_t base[CS_CONSTRAINT_BASE_MAX]; /* as it stands in the certificate */
    size_t n;
} cs_constraint;

/* "dns:corp.example" (and all beneath it), "email:corp.example" (all boxes of that host; ".corp.example": of hosts
 * beneath it), "uri:corp.example" (likewise), "ip:10.0.0.0/8", "ip:fd00::/8". name-invalid. */
CS_MUST_USE cs_status cs_constraint_parse(cs_view text, cs_constraint *ret, cs_err *err);

#endif
