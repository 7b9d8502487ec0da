/* countersign verify: the verdict on a certificate, with its reason. DESIGN.md section 4 has its contract. */
#include "verify/verify.h"
#include "x509/cms.h"
#include "x509/der.h"
#include "x509/p12.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/verify.h"
#include "io/files.h"

typedef struct question {
    cli_texts names, trust, chain, crls, ocsps, policies, pins, denied, allowed, fetch_from;
    const char *purpose, *at, *revocation, *grace, *crl_state, *password_file;
    unsigned max_depth;
    bool require_revocation, explicit_policy, inhibit_mapping, inhibit_any, json, fetch;
    cs_name_want wants[CLI_LIST_MAX];
    cs_view policy_oids[CLI_LIST_MAX];
    uint8_t policy_bytes[CLI_LIST_MAX][CS_DER_OID_MAX];
    cs_want want;
    addr_range fetch_ranges[CLI_LIST_MAX];
    verify_fetches fetches;
} question;

/* Unreadable input and usage are exit 2: the verdict is then neither yes nor no. */
static int unreadable(const cs_err *err, bool json) {
    (void)cli_fail("verify", err, json);
    return CLI_USAGE;
}

/* ---- what was asked ---- */

static int parse_name(const char *text, cs_name_want *ret) {
    static const struct {
        const char *prefix;
        cs_san_type type;
    } kinds[] = {{"dns:", CS_SAN_DNS}, {"ip:", CS_SAN_IP}, {"email:", CS_SAN_EMAIL}, {"uri:", CS_SAN_URI}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].prefix);
        if (strncmp(text, kinds[i].prefix, n) != 0) continue;
        if (text[n] == '\0') break;
        *ret = (cs_name_want){kinds[i].type, text + n};
        return 0;
    }
    return cli_usage("verify", "--name \"%s\", expected dns:HOST, ip:ADDRESS, email:ADDRESS or uri:URI", text);
}

/* "2.16.840..." as OID contents. */
static bool parse_oid(const char *text, uint8_t out[CS_DER_OID_MAX], cs_view *ret) {
    size_t n = 0, arc = 0;
    uint64_t first = 0;
    for (const char *p = text; *p; arc++) {
        char *end;
        if (*p < '0' || *p > '9') return false;
        uint64_t v = strtoull(p, &end, 10);
        if (*end && *end != '.') return false;
        p = *end ? end + 1 : end;
        if (arc == 0) {
            first = v;
            continue;
        }
        if (arc == 1) v += first * 40;
        if (first > 2 || v >> 56 || n + 9 > CS_DER_OID_MAX) return false;
        for (int shift = 56; shift >= 0; shift -= 7) {
            if (shift && !(v >> shift)) continue;
            out[n++] = (uint8_t)((v >> shift & 0x7f) | (shift ? 0x80 : 0));
        }
    }
    *ret = (cs_view){out, n};
    return arc >= 2;
}

static int fill_revocation(question *q) {
    static const char *const names[] = {[CS_REVOCATION_GIVEN] = "given",
                                        [CS_REVOCATION_REQUIRE] = "require",
                                        [CS_REVOCATION_PREFER] = "prefer",
                                        [CS_REVOCATION_OFF] = "off"};
    q->want.revocation = q->require_revocation ? CS_REVOCATION_REQUIRE
                         : q->fetch            ? CS_REVOCATION_PREFER
                                               : CS_REVOCATION_GIVEN;
    for (size_t i = 0; i < q->fetch_from.n; i++)
        if (!addr_range_parse(q->fetch_from.at[i], &q->fetch_ranges[i]))
            return cli_usage("verify", "--fetch-from \"%s\", expected an address or network such as 10.0.0.0/8",
                             q->fetch_from.at[i]);
    if (!q->revocation) return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(q->revocation, names[i]) != 0) continue;
        if (q->require_revocation && i != CS_REVOCATION_REQUIRE)
            return cli_usage("verify", "--revocation %s and --require-revocation contradict each other", names[i]);
        q->want.revocation = (cs_revocation)i;
        return 0;
    }
    return cli_usage("verify", "--revocation \"%s\", expected off, given, prefer or require", q->revocation);
}

