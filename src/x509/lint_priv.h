/* x509/lint_priv.h - the checks behind lint.c's table: NULL when the rule is kept or is not about this object, else
 * what is wrong, static text. Only x509's lint*.c include this. */
#ifndef CS_X509_LINT_PRIV_H
#define CS_X509_LINT_PRIV_H

#include "x509/cert_priv.h"
#include "x509/crl.h"

typedef const char *lint_cert_check(const cs_cert *c);
typedef const char *lint_crl_check(const cs_crl *c);

lint_cert_check lint_form, lint_form_strict, lint_version, lint_serial, lint_serial_random, lint_validity_order,
    lint_validity_server, lint_algorithm, lint_key, lint_ca_subject, lint_subject_lengths, lint_country, lint_blanks;
lint_cert_check lint_ca_constraints, lint_path_length, lint_ca_key_usage, lint_leaf_signs, lint_key_usage_missing,
    lint_key_usage_critical, lint_usage_fits, lint_eku_missing, lint_eku_any, lint_ca_skid, lint_akid, lint_crl_address,
    lint_revocation, lint_constraints, lint_critical;
lint_cert_check lint_san_missing, lint_san_critical, lint_san_not_critical, lint_dns, lint_email, lint_uri,
    lint_san_twice, lint_cn_in_san;
lint_crl_check lint_crl_form, lint_crl_strict, lint_crl_next, lint_crl_number, lint_crl_akid, lint_crl_algorithm,
    lint_crl_critical, lint_crl_long;

#endif
