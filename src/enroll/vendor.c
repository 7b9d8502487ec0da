/* What a maker gave its device: a certificate with a serial number (IEEE 802.1AR), or a key whose hash it told us. Both
 * are good once, unless the vendor's are good again, and a device that was revoked does not come back by them. */
#include <stdio.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "x509/digest.h"

enum { ONCE_HASHED = 15 }; /* octets: 24 letters */

static cs_status name_credential(const char *vendor, cs_view what, char out[STORE_ID_MAX + 1], cs_err *err) {
    uint8_t hash[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) b = cs_buf_of(512);
    (void)cs_buf_add_vec16(&b, cs_view_str(vendor));
    (void)cs_buf_add_vec16(&b, what);
    TRY(cs_buf_ok(&b, "a credential", err));
    TRY(cs_sha256(cs_buf_view(&b), hash, err));
    memcpy(out, STORE_ONCE, sizeof STORE_ONCE - 1);
    token_base32(cs_view_of(hash, ONCE_HASHED), out + sizeof STORE_ONCE - 1);
    return CS_OK;
}

typedef struct finding {
    const char *vendor, *serial; /* by these, */
    const uint8_t *key;          /* or by this, */
    const char *name;            /* or by a name that is known by nothing else */
    store_device row;
    bool found, revoked; /* revoked: of the identity so called */
} finding;

static cs_status run_find(void *cls, store *st, cs_err *err) {
    finding *f = cls;
    cs_status status = f->key != NULL ? store_device_by_key(st, f->key, &f->row, err)
                                      : store_device_by_serial(st, f->vendor, f->serial, &f->row, err);
    if (status == CS_REFUSED && f->name != NULL) {
        status = store_device_get(st, f->name, &f->row, err);
        bool other = f->row.serial[0] != '\0' || f->row.has_key ||
                     (f->row.vendor[0] != '\0' && strcmp(f->row.vendor, f->vendor) != 0);
        if (status == CS_OK && other) status = CS_REFUSED;
    }
    f->found = status == CS_OK;
    if (status != CS_OK && status != CS_REFUSED) return status;
    const char *name = f->found ? f->row.name : f->name;
    return name != NULL ? store_identity_revoked(st, CS_KIND_DEVICE, name, &f->revoked, err) : CS_OK;
}

/* What holds of both: is it on the list still, and has nobody taken its certificate away? */
static cs_status admit(enroll *e, const enroll_ask *ask, const finding *f, entitled *ret, cs_err *err) {
    const char *name = f->found ? f->row.name : f->name;
    if (f->found && f->row.not_after != 0 && f->row.not_after < cs_now(e->clock))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_NOT_ALLOWED, "device %s was allowed until a time that has passed",
                       name);
    TRY(cs_identity_make(CS_KIND_DEVICE, cs_view_str(name), &ret->who, err));
    if (f->revoked)
        return cs_fail(err, CS_REFUSED, CS_R_REVOKED, "the last certificate of device %s was; a token lets it in again",
                       name);
    if (f->found && f->row.profile[0] != '\0') (void)snprintf(ret->profile, sizeof ret->profile, "%s", f->row.profile);
    ret->waits = submit_approval(e, ask, CS_KIND_DEVICE) == CONF_APPROVAL_ALWAYS;
    return CS_OK;
}

/* "acme-{serial}" with the serial number in it; what makes no name of a device is refused. */
static cs_status apply_pattern(const char *pattern, const char *serial, cs_identity *ret, cs_err *err) {
    char name[CS_IDENTITY_NAME_MAX + 1];
    const char *at = strstr(pattern, "{serial}");
    int n = at == NULL ? -1
                       : snprintf(name, sizeof name, "%.*s%s%s", (int)(at - pattern), pattern, serial,
                                  at + sizeof "{serial}" - 1);
    if (n < 0 || (size_t)n >= sizeof name) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%.64s", pattern);
    return cs_identity_make(CS_KIND_DEVICE, cs_view_str(name), ret, err);
}

