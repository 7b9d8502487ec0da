/* When should a certificate be renewed? What ACME's clients are told (RFC 9773), whatever the protocol it came by. */
#include <string.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"

typedef struct asking {
    const char *serial;
    store_cert row;
} asking;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    asking *q = cls;
    TRY(store_cert_by_serial(st, q->serial, &q->row, err));
    q->row.der = (cs_view){NULL, 0}; /* borrowed of this verb */
    return CS_OK;
}

/* Wide enough that many who were issued at once do not come back at once: a twelfth of the life. */
static enroll_window by_age(const store_cert *row) {
    cs_time life = row->not_after - row->not_before, start = row->not_before + life / 3 * 2;
    return (enroll_window){start, start + life / 12 + CS_SEC};
}

cs_status enroll_window_of(enroll *e, const char *serial, const char *issuer_skid, enroll_window *ret, cs_err *err) {
    asking q = {.serial = serial};
    char skid[2 * 64 + 1] = "";
    TRY(authority_read(e->a, run_get, &q, err));
    const authority_ca *ca = authority_ca_of(e->a, q.row.issuer);
    if (ca != NULL && ca->cert->skid.n <= 64) (void)cs_hex(ca->cert->skid, skid);
    if (q.row.status == STORE_INTENT || ca == NULL || strcmp(skid, issuer_skid) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", serial);
    *ret = by_age(&q.row);
    if (q.row.status != STORE_ISSUED) *ret = (enroll_window){q.row.revoked_at - CS_HOUR, q.row.revoked_at};
    return CS_OK;
}
