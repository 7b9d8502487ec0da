#include "x509/crl.h"

#include <stdlib.h>

enum { CRL_EXTS_MAX = 32, PER_BUCKET = 8 };

int cs_integer_cmp(cs_view a, cs_view b) {
    while (a.n > 1 && a.p[0] == 0) a = (cs_view){a.p + 1, a.n - 1};
    while (b.n > 1 && b.p[0] == 0) b = (cs_view){b.p + 1, b.n - 1};
    if (a.n != b.n) return a.n < b.n ? -1 : 1;
    return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

static uint32_t bucket_of(const cs_crl *c, cs_view serial) {
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < serial.n; i++) h = (h ^ serial.p[i]) * 0x100000001b3ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    return c->bucket_bits ? (uint32_t)(h >> (64 - c->bucket_bits)) : 0;
}

/* ---- entries ---- */

typedef struct entry {
    cs_view serial, issuer_names; /* issuer_names: GeneralNames contents; n == 0: as the one before */
    cs_crl_entry e;
    cs_view critical_unknown;
} entry;

/* @rfc 5280#5.3 */
static void read_entry_ext(cs_der *x, entry *e) {
    bool critical = false;
    cs_view oid = cs_der_oid(x);
    if (cs_der_peek(x) == CS_DER_BOOLEAN) critical = cs_der_bool(x);
    cs_der value = cs_der_in(x, CS_DER_OCTET_STRING);
    cs_der_end(x);
    if (cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x15"))) { /* reasonCode */
        cs_view v = cs_der_get(&value, CS_DER_ENUMERATED);
        e->e.reason = (int)cs_der_uint_of(&value, v, 10);
        cs_der_end(&value);
    } else if (cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x1d"))) { /* certificateIssuer */
        e->issuer_names = cs_der_get(&value, CS_DER_SEQUENCE);
        cs_der_end(&value);
        if (cs_der_ok(x) && e->issuer_names.n == 0) cs_der_bad(x, "an empty certificateIssuer");
    } else if (cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x17")) || cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x18"))) {
        return; /* holdInstructionCode, invalidityDate: for information */
    } else if (critical) {
        e->critical_unknown = oid;
    }
}

static bool read_entry(cs_der *list, entry *e) {
    *e = (entry){0};
    if (!cs_der_more(list)) return false;
    cs_der s = cs_der_in(list, CS_DER_SEQUENCE), exts;
    e->serial = cs_der_integer(&s);
    e->e.at = cs_der_time(&s, NULL);
    if (cs_der_in_opt(&s, CS_DER_SEQUENCE, &exts)) {
        if (exts.left == 0) cs_der_bad(&exts, "an empty list");
        while (cs_der_more(&exts)) {
            cs_der x = cs_der_in(&exts, CS_DER_SEQUENCE);
            read_entry_ext(&x, e);
        }
    }
    cs_der_end(&s);
    return cs_der_ok(list);
}

/* First pass: every entry is well-formed; counts them. */
static void check_entries(cs_crl *c, cs_der_fault *fault) {
    cs_der list = cs_der_of(c->entries, fault);
    entry e;
    while (read_entry(&list, &e)) {
        c->count++;
        if (e.critical_unknown.n && c->flaw_critical.reason == CS_R_NONE)
            c->flaw_critical =
                (cs_flaw){CS_R_CRL_INVALID, "crlEntryExtensions", "critical and not understood", e.critical_unknown};
        if (e.issuer_names.n && !c->idp.indirect)
            cs_flaw_note(&c->flaw, CS_R_CRL_INVALID, "certificateIssuer", "in a CRL that is not indirect");
    }
}

