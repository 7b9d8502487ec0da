#include "proto/scep/scep_msg.h"

#include <stdio.h>

#include "base/text.h"
#include "x509/der_write.h"

/* 2.16.840.1.113733.1.9.N, and failInfoText. */
#define OID_SCEP "\x60\x86\x48\x01\x86\xf8\x45\x01\x09"
#define OID_TYPE CS_OID_LIT(OID_SCEP "\x02")
#define OID_STATUS CS_OID_LIT(OID_SCEP "\x03")
#define OID_FAIL CS_OID_LIT(OID_SCEP "\x04")
#define OID_SENDER_NONCE CS_OID_LIT(OID_SCEP "\x05")
#define OID_RECIPIENT_NONCE CS_OID_LIT(OID_SCEP "\x06")
#define OID_TRANSACTION CS_OID_LIT(OID_SCEP "\x07")
#define OID_FAIL_TEXT CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x18\x01")

const char *scep_type_name(scep_type type) {
    switch (type) {
    case SCEP_CERT_REP: return "CertRep";
    case SCEP_RENEWAL_REQ: return "RenewalReq";
    case SCEP_PKCS_REQ: return "PKCSReq";
    case SCEP_CERT_POLL: return "CertPoll";
    case SCEP_GET_CERT: return "GetCert";
    case SCEP_GET_CRL: return "GetCRL";
    case SCEP_NO_TYPE: break;
    }
    return "unknown";
}

const char *scep_fail_name(scep_fail fail) {
    static const char *const names[] = {"badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId"};
    return (size_t)fail < sizeof names / sizeof *names ? names[fail] : "unknown";
}

void scep_msg_free(scep_msg *m) {
    cs_cms_signed_free(&m->cms);
}

/* ---- read ---- */

static cs_status bad(cs_err *err, const char *what) {
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SCEP: %s", what);
}

/* Text of any of the string types that are used for it, in visible ASCII and spaces. */
static bool read_text(cs_view value, char *out, size_t cap) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(value, &fault);
    uint8_t tag = 0;
    cs_view text = cs_der_any(&d, &tag, NULL);
    bool string = tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_UTF8_STRING || tag == CS_DER_IA5_STRING;
    if (fault.rule != NULL || d.left > 0 || !string || text.n == 0 || text.n >= cap) return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20 || text.p[i] > 0x7e) return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

/* A decimal number of at most three digits, without leading zeros; -1: it is none. */
static int read_number(cs_view value) {
    char text[4];
    if (!read_text(value, text, sizeof text) || (text[0] == '0' && text[1] != '\0')) return -1;
    int n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') return -1;
        n = 10 * n + (*p - '0');
    }
    return n;
}

static bool read_nonce(cs_view value, uint8_t out[SCEP_NONCE_LEN]) {
    if (value.n != 2 + SCEP_NONCE_LEN || value.p[0] != CS_DER_OCTET_STRING || value.p[1] != SCEP_NONCE_LEN)
        return false;
    memcpy(out, value.p + 2, SCEP_NONCE_LEN);
    return true;
}

static scep_type type_of(int n) {
    switch (n) {
    case SCEP_CERT_REP:
    case SCEP_RENEWAL_REQ:
    case SCEP_PKCS_REQ:
    case SCEP_CERT_POLL:
    case SCEP_GET_CERT:
    case SCEP_GET_CRL: return (scep_type)n;
    default: return SCEP_NO_TYPE;
    }
}

/* @rfc 8894#3.2.1 */
static cs_status read_answer(scep_msg *m, cs_err *err) {
    int status = read_number(cs_cms_attr_find(&m->cms, OID_STATUS));
    int fail = read_number(cs_cms_attr_find(&m->cms, OID_FAIL));
    cs_view text = cs_cms_attr_find(&m->cms, OID_FAIL_TEXT);
    if (status != SCEP_SUCCESS && status != SCEP_FAILURE && status != SCEP_PENDING)
        return bad(err, "pkiStatus is missing or unknown");
    m->status = (scep_status)status;
    m->has_fail = fail >= SCEP_BAD_ALG && fail <= SCEP_BAD_CERT_ID;
    if (m->has_fail) m->fail = (scep_fail)fail;
    if (status == SCEP_FAILURE && !m->has_fail) return bad(err, "a failure without failInfo");
    if (text.n > 0 && !read_text(text, m->fail_text, sizeof m->fail_text)) m->fail_text[0] = '\0';
    return CS_OK;
}

