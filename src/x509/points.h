/* x509/points.h - where a certificate says its revocation is to be had. Views into the certificate.
 * @rfc 5280#4.2.1.13  @rfc 5280#4.2.1.15  @rfc 5280#4.2.2.1 */
#ifndef CS_X509_POINTS_H
#define CS_X509_POINTS_H

#include "x509/cert.h"

typedef enum cs_point { CS_POINT_OCSP, CS_POINT_CRL, CS_POINT_DELTA } cs_point;
enum { CS_POINTS_MAX = 8 };

/* The URIs of that kind, in order, at most CS_POINTS_MAX; how many comes back. */
size_t cs_cert_points(const cs_cert *c, cs_point kind, cs_view ret[CS_POINTS_MAX]);

#endif
