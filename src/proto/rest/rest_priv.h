/* rest_priv.h - a request and its answer, as the handlers of this folder see them. */
#ifndef CS_PROTO_REST_PRIV_H
#define CS_PROTO_REST_PRIV_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "authority/admins.h"
#include "base/json.h"
#include "proto/json_read.h"
#include "proto/rest/rest.h"

enum { REST_EXTRA_MAX = 6, REST_EXTRA_VALUE = 600 };
typedef struct rest_call {
    authority *a;
    enroll *e;
    struct cmp_desk *cmp;
    struct acme *acme;
    struct MHD_Connection *connection;
    const char *method, *path;
    const char *rest; /* of the path, behind the route's prefix */
    cs_buf body;
    bool too_big;
    authority_who who; /* who asks; of the public door: nobody, until rest_caller found out */
    unsigned roles;
    bool approved;         /* by a second administrator */
    bool local;            /* over the control socket: may everything */
    bool quiet;            /* a failure is no line of the log: anybody may cause it, as often as they like */
    atomic_int *under_way; /* of its door: counts this one */
    /* the answer */
    unsigned status;
    const char *type;
    const char *etag; /* with quotes; NULL: none */
    char etag_text[72];
    cs_time modified; /* 0: none */
    cs_time expires;  /* others may keep it until then; 0: they ask again each time */
    struct {
        const char *name; /* static */
        char value[REST_EXTRA_VALUE];
    } extra[REST_EXTRA_MAX]; /* further headers */
    size_t extra_count;
    authority_blob *file; /* the answer's body, instead of out; a reference; NULL: out it is */
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
    unsigned guard; /* CONF_TWO_...: with two_person it waits for a second administrator; 0: never */
} rest_route;

/* The API, below REST_API: over the control socket for our user and root, over the gateway for administrators. */
#define REST_API "/api/v1/"
#define REST_ENROLL "/api/v1/enroll"
extern const rest_route rest_api_routes[], rest_public_routes[];

/* caller.c: who asks, from the socket's peer or from what the gateway tells. certificate-required when it was none. */
void rest_caller_local(rest_call *c, unsigned uid);
CS_MUST_USE cs_status rest_caller_told(rest_call *c, cs_err *err);
/* role-missing, which is an audit record too. */
CS_MUST_USE cs_status rest_caller_needs(rest_call *c, unsigned needs, cs_err *err);

rest_handler rest_issue, rest_issue_many, rest_list, rest_show, rest_revoke, rest_release, rest_crl_make, rest_crl_list,
    rest_crl_file, rest_ocsp_of, rest_status;
rest_handler rest_log, rest_log_head, rest_log_prove, rest_log_consistency;
rest_handler rest_token_create, rest_token_list, rest_token_revoke, rest_request_list, rest_request_show,
    rest_request_approve, rest_request_deny, rest_renew, rest_reissue, rest_enroll;
rest_handler rest_device_allow, rest_device_list, rest_device_remove;
/* How many rows of a list are asked for: its `limit`, else 100. message-malformed. */
CS_MUST_USE cs_status rest_page(rest_call *c, unsigned *ret, cs_err *err);
/* proposals.c */
bool rest_guarded(const rest_call *c, const rest_route *r);
CS_MUST_USE cs_status rest_propose(rest_call *c, cs_err *err);
rest_handler rest_permit, rest_proposal_list, rest_proposal_approve, rest_proposal_deny;
/* rollover.c */
rest_handler rest_rollover_show, rest_rollover_presented, rest_rollover_list, rest_rollover_begin, rest_rollover_step;
/* windows.c */
rest_handler rest_window_add, rest_window_list, rest_window_show, rest_window_remove;
#define RENEWAL_INFO_PATH "/renewal-info"
rest_handler renewal_info;
rest_handler rest_openapi;
rest_handler rest_tag_list, rest_tag_change;
/* Doors of other protocols. */
#define EST_PATH "/.well-known/est/"
#define SCEP_PATH "/scep"
rest_handler est_door;
rest_handler scep_door;
#define CMP_PATH "/.well-known/cmp"
rest_handler cmp_door;
#define ACME_PATH "/acme/"
rest_handler acme_door;
rest_handler rest_admin_list, rest_admin_add, rest_admin_remove;
rest_handler rest_ocsp_post, rest_ocsp_get;
rest_handler rest_ca_list, rest_ca_show, rest_ca_revoke, rest_ca_crt, rest_ca_pem, rest_ca_crl, rest_health;

/* The body as a JSON object; *ret is the caller's (json_decref). message-malformed, http-body-too-large. */
CS_MUST_USE cs_status rest_body(rest_call *c, json_t **ret, cs_err *err);
/* A member that must be (or may be, then NULL) a string. message-malformed naming it. */
CS_MUST_USE cs_status rest_text(const json_t *object, const char *key, bool needed, const char **ret, cs_err *err);
/* The members of a problem document (RFC 9457), into an object that is open. */
void rest_put_problem(cs_json *j, const cs_err *err);
/* A header of the request; "" when there is none. */
const char *rest_header(rest_call *c, const char *name);
/* A header of the answer, also of a refusal. name: static. */
void rest_extra(rest_call *c, const char *name, const char *value);
void rest_retry_after(rest_call *c, cs_time wait);
/* The certificate that the gateway saw proven, from its Client-Cert header (RFC 9440); NULL: none. The gateway judged
 * it for its site: whether it counts here is for who uses it. message-malformed. */
CS_MUST_USE cs_status rest_client_cert(rest_call *c, cs_cert **ret, cs_err *err);
/* What stands above it, from Client-Cert-Chain, where the gateway's path had more; the caller's. */
CS_MUST_USE cs_status rest_client_chain(rest_call *c, cs_certs *ret, cs_err *err);
/* The caller is about to be told the CAs: when it showed a certificate of ours, a roll-over notes that. */
void rest_told_cas(rest_call *c);
/* What an issued certificate looks like in JSON. */
void rest_put_issued(rest_call *c, cs_json *j, cs_kind kind, cs_view name, const cs_cert *leaf);
/* The answer of a reissue: that, and what has ended for it. */
void rest_put_reissued(rest_call *c, const enroll_answer *a, const revoke_answer *ended);
/* With ?proof=1, the proof that the issuance is in the log, as log/proof/SERIAL gives it: a member of the object that
 * is open. log.c */
void rest_put_proof(rest_call *c, cs_json *j, cs_view serial);
/* Words with blanks between, as a list. */
void rest_put_words(cs_json *j, const char *key, cs_view text);
/* A query parameter or NULL. */
const char *rest_query(rest_call *c, const char *key);

/* crls.c. Facts of the current CA's list of all, into the object that is open; nothing before the first. */
void rest_put_current_crl(rest_call *c, cs_json *j);
/* show.c: a body that others may keep; hash tells it from others. */
cs_status rest_put_file(rest_call *c, cs_view bytes, const char *type, const uint8_t sha256[32], cs_time modified);
/* "NAME.EXT" as a name; empty: it is none. */
cs_view rest_name_before(const char *file, const char *ext);

#endif
