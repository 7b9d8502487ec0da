/* The API's description (OpenAPI 3.1), made from the table of routes, so that what it names exists and what exists is
 * named; the table below adds what a route takes. */
#include <stdio.h>
#include <string.h>

#include "proto/rest/rest_priv.h"

/* Fields: "name:type" with blanks between, "!" behind a name that must be there. Types: string, integer, strings (a
 * list), objects (a list), kind. */
typedef struct about {
    const char *method, *path, *says, *query, *body;
} about;

#define CERT_FIELDS                                                                                                    \
    "kind!:kind name!:string csr!:string dns:strings ip:strings email:strings lifetime_seconds:integer "               \
    "profile:string issuer:string idempotency_key:string"

#define PROOF "proof:string" /* 1: the answer holds the proof that the issuance is in the audit log */

static const about table[] = {
    {"POST", "/api/v1/certificates", "Issue a certificate for a PKCS#10 request", PROOF, CERT_FIELDS},
    {"POST", "/api/v1/certificates/batch", "Issue up to 64, each for itself", PROOF, "requests!:objects"},
    {"GET", "/api/v1/certificates", "What was issued, newest first",
     "kind:kind status:string name:string issuer:string profile:string tag:string after:string limit:integer "
     "expires_within:string exact:string",
     NULL},
    {"GET", "/api/v1/certificates/", "One certificate, by its serial number", NULL, NULL},
    {"POST", "/api/v1/revocations", "Revoke by serial, or all of a name; certificate-hold holds", NULL,
     "serial:string name:string reason:string"},
    {"POST", "/api/v1/releases", "Take a hold back", NULL, "serial:string name:string"},
    {"POST", "/api/v1/crls", "Publish every CRL now, and tell of them", NULL, NULL},
    {"GET", "/api/v1/crls", "The newest CRLs: names, addresses, numbers, times", NULL, NULL},
    {"GET", "/api/v1/crls/", "A CRL, DER: its name and .crl", NULL, NULL},
    {"GET", "/api/v1/ocsp/", "The OCSP answer about a serial number, to be stapled", NULL, NULL},
    {"POST", "/api/v1/cas/revocations", "Revoke a CA's certificate (countersign ca revoke)", NULL,
     "certificate!:string name!:string reason:string"},
    {"GET", "/api/v1/rollover", "The newest roll-over of a CA, and who still hangs on the old one",
     "after:string limit:integer", NULL},
    {"POST", "/api/v1/rollover/presented", "Which of these serial numbers are of the CA that is replaced", NULL,
     "serials!:strings"},
    {"GET", "/api/v1/rollovers", "Roll-overs, newest first", NULL, NULL},
    {"POST", "/api/v1/rollovers", "Begin one whose certificates were made (countersign rollover start)", NULL,
     "kind!:string old!:string next!:string next_issuer!:string published_mark!:string switched_mark!:string "
     "cas!:objects"},
    {"POST", "/api/v1/rollovers/step", "The next stage, or the one before", NULL,
     "id!:integer to!:string supersede:boolean force:string"},
    {"GET", "/api/v1/status", "Counts, CRL, CA and signer", NULL, NULL},
    {"GET", "/api/v1/log", "The audit log, docs/audit-log.md",
     "after:integer before:integer limit:integer order:string event:string by:string name:string serial:string", NULL},
    {"GET", "/api/v1/log/head", "The newest signed head, and the log's key", NULL, NULL},
    {"GET", "/api/v1/log/proof/", "That the issuance of a serial number is in the log", NULL, NULL},
    {"GET", "/api/v1/log/consistency", "That a longer log begins with a shorter one", "first:integer size:integer",
     NULL},
    {"GET", "/api/v1/admins", "Administrators and their roles", NULL, NULL},
    {"POST", "/api/v1/admins", "Give roles", NULL, "name!:string role!:string kind:kind"},
    {"POST", "/api/v1/admins/remove", "Take roles, all without role", NULL, "name!:string role:string kind:kind"},
    {"POST", "/api/v1/tokens", "A token for enrollment, shown once", NULL,
     "kind!:kind name!:string profile:string ttl_seconds:integer uses:integer"},
    {"GET", "/api/v1/tokens", "Tokens, without their secrets", "name:string after:string limit:integer", NULL},
    {"POST", "/api/v1/tokens/revoke", "End a token", NULL, "id!:string"},
    {"POST", "/api/v1/devices", "Let devices enroll by serial number or key, up to 1000, each for itself", NULL,
     "devices!:objects"},
    {"GET", "/api/v1/devices", "The devices that may", "name:string after:string limit:integer", NULL},
    {"POST", "/api/v1/devices/remove", "Take a device from the list", NULL, "name!:string"},
    {"GET", "/api/v1/requests", "Requests for enrollment", "state:string after:string limit:integer", NULL},
    {"POST", "/api/v1/requests/approve", "Approve a request that waits", PROOF, "id!:string note:string"},
    {"POST", "/api/v1/requests/deny", "Deny a request that waits", NULL, "id!:string note:string"},
    {"GET", "/api/v1/requests/", "One request", NULL, NULL},
    {"POST", "/api/v1/renewals", "Renew or rekey a certificate", PROOF,
     "csr!:string serial:string name:string kind:kind"},
    {"POST", "/api/v1/reissues", "A new certificate in the place of those whose key was lost, which end", PROOF,
     "csr!:string serial:string name:string kind:kind reason:string"},
    {"POST", "/api/v1/renewal-windows", "Have certificates renewed before their time, spread over a while", NULL,
     "kind:kind name:string tag:string profile:string issuer:string key_type:string begins:string "
     "spread_seconds:integer why:string"},
    {"GET", "/api/v1/renewal-windows", "Renewal windows that hold, or all", "status:string", NULL},
    {"GET", "/api/v1/renewal-windows/", "One, and how many have renewed", NULL, NULL},
    {"POST", "/api/v1/renewal-windows/remove", "Take one back", NULL, "id!:integer"},
    {"GET", "/api/v1/tags", "Tags, and how many identities have each", NULL, NULL},
    {"POST", "/api/v1/tags", "Add tags to an identity, and take some away", NULL,
     "kind!:kind name!:string add:strings remove:strings"},
    {"POST", "/api/v1/permits", "May it be done now? Proposes it where two people are needed", NULL, "what!:string"},
    {"GET", "/api/v1/proposals", "What was proposed to a second administrator", NULL, NULL},
    {"POST", "/api/v1/proposals/approve", "Approve, which carries a request out", NULL, "id!:integer"},
    {"POST", "/api/v1/proposals/deny", "Deny", NULL, "id!:integer"},
    {"GET", "/api/v1/openapi.json", "This", NULL, NULL},
    {"GET", "/healthz", "Can certificates be issued?", NULL, NULL},
};

