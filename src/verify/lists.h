/* verify/lists.h - certificates and keys that are named one by one: pins, and lists of who is denied or allowed.
 * Owner: counted; filled before it is shared, immutable from then on, so any thread may read it. */
#ifndef CS_VERIFY_LISTS_H
#define CS_VERIFY_LISTS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/view.h"

enum { CS_PINS_MAX = 1024, CS_LIST_MAX = 1000 * 1000 };

/* ---- pins: a path must hold one of these keys ---- */
typedef struct cs_pins cs_pins;
CS_MUST_USE cs_status cs_pins_new(cs_pins **ret, cs_err *err);
/* "[leaf:|issuer:|anchor:]sha256/BASE64[;until=RFC3339]", or sha256:HEX: the SHA-256 of a SubjectPublicKeyInfo, and
 * where in the path it must stand (issuer: any CA). One that has expired fits nothing; several are each other's backup.
 * config-invalid names `what`. */
CS_MUST_USE cs_status cs_pins_add(cs_pins *p, const char *text, const char *what, cs_err *err);
/* One a line, with # comments. */
CS_MUST_USE cs_status cs_pins_read(cs_pins *p, cs_view text, const char *what, cs_err *err);
cs_pins *cs_pins_ref(cs_pins *p);
void cs_pins_free(cs_pins *p);
CS_AUTO_DEFINE(cs_pins)

/* ---- lists ---- */
typedef struct cs_list cs_list;
CS_MUST_USE cs_status cs_list_new(cs_list **ret, cs_err *err);
/* Lines "cert:HEX" (SHA-256 of the certificate), "spki:HEX" (of its SubjectPublicKeyInfo) and "serial:HEX:HEX" (SHA-256
 * of the issuer's SubjectPublicKeyInfo, serial number), with # comments; or certificates, PEM or DER. A certificate
 * that is listed stands for itself, and with `deny` also for every other one of its key, and of its issuer's name and
 * serial number, so that no variant of its octets gets past. config-invalid names file and line. */
CS_MUST_USE cs_status cs_list_read(cs_list *l, cs_view text, bool deny, const char *what, cs_err *err);
cs_list *cs_list_ref(cs_list *l);
void cs_list_free(cs_list *l);
CS_AUTO_DEFINE(cs_list)

#endif
