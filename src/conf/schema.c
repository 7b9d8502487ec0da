#include "conf/schema.h"

#include "conf/conf.h"

/* libcyaml's tables hold pointers to const as plain ones and flags as enums. */
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wconversion"

enum { TEXT_MAX = 1000, SITES_MAX = 1000, ROUTES_MAX = 1000, ALLOW_MAX = 1000, PROFILES_MAX = 200, DOORS_MAX = 200 };

#define TEXT(type, field)                                                                                              \
    CYAML_FIELD_STRING_PTR(#field, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, field, 0, TEXT_MAX)
#define NEEDED_TEXT(type, field) CYAML_FIELD_STRING_PTR(#field, CYAML_FLAG_POINTER, type, field, 0, TEXT_MAX)
#define NUMBER(type, field) CYAML_FIELD_UINT_PTR(#field, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, field)
#define TRUTH(type, field) CYAML_FIELD_BOOL_PTR(#field, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, field)
#define SECTION(type, field, fields) CYAML_FIELD_MAPPING(#field, CYAML_FLAG_OPTIONAL, type, field, fields)
#define LIST(type, field, entry, max)                                                                                  \
    CYAML_FIELD_SEQUENCE(#field, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, field, &(entry), 0, max)

static const cyaml_schema_value_t text_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_MAX)};

static const cyaml_schema_field_t allow_fields[] = {
    TEXT(file_allow, kind),         TEXT(file_allow, name),    TEXT(file_allow, dns),
    TEXT(file_allow, email),        TEXT(file_allow, ip),      TEXT(file_allow, uri),
    TEXT(file_allow, spiffe),       TEXT(file_allow, issuer),  TEXT(file_allow, o),
    TEXT(file_allow, ou),           TEXT(file_allow, profile), TEXT(file_allow, fingerprint),
    TEXT(file_allow, fingerprints), CYAML_FIELD_END,
};
static const cyaml_schema_value_t allow_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_allow, allow_fields)};

static const cyaml_schema_field_t route_fields[] = {
    NEEDED_TEXT(file_route, path),
    TEXT(file_route, host),
    LIST(file_route, methods, text_entry, 32),
    TEXT(file_route, upstream),
    LIST(file_route, allow, allow_entry, ALLOW_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t route_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_route, route_fields)};

static const cyaml_schema_field_t pair_fields[] = {
    NEEDED_TEXT(file_pair, certificate),
    NEEDED_TEXT(file_pair, key),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t pair_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_pair, pair_fields)};

static const cyaml_schema_field_t upstream_fields[] = {
    NEEDED_TEXT(file_upstream, name),
    LIST(file_upstream, servers, text_entry, 64),
    TEXT(file_upstream, ca),
    TEXT(file_upstream, certificate),
    TEXT(file_upstream, key),
    TEXT(file_upstream, crl),
    LIST(file_upstream, pins, text_entry, 1000),
    TEXT(file_upstream, server_name),
    TEXT(file_upstream, alpn),
    TEXT(file_upstream, starttls),
    TEXT(file_upstream, health),
    TEXT(file_upstream, interval),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t upstream_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_upstream, upstream_fields)};

static const cyaml_schema_field_t site_fields[] = {
    NEEDED_TEXT(file_site, name),
    TEXT(file_site, certificate),
    TEXT(file_site, key),
    LIST(file_site, certificates, pair_entry, 4),
    TEXT(file_site, ocsp),
    TEXT(file_site, groups),
    TEXT(file_site, ca_names),
    LIST(file_site, pins, text_entry, 1000),
    TEXT(file_site, client),
    TEXT(file_site, client_ca),
    TEXT(file_site, client_crl),
    TEXT(file_site, min_tls),
    TEXT(file_site, upstream),
    TRUTH(file_site, authority),
    TRUTH(file_site, enroll),
    TEXT(file_site, listen),
    TEXT(file_site, protocol),
    TEXT(file_site, tls),
    TEXT(file_site, alpn),
    TEXT(file_site, starttls),
    TRUTH(file_site, proxy_protocol),
    LIST(file_site, allow, allow_entry, ALLOW_MAX),
    LIST(file_site, routes, route_entry, ROUTES_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t site_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_site, site_fields)};