/* Second pass: offsets by bucket. */
static cs_status index_entries(cs_crl *c, cs_err *err) {
    while (((size_t)PER_BUCKET << c->bucket_bits) < c->count && c->bucket_bits < 26) c->bucket_bits++;
    size_t buckets = (size_t)1 << c->bucket_bits;
    c->first = calloc(buckets + 2, sizeof *c->first);
    c->index = malloc((c->count + 1) * sizeof *c->index);
    if (c->idp.indirect) c->by_issuer = calloc(c->count + 1, sizeof *c->by_issuer);
    if (!c->first || !c->index || (c->idp.indirect && !c->by_issuer)) return CS_NOMEM_ERR(err);
    cs_der_fault fault = {0};
    cs_der list = cs_der_of(c->entries, &fault);
    entry e;
    while (read_entry(&list, &e)) c->first[bucket_of(c, e.serial) + 2]++;
    for (size_t b = 0; b < buckets; b++) c->first[b + 2] += c->first[b + 1];
    uint32_t issuer = 0;
    list = cs_der_of(c->entries, &fault);
    for (;;) {
        uint32_t offset = (uint32_t)(c->entries.n - list.left);
        if (!read_entry(&list, &e)) break;
        if (e.issuer_names.n) issuer = offset + 1;
        uint32_t at = c->first[bucket_of(c, e.serial) + 1]++;
        c->index[at] = offset;
        if (c->by_issuer) c->by_issuer[at] = issuer;
    }
    return CS_OK;
}

static bool entry_at(const cs_crl *c, uint32_t offset, entry *e) {
    cs_der_fault fault = {0};
    cs_der list = cs_der_of((cs_view){c->entries.p + offset, c->entries.n - offset}, &fault);
    return read_entry(&list, e);
}

/* @rfc 5280#5.3.3: of the entry itself or of the last one before it that names an issuer. */
static bool entry_is_of(const cs_crl *c, uint32_t named_at, cs_view cert_issuer) {
    entry e;
    if (named_at == 0) return cs_name_eq(c->issuer, cert_issuer);
    if (!entry_at(c, named_at - 1, &e)) return false;
    cs_der_fault fault = {0};
    cs_der names = cs_der_of(e.issuer_names, &fault);
    while (cs_der_more(&names)) {
        cs_san_type type;
        cs_view v = cs_general_name(&names, &type, false);
        if (cs_der_ok(&names) && type == CS_SAN_DIRNAME && cs_name_eq(v, cert_issuer)) return true;
    }
    return false;
}

bool cs_crl_find(const cs_crl *c, cs_view cert_issuer, cs_view serial, cs_crl_entry *ret) {
    if (!c->index || serial.n == 0) return false;
    uint32_t b = bucket_of(c, serial);
    bool found = false;
    for (uint32_t i = c->first[b]; i < c->first[b + 1]; i++) {
        entry e;
        if (!entry_at(c, c->index[i], &e) || !cs_view_eq(e.serial, serial)) continue;
        if (c->by_issuer ? !entry_is_of(c, c->by_issuer[i], cert_issuer) : !cs_name_eq(c->issuer, cert_issuer))
            continue;
        *ret = e.e; /* of doubles the last one wins */
        found = true;
    }
    return found;
}

bool cs_crl_next(const cs_crl *c, size_t *pos, cs_view *ret_serial, cs_crl_entry *ret) {
    entry e;
    if (*pos >= c->entries.n || !entry_at(c, (uint32_t)*pos, &e)) return false;
    cs_der_fault fault = {0};
    cs_der list = cs_der_of((cs_view){c->entries.p + *pos, c->entries.n - *pos}, &fault);
    *pos += cs_der_get_whole(&list, CS_DER_SEQUENCE).n;
    *ret_serial = e.serial;
    *ret = e.e;
    return true;
}

/* ---- extensions of the CRL ---- */

static void read_idp(cs_crl *c, cs_der *d) {
    cs_idp *i = &c->idp;
    cs_view v;
    i->present = true;
    i->whole = (cs_view){d->p, d->left};
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE), name;
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &name)) {
        if (!cs_der_opt(&name, CS_DER_CTX_CONS(0), &i->full_name)) i->relative = cs_der_get(&name, CS_DER_CTX_CONS(1));
        cs_der_end(&name);
        if (cs_der_ok(d) && i->full_name.n == 0 && i->relative.n == 0) cs_der_bad(d, "an empty distributionPoint");
    }
    bool *const flags[] = {&i->only_user, &i->only_ca, NULL, &i->indirect, &i->only_attribute};
    for (uint8_t n = 1; n <= 5; n++) {
        if (!cs_der_opt(&s, CS_DER_CTX(n), &v)) continue;
        if (n == 3) {
            i->has_reasons = true;
            i->reasons = cs_der_named_bits_of(&s, v);
        } else if (v.n != 1 || v.p[0] != 0xff) {
            cs_der_bad(&s, "a BOOLEAN that is not TRUE"); /* FALSE is the default and left out */
        } else {
            *flags[n - 1] = true;
        }
    }
    cs_der_end(&s);
    if (i->only_user + i->only_ca + i->only_attribute > 1) /* @rfc 5280#5.2.5 */
        cs_flaw_note(&c->flaw, CS_R_CRL_INVALID, "issuingDistributionPoint", "more than one of the three scopes");
}

