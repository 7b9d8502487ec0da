/* io/addr_class.h - what kind of network an address belongs to, so that what others name (URLs in certificates) cannot
 * lead into one's own. Pure functions. @rfc 6890 */
#ifndef CS_IO_ADDR_CLASS_H
#define CS_IO_ADDR_CLASS_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/socket.h>

typedef enum addr_class {
    ADDR_GLOBAL,
    ADDR_LOOPBACK,
    ADDR_PRIVATE,    /* RFC 1918, ULA, and the shared 100.64.0.0/10 */
    ADDR_LINK_LOCAL, /* with it the metadata services of clouds */
    ADDR_MULTICAST,  /* and broadcast */
    ADDR_RESERVED,   /* unspecified, documentation, benchmarks, future use, anything that is not IP */
} addr_class;
/* IPv4 within IPv6 (mapped, NAT64, 6to4) is what the IPv4 address is. */
addr_class addr_class_of(const struct sockaddr *a);
const char *addr_class_name(addr_class c); /* "loopback" */

/* "10.0.0.0/8", "fd00::/8", "127.0.0.1" */
typedef struct addr_range {
    uint8_t bits[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned prefix;  /* 0..128 */
} addr_range;
bool addr_range_parse(const char *text, addr_range *ret);
bool addr_range_has(const addr_range *r, const struct sockaddr *a);

#endif
