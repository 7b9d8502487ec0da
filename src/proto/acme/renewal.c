/* When a certificate should be renewed (RFC 9773): for anybody who has it, whichever protocol it came by. */
#include "base/text.h"

#include "proto/acme/acme_priv.h"

static void put(rest_call *c, const enroll_window *w) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_object(&j, "suggestedWindow");
    cs_json_time(&j, "start", w->start - w->start % CS_SEC);
    cs_json_time(&j, "end", w->end - w->end % CS_SEC);
    cs_json_object_end(&j);
    cs_json_object_end(&j);
    rest_retry_after(c, ACME_ASK_AGAIN);
}

static cs_status of_id(rest_call *c, const char *id, cs_err *err) {
    char aki[2 * 64 + 1], serial[STORE_SERIAL_TEXT];
    enroll_window w;
    TRY(cert_id_read(id, aki, serial, err));
    TRY(enroll_window_of(c->e, serial, aki, &w, err));
    put(c, &w);
    return CS_OK;
}

cs_status acme_renewal_info(acme_call *x, cs_err *err) {
    return of_id(x->c, x->id, err);
}

/* The same for clients of other protocols: /renewal-info/ID, or without an ID of the certificate that the gateway saw.
 */
cs_status renewal_info(rest_call *c, cs_err *err) {
    char serial[STORE_SERIAL_TEXT], aki[2 * 64 + 1];
    CS_AUTO(cs_cert) client = NULL;
    enroll_window w;
    c->quiet = true;
    if (c->rest[0] != '\0') return of_id(c, c->rest, err);
    TRY(rest_client_cert(c, &client, err));
    if (client == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED,
                       "without one, name it: /renewal-info/ID (RFC 9773 4.1)");
    if (client->serial.n > CS_SERIAL_MAX || client->akid.n == 0 || client->akid.n > 64)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "it is none of ours");
    TRY(enroll_window_of(c->e, cs_hex(client->serial, serial), cs_hex(client->akid, aki), &w, err));
    put(c, &w);
    return CS_OK;
}