static void read_ext(cs_crl *c, cs_view oid, bool critical, cs_der *d) {
    uint8_t last = oid.n == 3 && oid.p[0] == 0x55 && oid.p[1] == 0x1d ? oid.p[2] : 0;
    if (last == 0x14) { /* cRLNumber */
        c->number = cs_der_integer(d);
        c->has_number = true;
        if (cs_der_ok(d) && c->number.p[0] & 0x80)
            cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "cRLNumber", "is negative");
        if (c->number.n > CS_SERIAL_MAX + 1)
            cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "cRLNumber", "has more than 20 octets");
        if (critical) cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "cRLNumber", "must not be critical");
    } else if (last == 0x1b) { /* deltaCRLIndicator */
        c->base_number = cs_der_integer(d);
        c->is_delta = true;
        if (!critical) cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "deltaCRLIndicator", "must be critical");
    } else if (last == 0x1c) {
        read_idp(c, d);
        if (!critical) cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "issuingDistributionPoint", "must be critical");
    } else if (last == 0x23) { /* authorityKeyIdentifier */
        cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
        cs_der_opt(&s, CS_DER_CTX(0), &c->akid);
    } else if (critical && c->flaw_critical.reason == CS_R_NONE) {
        c->flaw_critical = (cs_flaw){CS_R_CRL_INVALID, "crlExtensions", "critical and not understood", oid};
    }
}

static void read_exts(cs_crl *c, cs_view extensions, cs_der_fault *fault) {
    cs_view seen[CRL_EXTS_MAX];
    size_t n = 0;
    cs_der list = cs_der_of(extensions, fault);
    if (list.left == 0) cs_der_bad(&list, "an empty list");
    while (cs_der_more(&list)) {
        fault->field = "crlExtensions";
        cs_der e = cs_der_in(&list, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&e);
        bool critical = cs_der_peek(&e) == CS_DER_BOOLEAN && cs_der_bool(&e);
        cs_der value = cs_der_in(&e, CS_DER_OCTET_STRING);
        cs_der_end(&e);
        for (size_t i = 0; i < n; i++) {
            if (cs_view_eq(seen[i], oid)) cs_der_bad(&list, "the same extension twice");
        }
        if (n == CRL_EXTS_MAX) cs_der_bad(&list, "more than 32 of them");
        if (!cs_der_ok(&list)) return;
        seen[n++] = oid;
        read_ext(c, oid, critical, &value);
    }
}

/* ---- the list ---- */