static const cyaml_schema_field_t subject_fields[] = {
    TEXT(file_subject, cn),
    TEXT(file_subject, o),
    TEXT(file_subject, ou),
    TEXT(file_subject, c),
    TEXT(file_subject, serial_number),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t extension_fields[] = {
    NEEDED_TEXT(file_extension, oid),
    NEEDED_TEXT(file_extension, der),
    TRUTH(file_extension, critical),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t extension_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_extension, extension_fields)};

static const cyaml_schema_field_t profile_fields[] = {
    NEEDED_TEXT(file_profile, name),
    TEXT(file_profile, kind),
    LIST(file_profile, keys, text_entry, 16),
    TEXT(file_profile, lifetime),
    TEXT(file_profile, longest),
    TEXT(file_profile, backdate),
    LIST(file_profile, key_usage, text_entry, 16),
    LIST(file_profile, extended_key_usage, text_entry, 16),
    SECTION(file_profile, subject, subject_fields),
    LIST(file_profile, names, text_entry, CS_PROFILE_LISTED_MAX),
    LIST(file_profile, deny_names, text_entry, CS_PROFILE_LISTED_MAX),
    LIST(file_profile, fixed_names, text_entry, CS_PROFILE_LISTED_MAX),
    TRUTH(file_profile, names_from_request),
    NUMBER(file_profile, most_names),
    LIST(file_profile, policies, text_entry, CS_PROFILE_LISTED_MAX),
    TRUTH(file_profile, must_staple),
    LIST(file_profile, extensions, extension_entry, 32),
    LIST(file_profile, ask, text_entry, 32),
    TRUTH(file_profile, approval),
    TRUTH(file_profile, shared_key),
    TRUTH(file_profile, supersede),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t profile_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_profile, profile_fields)};

static const cyaml_schema_field_t enroll_kind_fields[] = {
    TEXT(file_enroll, approval),   TEXT(file_enroll, grace), TEXT(file_enroll, retry),
    TRUTH(file_enroll, supersede), CYAML_FIELD_END,
};
static const cyaml_schema_field_t door_fields[] = {
    NEEDED_TEXT(file_door, protocol), TEXT(file_door, label),
    TRUTH(file_door, serve),          LIST(file_door, sites, text_entry, SITES_MAX),
    TRUTH(file_door, plain),          TEXT(file_door, profile),
    TEXT(file_door, approval),        TRUTH(file_door, legacy),
    TEXT(file_door, ca_certificates), TEXT(file_door, accounts),
    TEXT(file_door, channel_binding), CYAML_FIELD_END,
};
static const cyaml_schema_value_t door_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_door, door_fields)};
static const cyaml_schema_field_t vendor_fields[] = {
    NEEDED_TEXT(file_vendor, name),
    TEXT(file_vendor, as),
    NEEDED_TEXT(file_vendor, anchors),
    TEXT(file_vendor, crl),
    TEXT(file_vendor, serial),
    TEXT(file_vendor, identity),
    TRUTH(file_vendor, listed),
    TEXT(file_vendor, profile),
    TEXT(file_vendor, use),
    LIST(file_vendor, sites, text_entry, SITES_MAX),
    LIST(file_vendor, doors, text_entry, 8),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t vendor_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_vendor, vendor_fields)};
typedef __typeof__(((file_conf *)0)->enroll) file_enrolls;
static const cyaml_schema_field_t enroll_fields[] = {
    SECTION(file_enrolls, server, enroll_kind_fields),
    SECTION(file_enrolls, user, enroll_kind_fields),
    SECTION(file_enrolls, device, enroll_kind_fields),
    LIST(file_enrolls, doors, door_entry, DOORS_MAX),
    LIST(file_enrolls, vendors, vendor_entry, CONF_VENDORS_MAX),
    TRUTH(file_enrolls, listed_keys),
    TRUTH(file_enrolls, trace),
    CYAML_FIELD_END,
};

