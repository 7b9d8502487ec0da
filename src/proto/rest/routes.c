/* What there is, and who may. */
#include "conf/conf.h"
#include "proto/rest/rest_priv.h"

enum { READS = ROLE_ANY, ISSUES = ROLE_ISSUER, OPERATES = ROLE_OPERATOR, APPROVES = ROLE_APPROVER };

const rest_route rest_api_routes[] = {
    {"POST", "/api/v1/certificates", rest_issue, ISSUES, 0},
    {"POST", "/api/v1/certificates/batch", rest_issue_many, ISSUES, 0},
    {"GET", "/api/v1/certificates", rest_list, READS, 0},
    {"GET", "/api/v1/certificates/", rest_show, READS, 0},
    {"POST", "/api/v1/revocations", rest_revoke, ISSUES, 0},
    {"POST", "/api/v1/releases", rest_release, ISSUES, 0},
    {"POST", "/api/v1/crls", rest_crl_make, OPERATES, 0},
    {"GET", "/api/v1/crls", rest_crl_list, READS, 0},
    {"GET", "/api/v1/crls/", rest_crl_file, READS, 0},
    {"GET", "/api/v1/cas", rest_ca_list, READS, 0},
    {"GET", "/api/v1/cas/", rest_ca_show, READS, 0},
    {"GET", "/api/v1/rollover", rest_rollover_show, READS, 0},
    {"GET", "/api/v1/rollovers", rest_rollover_list, READS, 0},
    {"POST", "/api/v1/rollovers", rest_rollover_begin, 0, 0},
    {"POST", "/api/v1/rollovers/step", rest_rollover_step, OPERATES, CONF_TWO_CAS},
    {"GET", "/api/v1/status", rest_status, READS, 0},
    {"GET", "/api/v1/log", rest_log, ROLE_AUDITOR, 0},
    {"GET", "/api/v1/log/head", rest_log_head, READS, 0},
    {"GET", "/api/v1/log/proof/", rest_log_prove, READS, 0},
    {"GET", "/api/v1/log/consistency", rest_log_consistency, READS, 0},
    {"GET", "/api/v1/admins", rest_admin_list, READS, 0},
    {"POST", "/api/v1/admins", rest_admin_add, OPERATES, CONF_TWO_ADMINS},
    {"POST", "/api/v1/admins/remove", rest_admin_remove, OPERATES, CONF_TWO_ADMINS},
    {"POST", "/api/v1/tokens", rest_token_create, ISSUES, 0},
    {"GET", "/api/v1/tokens", rest_token_list, READS, 0},
    {"POST", "/api/v1/tokens/revoke", rest_token_revoke, ISSUES, 0},
    {"GET", "/api/v1/requests", rest_request_list, READS, 0},
    {"POST", "/api/v1/requests/approve", rest_request_approve, APPROVES, 0},
    {"POST", "/api/v1/requests/deny", rest_request_deny, APPROVES, 0},
    {"GET", "/api/v1/requests/", rest_request_show, READS, 0},
    {"POST", "/api/v1/renewals", rest_renew, ISSUES, 0},
    {"GET", "/api/v1/tags", rest_tag_list, READS, 0},
    {"POST", "/api/v1/tags", rest_tag_change, ISSUES, 0},
    {"POST", "/api/v1/permits", rest_permit, OPERATES, 0},
    {"GET", "/api/v1/proposals", rest_proposal_list, READS, 0},
    {"POST", "/api/v1/proposals/approve", rest_proposal_approve, APPROVES, 0},
    {"POST", "/api/v1/proposals/deny", rest_proposal_deny, APPROVES, 0},
    {"GET", "/api/v1/openapi.json", rest_openapi, READS, 0},
    {"GET", "/healthz", rest_health, READS, 0},
    {NULL, NULL, NULL, 0, 0},
};

const rest_route rest_public_routes[] = {
    {"GET", "/ca/ca.pem", rest_ca_pem, 0, 0}, {"GET", "/ca/", rest_ca_crt, 0, 0},
    {"GET", "/crl/", rest_ca_crl, 0, 0},      {"POST", "/ocsp", rest_ocsp_post, 0, 0},
    {"GET", "/ocsp/", rest_ocsp_get, 0, 0},   {"GET", "/healthz", rest_health, 0, 0},
    {"POST", REST_ENROLL, rest_enroll, 0, 0}, {"GET", EST_PATH, est_door, 0, 0},
    {"POST", EST_PATH, est_door, 0, 0},       {"POST", CMP_PATH, cmp_door, 0, 0},
    {"POST", CMP_PATH "/", cmp_door, 0, 0},   {NULL, NULL, NULL, 0, 0},
};