/* @rfc 5280#5.1.2 */
static void read_tbs(cs_crl *c, cs_view tbs_in, cs_view outer_alg, cs_der_fault *fault) {
    cs_der t = cs_der_of(tbs_in, fault), x;
    uint64_t version = 0;
    fault->field = "version";
    if (cs_der_peek(&t) == CS_DER_INTEGER) {
        version = cs_der_uint(&t, 1);
        if (version != 1) cs_der_bad(&t, "is written out and not 2");
    }
    fault->field = "signature";
    cs_view inner = cs_der_get_whole(&t, CS_DER_SEQUENCE);
    if (!fault->rule) cs_sigalg_read(inner, &c->alg);
    if (!fault->rule && !cs_view_eq(inner, outer_alg))
        cs_flaw_note(&c->flaw, CS_R_CRL_INVALID, "signatureAlgorithm",
                     "differs from the algorithm inside the signed part");
    fault->field = "issuer";
    c->issuer = cs_der_get_whole(&t, CS_DER_SEQUENCE);
    cs_name_check(c->issuer, fault, NULL);
    if (!fault->rule && cs_name_empty(c->issuer)) cs_der_bad(&t, "is empty");
    fault->field = "thisUpdate";
    c->this_update = cs_der_time(&t, NULL);
    fault->field = "nextUpdate";
    int tag = cs_der_peek(&t);
    if (tag == CS_DER_UTC_TIME || tag == CS_DER_GENERALIZED_TIME) {
        c->has_next_update = true;
        c->next_update = cs_der_time(&t, NULL);
    }
    cs_view exts = {NULL, 0};
    fault->field = "revokedCertificates";
    bool listed = cs_der_opt(&t, CS_DER_SEQUENCE, &c->entries);
    if (listed && c->entries.n == 0) /* @rfc 5280#5.1.2.6: then the list MUST be absent */
        cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "revokedCertificates", "is an empty list");
    fault->field = "crlExtensions";
    if (cs_der_in_opt(&t, CS_DER_CTX_CONS(0), &x)) {
        exts = cs_der_get(&x, CS_DER_SEQUENCE);
        cs_der_end(&x);
        if (version != 1)
            cs_der_bad(&t, "are of version 2 only");
        else
            read_exts(c, exts, fault);
    }
    fault->field = "tbsCertList";
    cs_der_end(&t);
    fault->field = "revokedCertificates";
    if (!fault->rule) check_entries(c, fault);
    if (!c->has_number) cs_flaw_note(&c->flaw_strict, CS_R_CRL_INVALID, "cRLNumber", "is missing");
}

cs_status cs_crl_decode(cs_view der, cs_crl **ret, cs_err *err) {
    CS_SCOPED(cs_buf) copy = cs_buf_of(CS_CRL_MAX);
    if (der.n > CS_CRL_MAX) return cs_fail(err, CS_LIMIT, CS_R_CRL_INVALID, "a CRL of %zu bytes", der.n);
    if (!cs_buf_add_view(&copy, der)) return CS_NOMEM_ERR(err);
    return cs_crl_decode_take(&copy, ret, err);
}

cs_status cs_crl_decode_take(cs_buf *take, cs_crl **ret, cs_err *err) {
    CS_AUTO(cs_crl) c = calloc(1, sizeof *c);
    if (!c) return CS_NOMEM_ERR(err);
    c->refs = 1;
    c->owned = take->p;
    c->der = cs_buf_view(take);
    *take = cs_buf_of(take->max);
    if (c->der.n > CS_CRL_MAX) return cs_fail(err, CS_LIMIT, CS_R_CRL_INVALID, "a CRL of %zu bytes", c->der.n);
    cs_der_fault fault = {.field = "CRL"};
    cs_der d = cs_der_of(c->der, &fault);
    cs_der s = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der_end(&d);
    cs_der peek = s;
    c->tbs = cs_der_get_whole(&s, CS_DER_SEQUENCE);
    cs_view tbs_in = cs_der_get(&peek, CS_DER_SEQUENCE);
    cs_view alg = cs_der_get_whole(&s, CS_DER_SEQUENCE);
    cs_view sig = cs_der_get(&s, CS_DER_BIT_STRING);
    cs_der_end(&s);
    if (fault.rule) return cs_fail(err, CS_REFUSED, CS_R_CRL_INVALID, "no CRL: %s", fault.rule);
    read_tbs(c, tbs_in, alg, &fault);
    fault.field = fault.rule ? fault.field : "signatureValue";
    c->sig = cs_der_bits_of(&s, sig, NULL);
    if (fault.rule) { /* it has the form of one: a verdict names what is wrong in it */
        c->flaw = (cs_flaw){CS_R_CRL_INVALID, fault.field, fault.rule, {NULL, 0}};
        c->entries.n = c->count = 0;
    }
    c->issuer_hash = cs_name_hash(c->issuer);
    TRY(index_entries(c, err));
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_crl *cs_crl_ref(const cs_crl *c) {
    cs_crl *held = (cs_crl *)(uintptr_t)c;
    if (held) __atomic_add_fetch(&held->refs, 1, __ATOMIC_RELAXED);
    return held;
}

void cs_crl_free(cs_crl *c) {
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    free(c->owned);
    free(c->index);
    free(c->first);
    free(c->by_issuer);
    free(c);
}
