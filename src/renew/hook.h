/* renew/hook.h - tells a program that its files are new: a systemd unit, a signal, or a command, without a shell and
 * with an end. Nothing is kept; one thread, which waits. */
#ifndef CS_RENEW_HOOK_H
#define CS_RENEW_HOOK_H

#include "renew/conf.h"

/* CS_OK: told (or there is nobody to tell). hook-failed: what it said last, cut and escaped; it is killed with all that
 * it started when the time is over. dir: its COUNTERSIGN_DIR. */
CS_MUST_USE cs_status renew_hook(const renew_identity *id, const char *dir, const cs_clock *clock, cs_err *err);

#endif