static int fill_want(question *q, const cs_clock *clock) {
    cs_want *w = &q->want;
    if (!q->purpose) return cli_usage("verify", "--purpose is missing: server, client or any");
    if (strcmp(q->purpose, "server") == 0)
        w->purpose = CS_PURPOSE_SERVER;
    else if (strcmp(q->purpose, "client") == 0)
        w->purpose = CS_PURPOSE_CLIENT;
    else if (strcmp(q->purpose, "any") == 0)
        w->purpose = CS_PURPOSE_ANY;
    else
        return cli_usage("verify", "--purpose \"%s\", expected server, client or any", q->purpose);
    w->at = cs_now(clock);
    if (q->at && !cs_time_parse(cs_view_str(q->at), &w->at))
        return cli_usage("verify", "--at \"%s\", expected RFC 3339 such as 2026-11-23T15:08:00Z", q->at);
    for (size_t i = 0; i < q->names.n; i++) {
        int bad = parse_name(q->names.at[i], &q->wants[i]);
        if (bad) return bad;
    }
    for (size_t i = 0; i < q->policies.n; i++) {
        if (!parse_oid(q->policies.at[i], q->policy_bytes[i], &q->policy_oids[i]))
            return cli_usage("verify", "--policy \"%s\", expected an object identifier such as 2.23.140.1.2.1",
                             q->policies.at[i]);
    }
    w->names = q->wants;
    w->name_count = q->names.n;
    w->max_depth = q->max_depth == UINT32_MAX ? -1 : (int)q->max_depth;
    if (q->grace && !cs_duration_parse(cs_view_str(q->grace), &w->grace))
        return cli_usage("verify", "--grace \"%s\", expected a duration such as 12h or 2d", q->grace);
    int bad = fill_revocation(q);
    if (bad) return bad;
    w->policies = q->policy_oids;
    w->policy_count = q->policies.n;
    w->explicit_policy = q->explicit_policy;
    w->inhibit_mapping = q->inhibit_mapping;
    w->inhibit_any = q->inhibit_any;
    w->explain = q->json;
    return 0;
}

/* ---- what was given ---- */

static cs_status read_certs(const char *path, cs_certs *bag, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read_noting(cs_buf_view(&text), path, bag, err);
}

/* A bag has no order: the leaf is the one that issued none of the others. */
static cs_status read_leaf(const question *q, const char *path, cs_certs *bag, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_AUTO(cs_secret) password = NULL;
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    cs_view v = cs_buf_view(&text);
    if (cs_looks_p12(v)) {
        if (!q->password_file)
            return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED,
                           "%s: PKCS#12; give its password with --password-file", path);
        TRY(cli_read_secret(q->password_file, &password, err));
        return cs_p12_certs_read(v, password, path, bag, err);
    }
    TRY(cs_certs_read_noting(v, path, bag, err));
    bool unordered =
        cs_looks_cms(v) || memmem(v.p, v.n, "-----BEGIN PKCS7", 16) || memmem(v.p, v.n, "-----BEGIN CMS", 14);
    return unordered ? cs_certs_leaf_first(bag, path, err) : CS_OK;
}

static cs_status read_all(const cli_texts *paths, cs_certs *bag, cs_err *err) {
    for (size_t i = 0; i < paths->n; i++) TRY(read_certs(paths->at[i], bag, err));
    return CS_OK;
}

static cs_status read_crls(const cli_texts *paths, cs_crls *set, cs_err *err) {
    for (size_t i = 0; i < paths->n; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
        TRY(files_read(paths->at[i], CS_CRL_MAX, &text, err));
        TRY(cs_crls_take(set, &text, paths->at[i], err));
    }
    return CS_OK;
}

static cs_status read_ocsps(const cli_texts *paths, cs_ocsps *set, cs_err *err) {
    for (size_t i = 0; i < paths->n; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_OCSP_MAX);
        TRY(files_read(paths->at[i], CS_OCSP_MAX, &der, err));
        TRY(cs_ocsps_read(set, cs_buf_view(&der), paths->at[i], err));
    }
    return CS_OK;
}

static cs_status read_pins(const cli_texts *said, cs_pins *pins, cs_err *err) {
    for (size_t i = 0; i < said->n; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
        if (said->at[i][0] != '@') {
            TRY(cs_pins_add(pins, said->at[i], "--pin", err));
            continue;
        }
        TRY(files_read(said->at[i] + 1, CS_PEM_FILE_MAX, &text, err));
        TRY(cs_pins_read(pins, cs_buf_view(&text), said->at[i] + 1, err));
    }
    return CS_OK;
}