static const about *about_of(const rest_route *r) {
    static const about nothing = {.says = "See the manual"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].method, r->method) == 0 && strcmp(table[i].path, r->path) == 0) return &table[i];
    return &nothing;
}

typedef struct field {
    char name[40];
    cs_view type;
    bool needed;
} field;

/* The next field of the list; false at its end. */
static bool next_field(const char **list, field *ret) {
    const char *at = *list + strspn(*list, " "), *colon = strchr(at, ':');
    if (colon == NULL) return false;
    size_t n = (size_t)(colon - at), type = strcspn(colon + 1, " ");
    ret->needed = n > 0 && at[n - 1] == '!';
    n -= ret->needed;
    if (n >= sizeof ret->name) return false;
    memcpy(ret->name, at, n);
    ret->name[n] = '\0';
    ret->type = cs_view_of(colon + 1, type);
    *list = colon + 1 + type;
    return true;
}

static void put_type(cs_json *j, const char *key, cs_view type) {
    bool list = cs_view_eq_str(type, "strings") || cs_view_eq_str(type, "objects");
    cs_json_object(j, key);
    bool plain = cs_view_eq_str(type, "integer") || cs_view_eq_str(type, "boolean");
    cs_json_str(j, "type", list ? "array" : !plain ? "string" : type.p[0] == 'i' ? "integer" : "boolean");
    if (cs_view_eq_str(type, "kind"))
        cs_json_raw(j, "enum", CS_VIEW_LIT("[\"user\",\"device\",\"server\"]"));
    else if (list) {
        cs_json_object(j, "items");
        cs_json_str(j, "type", cs_view_eq_str(type, "objects") ? "object" : "string");
        cs_json_object_end(j);
    }
    cs_json_object_end(j);
}

static void put_parameter(cs_json *j, const char *in, const field *f) {
    cs_json_object(j, NULL);
    cs_json_str(j, "name", f->name);
    cs_json_str(j, "in", in);
    cs_json_bool(j, "required", f->needed);
    put_type(j, "schema", f->type);
    cs_json_object_end(j);
}

