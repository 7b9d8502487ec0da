/* Many connections at once in one thread, by poll(2): each sends a line and waits for an answer.
 * polled HOST:PORT NAME CA.pem CERT.pem KEY.pem LINE COUNT */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <countersign/client.h>

enum { MOST = 1000 };

typedef struct one {
    cs_connection *c; /* NULL: done */
    int established;
    size_t sent, got;
} one;

static const char *line;
static size_t answered;

/* As far as it goes. CS_AGAIN: waits for its descriptor. CS_OK: done. */
static cs_status go_on(one *o, cs_err *err) {
    char piece[4096];
    size_t n = 0;
    cs_status s = cs_connection_turn(o->c, err);
    if (s != CS_OK) return s;
    while (o->sent < strlen(line)) {
        s = cs_write(o->c, line + o->sent, strlen(line) - o->sent, &n, err);
        if (s != CS_OK) return s;
        o->sent += n;
    }
    for (;;) {
        s = cs_read(o->c, piece, sizeof piece, &n, err);
        if (s != CS_OK) return s;
        o->got += n;
        if (n == 0 || o->got >= strlen(line)) return CS_OK;
    }
}

static int turn(one *o) {
    cs_err err;
    cs_status s = go_on(o, &err);
    if (s == CS_AGAIN) return 1;
    if (s == CS_OK)
        answered++;
    else
        fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
    cs_connection_free(o->c);
    o->c = NULL;
    return 0;
}

static void drive(one *all, size_t count) {
    static struct pollfd fds[MOST];
    for (size_t open = count; open > 0;) {
        open = 0;
        for (size_t i = 0; i < count; i++) {
            int waits = all[i].c != NULL && turn(&all[i]);
            open += (size_t)waits;
            fds[i].fd = waits ? cs_connection_fd(all[i].c) : -1;
            fds[i].events = waits ? cs_connection_events(all[i].c) : 0;
        }
        if (open > 0) (void)poll(fds, (nfds_t)count, 10000);
    }
}

int main(int argc, char **argv) {
    static one all[MOST];
    cs_trust *trust = NULL;
    cs_credential *who = NULL;
    cs_client *client = NULL;
    cs_err err;
    if (argc != 8) return 2;
    size_t count = (size_t)atoi(argv[7]);
    if (count > MOST) return 2;
    line = argv[6];
    cs_status s = cs_trust_new(&trust, &err);
    if (s == CS_OK) s = cs_trust_add_file(trust, argv[3], &err);
    if (s == CS_OK) s = cs_credential_read(argv[4], argv[5], &who, &err);
    if (s == CS_OK) s = cs_client_new(trust, who, NULL, &client, &err);
    for (size_t i = 0; i < count && s == CS_OK; i++) s = cs_connect_begin(client, argv[1], argv[2], &all[i].c, &err);
    cs_client_free(client); /* connections keep what they need */
    cs_credential_free(who);
    cs_trust_free(trust);
    if (s != CS_OK) fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
    drive(all, count);
    printf("%zu answered\n", answered);
    return answered == count ? 0 : 1;
}
