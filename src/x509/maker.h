/* x509/maker.h - what a maker's certificate says of its device. */
#ifndef CS_X509_MAKER_H
#define CS_X509_MAKER_H

#include "x509/cert.h"

typedef enum cs_serial_at {
    CS_SERIAL_AT_ANY,       /* the first of those below that is there, the common name excepted */
    CS_SERIAL_AT_SUBJECT,   /* the attribute serialNumber, IEEE 802.1AR 8.6 */
    CS_SERIAL_AT_CN,        /* commonName */
    CS_SERIAL_AT_MODULE,    /* hwSerialNum of hardwareModuleName, RFC 4108 5 */
    CS_SERIAL_AT_PERMANENT, /* identifierValue of permanentIdentifier, RFC 4043 2 */
} cs_serial_at;
enum { CS_MAKER_SERIAL_MAX = 128 };
/* As text: what is no printable ASCII (some makers write "PID:C9300 SN:FOC1234"), in hexadecimal
 * digits. False: it says none there, or one that is too long. */
bool cs_maker_serial(const cs_cert *cert, cs_serial_at at, char out[CS_MAKER_SERIAL_MAX + 1]);

#endif