static cs_status read_list(const cli_texts *paths, bool deny, cs_list **ret, cs_err *err) {
    if (paths->n == 0) return CS_OK;
    TRY(cs_list_new(ret, err));
    for (size_t i = 0; i < paths->n; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
        TRY(files_read(paths->at[i], CS_CRL_MAX, &text, err));
        TRY(cs_list_read(*ret, cs_buf_view(&text), deny, paths->at[i], err));
    }
    return CS_OK;
}

typedef struct given {
    cs_certs leaf, trust, chain; /* leaf: the first is the leaf, the others count as chain */
    cs_anchors *anchors;
    cs_crls *crls;
    cs_ocsps *ocsps;
    cs_pins *pins;
    cs_list *deny, *allow;
    cs_marks *marks;
} given;

static void given_free(given *g) {
    cs_certs_free(&g->leaf);
    cs_certs_free(&g->trust);
    cs_certs_free(&g->chain);
    cs_anchors_free(g->anchors);
    cs_crls_free(g->crls);
    cs_ocsps_free(g->ocsps);
    cs_pins_free(g->pins);
    cs_list_free(g->deny);
    cs_list_free(g->allow);
    cs_marks_free(g->marks);
}

static cs_status read_marks(const char *path, cs_marks **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_MARKS_FILE_MAX);
    TRY(cs_marks_new(ret, err));
    if (!files_exists(path)) return CS_OK;
    TRY(files_read(path, CS_MARKS_FILE_MAX, &text, err));
    return cs_marks_read(*ret, cs_buf_view(&text), path, err);
}

static cs_status keep_marks(const char *path, const cs_marks *m, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_MARKS_FILE_MAX);
    if (!m || !cs_marks_raised(m)) return CS_OK;
    (void)cs_marks_write(m, &text);
    TRY(cs_buf_ok(&text, path, err));
    return files_write(path, cs_buf_view(&text), 0600, FILES_REPLACE, err);
}

static cs_status read_given(question *q, const char *leaf, given *g, cs_err *err) {
    TRY(read_leaf(q, leaf, &g->leaf, err));
    TRY(read_all(&q->trust, &g->trust, err));
    TRY(read_all(&q->chain, &g->chain, err));
    for (size_t i = 1; i < g->leaf.n; i++) TRY(cs_certs_add(&g->chain, cs_cert_ref(g->leaf.at[i]), err));
    TRY(cs_anchors_new(&g->trust, &g->anchors, err));
    TRY(cs_crls_new(&g->crls, err));
    TRY(cs_ocsps_new(&g->ocsps, err));
    TRY(read_crls(&q->crls, g->crls, err));
    TRY(read_ocsps(&q->ocsps, g->ocsps, err));
    q->want.crls = g->crls;
    q->want.ocsps = g->ocsps;
    if (q->crl_state) TRY(read_marks(q->crl_state, &g->marks, err));
    q->want.marks = g->marks;
    TRY(cs_pins_new(&g->pins, err));
    TRY(read_pins(&q->pins, g->pins, err));
    TRY(read_list(&q->denied, true, &g->deny, err));
    TRY(read_list(&q->allowed, false, &g->allow, err));
    q->want.pins = g->pins;
    q->want.deny = g->deny;
    q->want.allow = g->allow;
    return CS_OK;
}

/* Only what stands in a path that holds otherwise is believed when it says where to ask. */
static cs_status fetch_for(question *q, const given *g, cs_err *err) {
    CS_SCOPED(cs_verdict) v = {.accepted = false};
    cs_want want = q->want;
    want.revocation = CS_REVOCATION_OFF;
    want.explain = false;
    TRY(cs_verify(g->anchors, g->leaf.at[0], &g->chain, &want, &v, err));
    if (!v.accepted) return CS_OK;
    return verify_fetch_all(&v.chain, q->fetch_ranges, (unsigned)q->fetch_from.n, g->crls, g->ocsps, &q->fetches, err);
}

/* ---- the answer ---- */

static int verify(question *q, const char *leaf) {
    given g = {0};
    cs_err err = {0};
    cs_verdict v = {.accepted = false};
    CS_SCOPED(cs_buf) b = cs_buf_of(1 << 20);
    int code = CLI_USAGE;
    cs_status s = read_given(q, leaf, &g, &err);
    if (s == CS_OK && q->fetch) s = fetch_for(q, &g, &err);
    if (s == CS_OK) s = cs_verify(g.anchors, g.leaf.at[0], &g.chain, &q->want, &v, &err);
    if (s == CS_OK) s = keep_marks(q->crl_state, g.marks, &err);
    if (s != CS_OK) {
        code = unreadable(&err, q->json);
    } else {
        if (q->json)
            verify_add_json(&b, &v, &g.trust, q->fetch ? &q->fetches : NULL);
        else
            verify_add_text(&b, &v, &g.trust);
        code = !cli_print(&b) ? CLI_USAGE : v.accepted ? CLI_DONE : CLI_FAILED;
    }
    cs_verdict_free(&v);
    given_free(&g);
    return code;
}

