/* x509/cert_priv.h - what verification needs of a certificate beyond cert.h, and the tolerant decoding behind it.
 * Owner and threads: as cert.h; everything lives in the cs_cert. Only x509 and verify include this. */
#ifndef CS_X509_CERT_PRIV_H
#define CS_X509_CERT_PRIV_H

#include "x509/cert.h"
#include "x509/der.h"

#include <openssl/evp.h>

/* A rule of form that the certificate breaks; the first one found stays. */
typedef struct cs_flaw {
    cs_reason reason;  /* CS_R_NONE: no flaw */
    const char *field; /* static text: "serialNumber" */
    const char *rule;  /* static text: "must be positive" */
    cs_view what;      /* the OID it is about, or n == 0 */
} cs_flaw;

typedef enum cs_key_type {
    CS_KEY_OTHER,
    CS_KEY_RSA,
    CS_KEY_RSA_PSS, /* restricted to PSS by its algorithm, RFC 4055 1.2 */
    CS_KEY_EC,
    CS_KEY_ED25519,
    CS_KEY_ED448,
    CS_KEY_ML_DSA,
} cs_key_type;

typedef enum cs_sig_scheme { CS_SIG_UNKNOWN, CS_SIG_PKCS1, CS_SIG_PSS, CS_SIG_ECDSA, CS_SIG_PURE } cs_sig_scheme;

typedef struct cs_sigalg {
    cs_sig_scheme scheme;
    cs_key_type key;    /* the type of key that makes it; CS_KEY_RSA also for PSS */
    const char *digest; /* "SHA256"; NULL for PURE */
    int salt;           /* octets, PSS */
    cs_view oid;
    cs_flaw flaw; /* algorithm-too-weak, algorithm-unsupported, certificate-malformed (parameters) */
} cs_sigalg;

/* The key that has been found to sign a certificate or list, by SHA-256 of its SPKI. Neither's octets change, so that
 * once is enough, for whoever asks after. */
typedef struct cs_signer {
    int state; /* atomic; 0: none yet, 1: is being written, 2: stands */
    uint8_t key[32];
} cs_signer;

/* Extensions that are understood; the index into cs_cert_more.ext. */
typedef enum cs_ext_id {
    CS_EXT_UNKNOWN = -1,
    CS_EXT_SKI,
    CS_EXT_KEY_USAGE,
    CS_EXT_SAN,
    CS_EXT_IAN,
    CS_EXT_BASIC_CONSTRAINTS,
    CS_EXT_NAME_CONSTRAINTS,
    CS_EXT_CRL_POINTS,
    CS_EXT_POLICIES,
    CS_EXT_POLICY_MAPPINGS,
    CS_EXT_AKI,
    CS_EXT_POLICY_CONSTRAINTS,
    CS_EXT_EKU,
    CS_EXT_FRESHEST_CRL,
    CS_EXT_INHIBIT_ANY,
    CS_EXT_AIA,
    CS_EXT_SIA,
    CS_EXT_COUNT
} cs_ext_id;

typedef struct cs_ext {
    bool present, critical;
    cs_view value; /* contents of extnValue */
} cs_ext;

typedef struct cs_cert_more {
    int version;         /* 1..3 */
    cs_flaw flaw_any;    /* breaks RFC 5280 so that nobody may use it; reason certificate-malformed mostly */
    cs_flaw flaw_strict; /* breaks what RFC 5280 demands of CAs and a strict relying party refuses */
    cs_flaw flaw_serial; /* the serial number; widespread in roots, where it does no harm */
    cs_flaw flaw_key;    /* the subject's key: key-too-weak, key-unsupported */
    cs_flaw flaw_key_strict;
    cs_flaw flaw_critical; /* critical-extension-unknown */
    bool broken;           /* flaw_any left fields unread: only der is to be relied on */
    cs_sigalg alg;
    cs_view sig; /* the signature's octets */
    cs_key_type key_type;
    int key_bits;
    int key_cost; /* of checking a signature by it, about, in tenths of a millisecond; 1 at least */
    cs_ext ext[CS_EXT_COUNT];
    bool self_issued;
    bool akid_issuer, akid_serial;         /* AKI names issuer and serial */
    cs_view akid_issuer_names, akid_sn;    /* GeneralNames contents; INTEGER contents */
    int64_t require_explicit, inhibit_map; /* policyConstraints; -1: absent */
    int64_t inhibit_any;                   /* -1: absent */
    uint64_t issuer_hash, subject_hash;    /* cs_name_hash */
    cs_signer signer;                      /* of a CA's certificate: the same ones come with every client */
    EVP_PKEY *key;                         /* made on first use, published atomically; NULL until then */
} cs_cert_more;

