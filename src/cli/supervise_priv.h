/* cli/supervise_priv.h - the supervisor's state, shared with the writer of STATE/run/status.json. */
#ifndef CS_CLI_SUPERVISE_PRIV_H
#define CS_CLI_SUPERVISE_PRIV_H

#include <sys/signalfd.h>

#include "cli/supervise.h"

typedef struct watched {
    bool wanted;
    bool was_ready;    /* at least once */
    cs_time started;   /* wall */
    cs_time began;     /* monotonic */
    cs_time again;     /* monotonic: start it then; 0: it runs */
    unsigned in_a_row; /* ends that followed soon on a start */
    unsigned restarts;
    char last_end[64];
} watched;

typedef struct supervisor {
    supervise_ask *ask;
    watched of[PROC_COUNT];
    conf *reloaded;     /* owned, when a reload replaced the first one */
    int signals;        /* signalfd */
    pid_t task;         /* provisioning, 0: none */
    pid_t notices;      /* telling of certificates that end soon, 0: none */
    cs_time notices_at; /* monotonic: again then */
    bool announced;
    bool opened;      /* the first certificates are there: the front was, or need not be, started */
    cs_time check_at; /* monotonic: look at the server's certificate then */
    cs_time started;
    uint64_t cas_done, cas_seen;   /* stamps of ca/: as the processes know it, as of the last look */
    cs_time cas_look;              /* monotonic: again then */
    uint64_t conf_done, conf_seen; /* stamps of the configuration file, likewise */
} supervisor;

/* What `countersign status` reads. A failure is not said: the processes matter more. */
void supervise_write_status(const supervisor *s);

/* supervise_trail.c. SIGHUP came: the configuration was taken over, or (why) was not. */
void supervise_conf_read(supervisor *s, const struct signalfd_siginfo *by, const conf *taken, const cs_err *why);
/* Now and then: has the file changed? */
void supervise_follow_conf(supervisor *s);

#endif