static cs_status map(enroll *e, const enroll_ask *ask, const conf_vendor *v, entitled *ret, cs_err *err) {
    cs_identity made;
    finding f = {.vendor = v->name, .serial = ret->serial};
    if (v->identity != NULL) {
        TRY(apply_pattern(v->identity, ret->serial, &made, err));
        f.name = made.name;
    }
    TRY(authority_read(e->a, run_find, &f, err));
    if (!f.found && v->listed)
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_NOT_ALLOWED, "vendor %s, serial %s", v->name, ret->serial);
    if (v->profile != NULL) (void)snprintf(ret->profile, sizeof ret->profile, "%s", v->profile);
    return admit(e, ask, &f, ret, err);
}

static cs_status entitle_by(enroll *e, const cs_vendors *vendors, const enroll_ask *ask, entitled *ret, cs_err *err) {
    static const cs_certs nothing = {NULL, 0};
    CS_SCOPED(cs_verdict) verdict = {.depth = -1};
    const char *name = NULL;
    (void)snprintf(ret->credential, sizeof ret->credential, "a certificate that is none of ours");
    TRY(cs_vendors_verify(vendors, ask->certificate, ask->chain != NULL ? ask->chain : &nothing, cs_now(e->clock),
                          &name, &verdict, err));
    const conf_vendor *v = conf_vendor_named(e->conf, name);
    if (v == NULL) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "vendor %s", name);
    if (!conf_texts_have(&v->doors, ask->door))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_NOT_ALLOWED, "vendor %s: doors: %s is none of them", name,
                       ask->door);
    if (!cs_maker_serial(ask->certificate, v->serial, ret->serial))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_SERIAL_MISSING, "vendor %s", name);
    (void)snprintf(ret->credential, sizeof ret->credential, "idevid %.32s %.20s", name, ret->serial);
    TRY(name_credential(name, cs_view_str(ret->serial), ret->token, err));
    ret->again = v->again;
    return map(e, ask, v, ret, err);
}

cs_status vendor_entitle(enroll *e, const enroll_ask *ask, entitled *ret, cs_err *err) {
    return entitle_by(e, e->idevids, ask, ret, err);
}

cs_status vendor_check_revoked(enroll *e, const char *name, cs_err *err) {
    finding f = {.vendor = "", .serial = "", .name = name};
    TRY(authority_read(e->a, run_find, &f, err));
    return f.revoked ? cs_fail(err, CS_REFUSED, CS_R_REVOKED, "the last certificate of device %s was", name) : CS_OK;
}

cs_status enroll_attested(enroll *e, const enroll_ask *ask, const char *device, cs_err *err) {
    CS_SCOPED(entitled) who = {.parent = NULL};
    finding f = {.key = ask->certificate->spki_sha256};
    cs_status status = CS_REFUSED;
    if (e->conf->listed_keys) TRY(authority_read(e->a, run_find, &f, err));
    if (f.found)
        status = admit(e, ask, &f, &who, err);
    else if (e->attestors != NULL)
        status = entitle_by(e, e->attestors, ask, &who, err);
    else
        (void)cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no vendor of TPMs is known");
    TRY(status);
    if (strcmp(who.who.name, device) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_DEVICE_NOT_ALLOWED, "the TPM is that of device %s", who.who.name);
}

cs_status vendor_listed_key(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *ret, bool *ret_there,
                            cs_err *err) {
    finding f = {.key = csr->spki_sha256};
    char hex[2 * 8 + 1];
    *ret_there = false;
    if (!e->conf->listed_keys) return CS_OK;
    TRY(authority_read(e->a, run_find, &f, err));
    if (!f.found) return CS_OK;
    *ret_there = true;
    (void)snprintf(ret->credential, sizeof ret->credential, "listed key %s",
                   cs_hex(cs_view_of(csr->spki_sha256, 8), hex));
    TRY(name_credential("", cs_view_of(csr->spki_sha256, sizeof csr->spki_sha256), ret->token, err));
    return admit(e, ask, &f, ret, err);
}
