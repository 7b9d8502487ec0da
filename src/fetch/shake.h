/* fetch/shake.h - connects, and lets a tls_probe shake hands, until a time. One thread, which waits. */
#ifndef CS_FETCH_SHAKE_H
#define CS_FETCH_SHAKE_H

#include "base/clock.h"
#include "io/net.h"
#include "tls/probe.h"

/* until: of the machine's monotonic clock. fetch-failed: it took too long; network-failed; tls-handshake-failed. */
CS_MUST_USE cs_status shake_hands(const net_addr *at, tls_probe *probe, cs_time until, cs_err *err);

#endif