static void put_parameters(cs_json *j, const rest_route *r, const char *query) {
    bool below = r->path[strlen(r->path) - 1] == '/';
    field f = {.name = "id", .type = CS_VIEW_LIT("string"), .needed = true};
    if (!below && query == NULL) return;
    cs_json_array(j, "parameters");
    if (below) put_parameter(j, "path", &f);
    while (query != NULL && next_field(&query, &f)) put_parameter(j, "query", &f);
    cs_json_array_end(j);
}

static void put_body(cs_json *j, const char *body) {
    field f;
    const char *list = body;
    if (body == NULL) return;
    cs_json_object(j, "requestBody");
    cs_json_bool(j, "required", true);
    cs_json_object(j, "content");
    cs_json_object(j, "application/json");
    cs_json_object(j, "schema");
    cs_json_str(j, "type", "object");
    cs_json_object(j, "properties");
    while (next_field(&list, &f)) put_type(j, f.name, f.type);
    cs_json_object_end(j);
    cs_json_array(j, "required");
    for (list = body; next_field(&list, &f);)
        if (f.needed) cs_json_str(j, NULL, f.name);
    cs_json_array_end(j);
    for (int i = 0; i < 4; i++) cs_json_object_end(j);
}

static void put_responses(cs_json *j) {
    static const char text[] =
        "{\"2XX\":{\"description\":\"done\",\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\"}}}},"
        "\"default\":{\"description\":\"refused, with its "
        "reason\",\"content\":{\"application/problem+json\":{\"schema\":"
        "{\"$ref\":\"#/components/schemas/Problem\"}}}}}";
    cs_json_raw(j, "responses", CS_VIEW_LIT(text));
}

static void put_operation(cs_json *j, const rest_route *r) {
    const about *a = about_of(r);
    char roles[ROLE_TEXT_MAX];
    cs_json_object(j, strcmp(r->method, "GET") == 0 ? "get" : strcmp(r->method, "POST") == 0 ? "post" : "delete");
    cs_json_str(j, "summary", a->says);
    cs_json_str(j, "x-roles", admin_roles_text(r->needs, roles));
    put_parameters(j, r, a->query);
    put_body(j, a->body);
    put_responses(j);
    cs_json_object_end(j);
}

/* A path's operations stand together, whatever their order in the table. */
static bool first_of_path(const rest_route *r) {
    for (const rest_route *before = rest_api_routes; before < r; before++)
        if (strcmp(before->path, r->path) == 0) return false;
    return true;
}

static void put_paths(cs_json *j) {
    cs_json_object(j, "paths");
    for (const rest_route *r = rest_api_routes; r->path != NULL; r++) {
        char path[128];
        if (!first_of_path(r) || strncmp(r->path, REST_API, sizeof REST_API - 1) != 0) continue;
        bool below = r->path[strlen(r->path) - 1] == '/';
        (void)snprintf(path, sizeof path, "%s%s", r->path, below ? "{id}" : "");
        cs_json_object(j, path);
        for (const rest_route *same = r; same->path != NULL; same++)
            if (strcmp(same->path, r->path) == 0) put_operation(j, same);
        cs_json_object_end(j);
    }
    cs_json_object_end(j);
}

cs_status rest_openapi(rest_call *c, cs_err *err) {
    static const char problem[] =
        "{\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"reason\",\"status\",\"title\",\"detail\"],"
        "\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":"
        "\"integer\"},\"detail\":{\"type\":\"string\"},\"reason\":{\"type\":\"string\"},\"advice\":{\"type\":"
        "\"string\"}}}},"
        "\"securitySchemes\":{\"certificate\":{\"type\":\"mutualTLS\"}}}";
    cs_json j = cs_json_to(&c->out);
    (void)err;
    cs_json_object(&j, NULL);
    cs_json_str(&j, "openapi", "3.1.0");
    cs_json_object(&j, "info");
    cs_json_str(&j, "title", "countersign");
    cs_json_str(&j, "version", "1");
    cs_json_object_end(&j);
    cs_json_raw(&j, "security", CS_VIEW_LIT("[{\"certificate\":[]}]"));
    put_paths(&j);
    cs_json_raw(&j, "components", CS_VIEW_LIT(problem));
    cs_json_object_end(&j);
    return CS_OK;
}
