/* doctor/creds.h - a client's certificate, key and CA file as they lie there: what they hold and what is wrong with
 * them. Owner: whoever read them (creds_free). Nothing is written. */
#ifndef CS_DOCTOR_CREDS_H
#define CS_DOCTOR_CREDS_H

#include "base/clock.h"
#include "doctor/findings.h"
#include "keys/keys.h"
#include "x509/cert.h"

/* What a file holds, by its content. */
typedef enum creds_kind {
    CREDS_NOTHING, /* empty */
    CREDS_UTF16,
    CREDS_CERT,
    CREDS_KEY,
    CREDS_KEY_ENCRYPTED,
    CREDS_CSR,
    CREDS_CRL,
    CREDS_CMS,
    CREDS_P12,
    CREDS_UNKNOWN,
} creds_kind;
/* The first thing of the text; *ret_der: it is DER. */
creds_kind creds_kind_of(cs_view text, bool *ret_der);
const char *creds_kind_text(creds_kind kind); /* "a certificate request" */

typedef struct creds_plan {
    const char *cert, *key, *ca; /* paths; NULL: not given. key NULL: in the certificate's file */
    const cs_secret *password;   /* of key or PKCS#12; NULL: none */
    cs_time now;
} creds_plan;

typedef struct creds {
    cs_certs chain, trust; /* the certificate's file from its first on; the CA file */
    cs_key *key;           /* NULL: none, or not usable */
    bool usable;           /* chain and key are there and belong together */
    size_t suspects;       /* how many of the findings are about the client's certificate itself, and may be borne by
                            * a server */
    unsigned suspect[16];
} creds;

/* What is wrong goes to f: what makes the files useless with FINDING_SURE, what a server would refuse with
 * FINDING_LIKELY. */
void creds_read(const creds_plan *plan, creds *ret, findings *f);
void creds_free(creds *c);

/* ---- pieces, for other readers of files ---- */
/* Reads certificates of any form, saying what is wrong; role: "--cert". False: there is none to use. */
bool creds_read_certs(const char *path, const char *role, bool ca, cs_certs *bag, findings *f);
bool creds_is_root(const cs_cert *c); /* its own issuer, by name */
/* Names of issuer and subject are the same, and the key identifiers do not speak against it. */
bool creds_issued(const cs_cert *issuer, const cs_cert *cert);
bool creds_name_only(const cs_cert *issuer, const cs_cert *cert); /* the name is the issuer's, the key is another's */
const char *creds_name(const cs_cert *c, char out[CS_NAME_TEXT_MAX + 1]); /* the subject, as text */
/* The client's certificate and what stands behind it, judged; suspicious numbers go to c. */
void creds_judge(creds *c, const char *what, cs_time now, findings *f);

#endif