static cs_status read_attrs(scep_msg *m, cs_err *err) {
    cs_view sender = cs_cms_attr_find(&m->cms, OID_SENDER_NONCE);
    cs_view recipient = cs_cms_attr_find(&m->cms, OID_RECIPIENT_NONCE);
    if (!read_text(cs_cms_attr_find(&m->cms, OID_TRANSACTION), m->transaction, sizeof m->transaction))
        return bad(err, "transactionID is missing, doubled, or not 1 to 128 printable characters");
    m->has_sender_nonce = read_nonce(sender, m->sender_nonce);
    m->has_recipient_nonce = read_nonce(recipient, m->recipient_nonce);
    m->type = type_of(read_number(cs_cms_attr_find(&m->cms, OID_TYPE)));
    if (m->type == SCEP_NO_TYPE) return bad(err, "messageType is missing, doubled or unknown");
    if (recipient.n > 0 && !m->has_recipient_nonce) return bad(err, "recipientNonce has not 16 octets");
    if (m->type == SCEP_CERT_REP) return read_answer(m, err);
    if (!m->has_sender_nonce) return bad(err, "senderNonce is missing, doubled, or has not 16 octets");
    return CS_OK;
}

cs_status scep_msg_read(cs_view ber, bool weak, scep_msg *ret, cs_err *err) {
    *ret = (scep_msg){.type = SCEP_NO_TYPE};
    cs_err ignored;
    cs_status status = cs_cms_signed_read(ber, weak, &ret->cms, err);
    if (status == CS_OK) return read_attrs(ret, err);
    (void)!read_attrs(ret, &ignored);
    return status;
}

/* ---- made ---- */

typedef struct attrs {
    cs_buf octets;
    cs_cms_attr at[8];
    size_t start[8], n;
} attrs;

static void attr_open(attrs *a, cs_view oid) {
    a->at[a->n].oid = oid;
    a->start[a->n++] = a->octets.n;
}

static void put_text(attrs *a, cs_view oid, uint8_t tag, const char *text) {
    attr_open(a, oid);
    cs_der_put_str(&a->octets, tag, text);
}

static void put_number(attrs *a, cs_view oid, int n) {
    char text[4];
    (void)snprintf(text, sizeof text, "%d", n);
    put_text(a, oid, CS_DER_PRINTABLE_STRING, text);
}

static void put_nonce(attrs *a, cs_view oid, const uint8_t *nonce) {
    if (nonce == NULL) return;
    attr_open(a, oid);
    cs_der_put(&a->octets, CS_DER_OCTET_STRING, cs_view_of(nonce, SCEP_NONCE_LEN));
}

cs_status scep_msg_make(const scep_say *say, cs_buf *out, cs_err *err) {
    attrs a = {.octets = cs_buf_of(4096)};
    put_number(&a, OID_TYPE, (int)say->type);
    put_text(&a, OID_TRANSACTION, CS_DER_PRINTABLE_STRING, say->transaction);
    put_nonce(&a, OID_SENDER_NONCE, say->sender_nonce);
    put_nonce(&a, OID_RECIPIENT_NONCE, say->recipient_nonce);
    if (say->type == SCEP_CERT_REP) {
        put_number(&a, OID_STATUS, (int)say->status);
        if (say->status == SCEP_FAILURE) put_number(&a, OID_FAIL, (int)say->fail);
        if (say->fail_text != NULL) put_text(&a, OID_FAIL_TEXT, CS_DER_UTF8_STRING, say->fail_text);
    }
    for (size_t i = 0; i < a.n; i++) {
        size_t end = i + 1 < a.n ? a.start[i + 1] : a.octets.n;
        a.at[i].value = cs_view_of(a.octets.p + a.start[i], end - a.start[i]);
    }
    cs_cms_sign_ask ask = {.content = say->content,
                           .key = say->key,
                           .signer = say->signer,
                           .more = say->more,
                           .more_count = say->more_count,
                           .attrs = a.at,
                           .attr_count = a.n,
                           .digest = say->digest};
    cs_status status = cs_buf_ok(&a.octets, "SCEP's attributes", err);
    if (status == CS_OK) status = cs_cms_sign(&ask, out, err);
    cs_buf_free(&a.octets);
    return status;
}

/* ---- what is inside ---- */

cs_status scep_issuer_subject_read(cs_view der, cs_view *ret_issuer, cs_view *ret_subject, cs_err *err) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(der, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    *ret_issuer = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    *ret_subject = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    cs_der_end(&in);
    cs_der_end(&d);
    return fault.rule == NULL ? CS_OK : bad(err, "IssuerAndSubject");
}

