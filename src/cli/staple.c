#include "cli/staple.h"

#include "base/text.h"
#include "cli/session.h"
#include "io/cas.h"
#include "x509/ocsp.h"
#include "x509/pem.h"

/* A site's certificate, and the CA of ours that has issued it; NULL: it is none of ours. */
typedef struct stapling {
    cs_cert *leaf, *issuer;
    char path[CONF_PATH_MAX];
} stapling;

static void stapling_free(stapling *s) {
    cs_cert_free(s->leaf);
    cs_cert_free(s->issuer);
}

static cs_status read_first(const char *path, cs_cert **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &bag, err));
    if (bag.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", path);
    *ret = cs_cert_ref(bag.at[0]);
    return CS_OK;
}

static cs_status find_issuer(const conf *c, stapling *s, cs_err *err) {
    char dir[CONF_PATH_MAX], path[FILES_PATH_MAX];
    cas_list cas;
    TRY(conf_path(c, "ca", dir, err));
    TRY(cas_list_keys(dir, &cas, err));
    for (size_t i = 0; i < cas.n && s->issuer == NULL; i++) {
        CS_AUTO(cs_cert) ca = NULL;
        TRY(cas_path(dir, cas.at[i], "crt", path, err));
        TRY(read_first(path, &ca, err));
        if (cs_view_eq(ca->subject, s->leaf->issuer) && cs_view_eq(ca->skid, s->leaf->akid)) s->issuer = CS_TAKE(ca);
    }
    return CS_OK;
}

/* *ret_ours false: the site brings its own answer, or a certificate that another has issued. */
static cs_status look(const conf *c, const conf_site *site, stapling *s, bool *ret_ours, cs_err *err) {
    char path[CONF_PATH_MAX];
    *ret_ours = false;
    if (site->ocsp != NULL) return CS_OK;
    TRY(conf_path(c, "gateway/server.crt", path, err));
    if (site->certificate == NULL && !files_exists(path)) return CS_OK; /* it is being made */
    TRY(read_first(site->certificate != NULL ? site->certificate : path, &s->leaf, err));
    TRY(find_issuer(c, s, err));
    *ret_ours = s->issuer != NULL;
    return conf_staple_path(c, s->leaf->sha256, s->path, err);
}

static bool is_fresh(const stapling *s, cs_time now) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_OCSP_MAX);
    CS_AUTO(cs_ocsp) o = NULL;
    cs_ocsp_single is = {.has_next_update = false};
    cs_err ignored;
    if (!files_exists(s->path) || files_read(s->path, CS_OCSP_MAX, &der, &ignored) != CS_OK ||
        cs_ocsp_decode(cs_buf_view(&der), &o, &ignored) != CS_OK || !cs_ocsp_find(o, s->leaf, s->issuer, &is))
        return false;
    return is.has_next_update && now >= is.this_update && now < is.this_update + (is.next_update - is.this_update) / 2;
}

static cs_status fetch(const stapling *s, const char *control, cs_err *err) {
    char path[64], hex[2 * CS_SERIAL_MAX + 1];
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_OCSP_MAX);
    json_t *answer = NULL;
    if (s->leaf->serial.n > CS_SERIAL_MAX) return CS_OK;
    (void)snprintf(path, sizeof path, "/api/v1/ocsp/%s", cs_hex(s->leaf->serial, hex));
    TRY(session_call_at(control, "GET", path, NULL, &answer, err));
    bool good = cs_base64_decode(cs_view_str(json_text(answer, "der")), false, &der) && der.n > 0;
    json_decref(answer);
    if (!good) return cs_fail(err, CS_FAILED, CS_R_OCSP_INVALID, "the authority's answer about %s", hex);
    return files_write(s->path, cs_buf_view(&der), 0644, FILES_REPLACE, err);
}

bool staple_due(const conf *c, cs_time now) {
    for (unsigned i = 0; i < c->site_count; i++) {
        CS_SCOPED(stapling) s = {.leaf = NULL};
        bool ours = false;
        cs_err ignored;
        if (look(c, &c->sites[i], &s, &ours, &ignored) == CS_OK && ours && !is_fresh(&s, now)) return true;
    }
    return false;
}

static cs_status renew_one(const conf *c, const conf_site *site, const char *control, cs_time now, cs_err *err) {
    CS_SCOPED(stapling) s = {.leaf = NULL};
    bool ours = false;
    TRY(look(c, site, &s, &ours, err));
    return ours && !is_fresh(&s, now) ? fetch(&s, control, err) : CS_OK;
}

cs_status staple_run(const conf *c, const char *control, cs_time now, cs_err *err) {
    char dir[CONF_PATH_MAX];
    cs_err first = {.status = CS_OK}, why;
    TRY(conf_path(c, "gateway/staples", dir, err));
    TRY(files_mkdir_private(dir, err));
    for (unsigned i = 0; i < c->site_count; i++)
        if (renew_one(c, &c->sites[i], control, now, &why) != CS_OK && first.status == CS_OK) first = why;
    if (first.status != CS_OK) *err = first;
    return first.status;
}
