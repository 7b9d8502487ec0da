/* When a certificate should be renewed (RFC 9773): for anybody who has it, whichever protocol it came by. */
#include "proto/acme/acme_priv.h"

cs_status acme_renewal_info(acme_call *x, cs_err *err) {
    char aki[2 * 64 + 1], serial[STORE_SERIAL_TEXT];
    enroll_window w;
    cs_json j = cs_json_to(&x->c->out);
    TRY(cert_id_read(x->id, aki, serial, err));
    TRY(enroll_window_of(x->m->e, serial, aki, &w, err));
    cs_json_object(&j, NULL);
    cs_json_object(&j, "suggestedWindow");
    cs_json_time(&j, "start", w.start - w.start % CS_SEC);
    cs_json_time(&j, "end", w.end - w.end % CS_SEC);
    cs_json_object_end(&j);
    cs_json_object_end(&j);
    rest_retry_after(x->c, ACME_ASK_AGAIN);
    return CS_OK;
}
