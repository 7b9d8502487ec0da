/* fetch/resolve.h - names to addresses and texts, by c-ares, from resolvers of our own choice. Waits; any thread. */
#ifndef CS_FETCH_RESOLVE_H
#define CS_FETCH_RESOLVE_H

#include "base/buf.h"
#include "base/clock.h"
#include "io/net.h"

enum { RESOLVE_ADDRESSES_MAX = 16, RESOLVE_TEXTS_MAX = 64 };

typedef struct resolve_by {
    const char *servers; /* ADDRESS[:PORT] with commas between; NULL: the system's resolvers and hosts file */
    cs_time deadline;    /* how long it may take */
} resolve_by;
/* Addresses of either family, port 0, IPv6 first; a name or an address as text. dns-failed. */
CS_MUST_USE cs_status resolve_addresses(const resolve_by *by, const char *name, net_addr out[RESOLVE_ADDRESSES_MAX],
                                        size_t *ret_n, cs_err *err);
/* The texts of its TXT records, each whole, as vec16s; aliases are followed by the resolver. dns-failed. */
CS_MUST_USE cs_status resolve_texts(const resolve_by *by, const char *name, cs_buf *texts, cs_err *err);

#endif