int cli_verify(int argc, char **argv) {
    static question q; /* lists of a hundred and more: not for the stack */
    q = (question){.max_depth = UINT32_MAX};
    const cli_opt opts[] = {
        {"purpose", 'p', CLI_TEXT, &q.purpose, "PURPOSE", "server, client, or any (RFC 5280 alone)"},
        {"name", 'n', CLI_LIST, &q.names, "NAME",
         "dns:HOST, ip:ADDRESS, email:ADDRESS or uri:URI; one match is enough"},
        {"trust", 't', CLI_LIST, &q.trust, "FILE", "trust anchors; without one nothing is accepted"},
        {"password-file", 0, CLI_TEXT, &q.password_file, "FILE", "holds the password of LEAF, when it is PKCS#12"},
        {"chain", 0, CLI_LIST, &q.chain, "FILE", "intermediates, in any order, not trusted by themselves"},
        {"crl", 0, CLI_LIST, &q.crls, "FILE", "CRLs, full or delta, PEM or DER"},
        {"ocsp", 0, CLI_LIST, &q.ocsps, "FILE", "OCSP responses, DER"},
        {"fetch", 0, CLI_FLAG, &q.fetch, NULL,
         "get CRLs and OCSP answers that the certificates name; --revocation is then prefer"},
        {"fetch-from", 0, CLI_LIST, &q.fetch_from, "NETWORK",
         "may be asked although it is no public address, at any port"},
        {"revocation", 0, CLI_TEXT, &q.revocation, "POLICY",
         "off, given (the default), prefer, or require: what it takes when a state is not known"},
        {"grace", 0, CLI_TEXT, &q.grace, "DURATION", "how long CRLs and OCSP responses count after their next update"},
        {"crl-state", 0, CLI_TEXT, &q.crl_state, "FILE", "remembers the newest CRLs; refuses older ones from then on"},
        {"pin", 0, CLI_LIST, &q.pins, "PIN",
         "[leaf:|issuer:|anchor:]sha256/BASE64[;until=TIME] or @FILE; one match is enough"},
        {"deny", 0, CLI_LIST, &q.denied, "FILE", "certificates or keys that no path may hold"},
        {"allow", 0, CLI_LIST, &q.allowed, "FILE", "the leaf must be one of these"},
        {"require-revocation", 0, CLI_FLAG, &q.require_revocation, NULL,
         "ask for a current CRL or OCSP response for every certificate but the anchor"},
        {"at", 0, CLI_TEXT, &q.at, "TIME", "judge as of that time (RFC 3339), not now"},
        {"max-depth", 0, CLI_NUMBER, &q.max_depth, "N", "at most N intermediates; self-issued ones do not count"},
        {"policy", 0, CLI_LIST, &q.policies, "OID", "an acceptable certificate policy; may repeat"},
        {"explicit-policy", 0, CLI_FLAG, &q.explicit_policy, NULL, "an acceptable policy must hold for the whole path"},
        {"inhibit-mapping", 0, CLI_FLAG, &q.inhibit_mapping, NULL, "policies may not be mapped"},
        {"inhibit-any-policy", 0, CLI_FLAG, &q.inhibit_any, NULL, "anyPolicy stands for nothing"},
        CLI_OPT_JSON(q.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "verify",
        .synopsis = "--purpose server|client|any --trust FILE [OPTION]... LEAF",
        .says = "Says whether the certificate in LEAF (PEM, DER, PKCS#7 or PKCS#12; more in the file count as chain) "
                "is good, now, for\n"
                "that purpose, and if not, why. Exit code 0 accepted, 1 rejected, 2 usage or unreadable input.",
        .examples =
            "  countersign verify --purpose client --trust ca.pem device.crt\n"
            "  countersign verify --purpose server --name dns:gw.corp.example --trust ca.pem --chain mid.pem gw.crt",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    cli_texts operands;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    code = fill_want(&q, cs_clock_system());
    return code ? code : verify(&q, operands.at[0]);
}