void scep_issuer_subject_put(cs_buf *b, cs_view issuer, cs_view subject) {
    cs_der_mark all = cs_der_open(b, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(b, issuer);
    (void)cs_buf_add_view(b, subject);
    cs_der_close(b, all);
}

cs_status scep_issuer_serial_read(cs_view der, cs_view *ret_issuer, cs_view *ret_serial, cs_err *err) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(der, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    *ret_issuer = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    *ret_serial = cs_der_integer(&in);
    cs_der_end(&in);
    cs_der_end(&d);
    return fault.rule == NULL ? CS_OK : bad(err, "IssuerAndSerialNumber");
}

/* ---- HTTP ---- */

cs_status scep_op_read(cs_view text, scep_op *ret, cs_err *err) {
    static const struct {
        const char *name;
        scep_op op;
    } ops[] = {{"", SCEP_OP_PKI},
               {"PKIOperation", SCEP_OP_PKI},
               {"GetCACaps", SCEP_OP_CAPS},
               {"GetCACert", SCEP_OP_CACERT},
               {"GetNextCACert", SCEP_OP_NEXT_CACERT}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!cs_view_eq_nocase(text, cs_view_str(ops[i].name))) continue;
        *ret = ops[i].op;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_OPERATION_UNSUPPORTED, "no operation of SCEP");
}

cs_status scep_path_read(cs_view rest, char label[SCEP_LABEL_MAX + 1], cs_err *err) {
    static const char *const tails[] = {"/cgi-bin/pkiclient.exe", "/pkiclient.exe"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        cs_view tail = cs_view_str(tails[i]);
        if (rest.n < tail.n || !cs_view_eq(cs_view_of(rest.p + rest.n - tail.n, tail.n), tail)) continue;
        rest.n -= tail.n;
        break;
    }
    label[0] = '\0';
    if (rest.n == 0) return CS_OK;
    size_t n = rest.n - 1;
    if (rest.p[0] != '/' || n == 0 || n > SCEP_LABEL_MAX || memchr(rest.p + 1, '/', n) != NULL ||
        memchr(rest.p, '\0', rest.n) != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "/scep or /scep/LABEL is expected");
    memcpy(label, rest.p + 1, n);
    label[n] = '\0';
    return CS_OK;
}

cs_status scep_query_read(cs_view text, cs_buf *der, cs_err *err) {
    CS_SCOPED(cs_buf) clean = cs_buf_of((size_t)2 * CS_CMS_MESSAGE_MAX);
    for (size_t i = 0; i < text.n; i++) (void)cs_buf_add_byte(&clean, text.p[i] == ' ' ? '+' : text.p[i]);
    if (!clean.failed && clean.n > 0 && cs_base64_decode(cs_buf_view(&clean), true, der) && !der->failed) return CS_OK;
    return bad(err, "the query's message is not base64");
}

static const struct {
    unsigned bit;
    const char *name;
} caps_names[] = {{SCEP_CAP_AES, "AES"},
                  {SCEP_CAP_3DES, "DES3"},
                  {SCEP_CAP_NEXT_CA, "GetNextCACert"},
                  {SCEP_CAP_POST, "POSTPKIOperation"},
                  {SCEP_CAP_RENEWAL, "Renewal"},
                  {SCEP_CAP_SHA1, "SHA-1"},
                  {SCEP_CAP_SHA256, "SHA-256"},
                  {SCEP_CAP_SHA384, "SHA-384"},
                  {SCEP_CAP_SHA512, "SHA-512"},
                  {SCEP_CAP_STANDARD, "SCEPStandard"}};

bool scep_caps_put(cs_buf *b, unsigned caps) {
    for (size_t i = 0; i < sizeof caps_names / sizeof *caps_names; i++)
        if ((caps & caps_names[i].bit) != 0) (void)cs_buf_addf(b, "%s\n", caps_names[i].name);
    return !b->failed;
}

unsigned scep_caps_read(cs_view text) {
    unsigned caps = 0;
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
        cs_view line = cs_view_trim(cs_view_of(text.p, n));
        for (size_t i = 0; i < sizeof caps_names / sizeof *caps_names; i++)
            if (cs_view_eq_nocase(line, cs_view_str(caps_names[i].name))) caps |= caps_names[i].bit;
        n += end != NULL ? 1 : 0;
        text = cs_view_of(text.p + n, text.n - n);
    }
    return caps;
}
