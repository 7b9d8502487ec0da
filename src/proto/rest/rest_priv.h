/* rest_priv.h - a request and its answer, as the handlers of this folder see them. */
#ifndef CS_PROTO_REST_PRIV_H
#define CS_PROTO_REST_PRIV_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>

#include "authority/admins.h"
#include "base/json.h"
#include "proto/rest/rest.h"

typedef struct rest_call {
    authority *a;
    struct MHD_Connection *connection;
    const char *method, *path;
    const char *rest; /* of the path, behind the route's prefix */
    cs_buf body;
    bool too_big;
    authority_who who; /* who asks; of the public door: nobody, until rest_caller found out */
    unsigned roles;
    bool local;            /* over the control socket: may everything */
    bool quiet;            /* a failure is no line of the log: anybody may cause it, as often as they like */
    atomic_int *under_way; /* of its door: counts this one */
    /* the answer */
    unsigned status;
    const char *type;
    const char *etag; /* with quotes; NULL: none */
    char etag_text[72];
    cs_time modified; /* 0: none */
    cs_buf out;
} rest_call;

typedef cs_status rest_handler(rest_call *c, cs_err *err);

/* A row: method and path; a path that ends in '/' stands for everything below it. NULL ends.
 * needs: one of these roles (authority/admins.h) opens it to administrators over the gateway; 0: the control socket
 * alone. Of public routes it says nothing: they are for anybody. */
typedef struct rest_route {
    const char *method, *path;
    rest_handler *handler;
    unsigned needs;
} rest_route;

/* The API, below REST_API: over the control socket for our user and root, over the gateway for administrators. */
#define REST_API "/api/v1/"
extern const rest_route rest_api_routes[], rest_public_routes[];

/* caller.c: who asks, from the socket's peer or from what the gateway tells. certificate-required when it was none. */
void rest_caller_local(rest_call *c, unsigned uid);
CS_MUST_USE cs_status rest_caller_told(rest_call *c, cs_err *err);
/* role-missing, which is an audit record too. */
CS_MUST_USE cs_status rest_caller_needs(rest_call *c, unsigned needs, cs_err *err);

rest_handler rest_issue, rest_issue_many, rest_list, rest_show, rest_revoke, rest_release, rest_crl_make, rest_crl_show,
    rest_status;
rest_handler rest_log, rest_log_head, rest_log_prove, rest_log_consistency;
rest_handler rest_admin_list, rest_admin_add, rest_admin_remove;
rest_handler rest_ca_crt, rest_ca_pem, rest_ca_crl, rest_health;

static inline void json_decref_at(json_t **j) {
    json_decref(*j);
}
/* The body as a JSON object; *ret is the caller's (json_decref). message-malformed, http-body-too-large. */
CS_MUST_USE cs_status rest_body(rest_call *c, json_t **ret, cs_err *err);
/* A member that must be (or may be, then NULL) a string. message-malformed naming it. */
CS_MUST_USE cs_status rest_text(const json_t *object, const char *key, bool needed, const char **ret, cs_err *err);
/* The members of a problem document (RFC 9457), into an object that is open. */
void rest_put_problem(cs_json *j, const cs_err *err);
/* A query parameter or NULL. */
const char *rest_query(rest_call *c, const char *key);

#endif
