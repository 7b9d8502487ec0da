/* x509/identity.h - an identity: the user, device or server that certificates are issued to, and the name by which
 * every room knows it ("ann@corp.example", "pump-17", "gw.corp.example"). */
#ifndef CS_X509_IDENTITY_H
#define CS_X509_IDENTITY_H

#include "x509/cert.h"

typedef enum cs_kind { CS_KIND_OTHER = 0, CS_KIND_SERVER, CS_KIND_USER, CS_KIND_DEVICE } cs_kind;
enum { CS_KIND_COUNT = 4, CS_IDENTITY_NAME_MAX = 253 };

const char *cs_kind_name(cs_kind kind);         /* "server", ...; "other" */
bool cs_kind_parse(cs_view text, cs_kind *ret); /* of "server", "user", "device" */

typedef struct cs_identity {
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1]; /* valid UTF-8 without controls; "" when the certificate names nobody */
} cs_identity;

/* May `name` be an identity of that kind? server: a DNS name (LDH labels, a leading "*." allowed, lower-cased) or an IP
 * address; user: an e-mail address (ASCII, one '@', a DNS domain); device: 1-64 of letters, digits, . _ -, beginning
 * with a letter or digit. name-invalid says what is wrong. */
CS_MUST_USE cs_status cs_identity_make(cs_kind kind, cs_view name, cs_identity *ret, cs_err *err);

/* A SAN from what people type: DNS names as for servers, IP addresses as text, e-mail addresses; a URI must be ASCII
 * with a scheme. The value is written into store. name-invalid; CS_SAN_OTHER and the like are name-not-allowed. */
CS_MUST_USE cs_status cs_san_make(cs_san_type type, cs_view text, uint8_t store[CS_IDENTITY_NAME_MAX + 1], cs_san *ret,
                                  cs_err *err);

/* Who a leaf certificate is for, read from typed SANs only (never from the CN): one URI spiffe://.../device/NAME is a
 * device; else an e-mail SAN with clientAuth is a user; else the first DNS or IP SAN with serverAuth is a server; else
 * other, named by its first URI, e-mail or DNS SAN, else by its subject as text. */
void cs_identity_of_cert(const cs_cert *leaf, cs_identity *ret);

#endif
