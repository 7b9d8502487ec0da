/* renew/watch.h - what a service manager is told (sd_notify(3)'s datagrams, without libsystemd). */
#ifndef CS_RENEW_WATCH_H
#define CS_RENEW_WATCH_H

#include "base/clock.h"

/* "READY=1\nSTATUS=..."; where nobody listens ($NOTIFY_SOCKET is not set), nothing is done. */
void renew_notify(const char *lines);
/* How often WATCHDOG=1 is to be said: half of $WATCHDOG_USEC; 0: it is not awaited. */
cs_time renew_watchdog(void);

#endif