typedef __typeof__(((file_conf *)0)->crl) file_crl;
typedef __typeof__(((file_conf *)0)->ocsp) file_ocsp;
typedef __typeof__(((file_conf *)0)->limits) file_limits;
typedef __typeof__(((file_conf *)0)->log) file_log;
typedef __typeof__(((file_conf *)0)->notices) file_notices;

static const cyaml_schema_field_t crl_of_fields[] = {
    NEEDED_TEXT(file_crl_of, ca),
    TEXT(file_crl_of, lifetime),
    TEXT(file_crl_of, interval),
    TEXT(file_crl_of, delta),
    NUMBER(file_crl_of, shards),
    TRUTH(file_crl_of, delta_in_certificates),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t crl_of_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_crl_of, crl_of_fields)};
static const cyaml_schema_field_t crl_fields[] = {
    TEXT(file_crl, lifetime),
    TEXT(file_crl, interval),
    TEXT(file_crl, delta),
    NUMBER(file_crl, shards),
    TRUTH(file_crl, delta_in_certificates),
    LIST(file_crl, cas, crl_of_entry, CS_CAS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t ocsp_fields[] = {
    TEXT(file_ocsp, lifetime),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT(file_limits, handshake),    TEXT(file_limits, header),
    TEXT(file_limits, idle),         TEXT(file_limits, stream),
    TEXT(file_limits, connect),      TEXT(file_limits, upstream),
    TEXT(file_limits, drain),        NUMBER(file_limits, connections),
    NUMBER(file_limits, handshakes), NUMBER(file_limits, connections_per_address),
    NUMBER(file_limits, body_rate),  NUMBER(file_limits, handshakes_per_address),
    NUMBER(file_limits, body),       CYAML_FIELD_END,
};
static const cyaml_schema_field_t log_fields[] = {
    TEXT(file_log, format),
    TRUTH(file_log, access),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t notices_fields[] = {
    LIST(file_notices, before, text_entry, CONF_NOTICES_MAX),
    LIST(file_notices, mail_to, text_entry, 32),
    TEXT(file_notices, mail_from),
    TEXT(file_notices, sendmail),
    TEXT(file_notices, smtp),
    TEXT(file_notices, smtp_user),
    TEXT(file_notices, smtp_password),
    TEXT(file_notices, webhook),
    TEXT(file_notices, webhook_token),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t acme_fields[] = {
    TEXT(file_acme, url),
    LIST(file_acme, resolvers, text_entry, 4),
    LIST(file_acme, fetch_from, text_entry, CONF_NETWORKS_MAX),
    NUMBER(file_acme, http_port),
    NUMBER(file_acme, tls_port),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t conf_fields[] = {
    TEXT(file_conf, state),
    TEXT(file_conf, https),
    TEXT(file_conf, http),
    TEXT(file_conf, metrics),
    TEXT(file_conf, public_url),
    TEXT(file_conf, trust_domain),
    TEXT(file_conf, store),
    TEXT(file_conf, upstream),
    NUMBER(file_conf, threads),
    LIST(file_conf, sites, site_entry, SITES_MAX),
    LIST(file_conf, upstreams, upstream_entry, SITES_MAX),
    LIST(file_conf, two_person, text_entry, 8),
    LIST(file_conf, weak_keys, text_entry, 16),
    TEXT(file_conf, follow),
    TEXT(file_conf, ticket_keys),
    TEXT(file_conf, tls_records),
    LIST(file_conf, profiles, profile_entry, PROFILES_MAX),
    SECTION(file_conf, enroll, enroll_fields),
    SECTION(file_conf, acme, acme_fields),
    SECTION(file_conf, crl, crl_fields),
    SECTION(file_conf, ocsp, ocsp_fields),
    SECTION(file_conf, limits, limits_fields),
    TEXT(file_conf, revocation_grace),
    SECTION(file_conf, log, log_fields),
    SECTION(file_conf, notices, notices_fields),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t conf_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, file_conf, conf_fields)};
