/* proto/client/frame.h - what every frame around a client half does (cli/enrolling.c, the agent): whose names are asked
 * for, and is what came what was asked for? Owner: the frame; one thread. */
#ifndef CS_PROTO_CLIENT_FRAME_H
#define CS_PROTO_CLIENT_FRAME_H

#include "proto/client/client.h"
#include "x509/identity.h"

typedef struct client_texts {
    const char *const *at;
    size_t n;
} client_texts;

typedef struct client_who {
    cs_identity who;
    cs_san sans[CS_ISSUE_SAN_MAX];
    uint8_t bytes[CS_ISSUE_SAN_MAX][CS_IDENTITY_NAME_MAX + 1]; /* what the sans look into */
    size_t san_count;
} client_who;

/* name NULL: as the certificate that is renewed says, which keeps its names unless others are said. kind
 * CS_KIND_OTHER: none; a server's and a user's name is a name of its certificate too. usage; name-invalid;
 * limit-reached. */
CS_MUST_USE cs_status client_decide_who(client_who *w, const char *name, cs_kind kind, const client_texts *dns,
                                        const client_texts *ip, const client_texts *email, const cs_certs *old,
                                        cs_err *err);

/* The certificates of a bag as PEM, appended. */
CS_MUST_USE cs_status client_put_pem(const cs_certs *bag, const char *what, cs_buf *pem, cs_err *err);

/* Is c->chain of that key, and good under c->trust and c->cas, whatever the protocol promised? Then the leaf with its
 * issuers goes to crt_pem, the roots to ca_pem. at: when it must be good. key-mismatch, verify/'s reasons,
 * server-answer-invalid. */
CS_MUST_USE cs_status client_judge(const client *c, const cs_key *key, cs_time at, cs_buf *crt_pem, cs_buf *ca_pem,
                                   cs_err *err);

#endif