static inline cs_cert_more *cs_cert_more_of(const cs_cert *c) {
    return (cs_cert_more *)c->more;
}

/* "serialNumber: must be positive"; the detail of a refusal. */
const char *cs_flaw_text(const cs_flaw *f, char out[CS_DETAIL_MAX]);
static inline void cs_flaw_note(cs_flaw *f, cs_reason reason, const char *field, const char *rule) {
    if (f->reason == CS_R_NONE) *f = (cs_flaw){reason, field, rule, {NULL, 0}};
}

/* ---- pieces of decoding (one file each) ---- */
/* AlgorithmIdentifier contents -> alg; flaws go to alg->flaw. */
void cs_sigalg_read(cs_view algorithm, cs_sigalg *alg);
/* SubjectPublicKeyInfo -> key_type, key_bits, flaw_key, flaw_key_strict. */
void cs_key_read(cs_view spki, cs_cert_more *m, cs_der_fault *fault);
/* Extensions, contents of [3] -> everything else. */
void cs_exts_read(cs_cert *c, cs_view extensions, cs_der_fault *fault);
/* An OID of an extension that is understood. */
cs_ext_id cs_ext_of(cs_view oid);
/* Is a GeneralName well-formed? notes CS_EXT flaws in any/strict. Used for SAN, CRLDP, IDP, name constraints. */
cs_view cs_general_name(cs_der *d, cs_san_type *ret_type, bool constraint);

/* ---- names (x509/name.c) ---- */
/* Structure of a Name: contents of the SEQUENCE. *ret_odd (may be NULL) is set when a strict reader refuses it. */
void cs_name_check(cs_view name, cs_der_fault *fault, const char **ret_odd);
/* RFC 5280 7.1: equal after folding case and white space, whatever the string types. */
bool cs_name_eq(cs_view a, cs_view b);
uint64_t cs_name_hash(cs_view name);
/* Does `name` begin with all RDNs of `base`? (dirName subtrees, 4.2.1.10) */
bool cs_name_within(cs_view name, cs_view base);
bool cs_name_empty(cs_view name);
/* Is one RDN of issuer names followed by `rdn` (contents of a SET) the Name `full`? (RelativeDistinguishedName in DPs)
 */
bool cs_name_eq_with_rdn(cs_view full, cs_view base, cs_view rdn);
/* Each AttributeValue of that type (OID contents) in turn; start with *pos = 0. */
bool cs_name_attr(cs_view name, cs_view oid, size_t *pos, uint8_t *ret_tag, cs_view *ret);

/* ---- signatures (x509/signature.c) ---- */
/* The key of a certificate, or NULL when OpenSSL cannot read it. Borrowed from c. */
EVP_PKEY *cs_cert_key(const cs_cert *c);
/* Does `sig` over `tbs` verify under the key of `signer`? False at any error. */
bool cs_sig_ok(const cs_cert *signer, const cs_sigalg *alg, cs_view tbs, cs_view sig);

/* ---- PEM (x509/pem_read.c) ---- */
typedef struct cs_pem {
    cs_view left;
    const char *what;    /* for errors */
    unsigned block;      /* 1 = first */
    unsigned line;       /* how many were read */
    unsigned line_begun; /* of the last block's BEGIN */
    char label[64];      /* of the last block */
} cs_pem;
/* Begins: skips a BOM. */
cs_pem cs_pem_of(cs_view text, const char *what);
/* The next block of any label: label and decoded bytes (der is cleared first). CS_AGAIN: no more. file-malformed. */
/* Only finds it: the base64 text between its lines. */
CS_MUST_USE cs_status cs_pem_find(cs_pem *p, cs_view *ret, cs_err *err);
cs_status cs_pem_bad(const cs_pem *p, cs_err *err); /* the last one's text is no base64 */
CS_MUST_USE cs_status cs_pem_next(cs_pem *p, cs_buf *der, cs_err *err);
/* Does the text begin like DER (a SEQUENCE that fits)? */
bool cs_looks_der(cs_view text);

#endif
