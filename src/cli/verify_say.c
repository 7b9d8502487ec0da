/* The verdict as text and as JSON. */
#include "cli/verify.h"

#include "base/text.h"
#include "cli/cli.h"

static void json_cert(cs_json *j, const cs_cert *c, int depth, bool anchor) {
    char name[CS_NAME_TEXT_MAX + 1];
    cs_json_object(j, NULL);
    cs_json_int(j, "depth", depth);
    cs_json_str(j, "subject", cs_name_text(c->subject, name));
    cs_json_str(j, "issuer", cs_name_text(c->issuer, name));
    cs_json_hex(j, "serial", c->serial);
    cs_json_time(j, "not_before", c->not_before);
    cs_json_time(j, "not_after", c->not_after);
    cs_json_hex(j, "sha256", cs_view_of(c->sha256, sizeof c->sha256));
    cs_json_hex(j, "spki_sha256", cs_view_of(c->spki_sha256, sizeof c->spki_sha256));
    cs_json_bool(j, "ca", c->is_ca);
    cs_json_bool(j, "anchor", anchor);
    cs_json_object_end(j);
}

static bool is_among(const cs_certs *bag, const cs_cert *c) {
    for (size_t i = 0; i < bag->n; i++) {
        if (memcmp(bag->at[i]->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    }
    return false;
}

static void json_fetches(cs_json *j, const verify_fetches *all) {
    cs_json_array(j, "fetches");
    for (size_t i = 0; i < all->n; i++) {
        const verify_fetch *f = &all->at[i];
        cs_json_object(j, NULL);
        cs_json_str(j, "url", f->url);
        cs_json_str(j, "result", f->err.reason == CS_R_NONE ? "ok" : cs_reason_of(f->err.reason)->name);
        cs_json_str(j, "detail", f->err.detail);
        cs_json_int(j, "octets", (int64_t)f->octets);
        cs_json_int(j, "milliseconds", f->took / 1000);
        cs_json_object_end(j);
    }
    cs_json_array_end(j);
}

void verify_add_json(cs_buf *b, const cs_verdict *v, const cs_certs *trust, const verify_fetches *fetches) {
    const cs_reason_info *r = cs_reason_of(v->reason);
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", v->accepted ? "accepted" : "rejected");
    cs_json_str(&j, "reason", r->name);
    cs_json_str(&j, "detail", v->detail);
    cs_json_str(&j, "says", r->says);
    cs_json_str(&j, "advice", r->advice);
    cs_json_str(&j, "source", r->source);
    cs_json_int(&j, "depth", v->depth);
    if (v->accepted) {
        cs_json_time(&j, "good_from", v->good_from);
        cs_json_time(&j, "good_until", v->good_until);
    }
    static const char *const states[] = {"not-asked", "good", "grace", "unknown"};
    cs_json_str(&j, "revocation", states[v->revocation]);
    cs_json_int(&j, "signature_checks", v->signature_checks);
    cs_json_array(&j, "chain");
    for (size_t i = 0; i < v->chain.n; i++)
        json_cert(&j, v->chain.at[i], (int)i, i + 1 == v->chain.n && is_among(trust, v->chain.at[i]));
    cs_json_array_end(&j);
    if (v->considered.chain.n > 0) {
        const cs_certs *chain = &v->considered.chain;
        cs_json_object(&j, "considered");
        cs_json_str(&j, "reason", cs_reason_of(v->considered.reason)->name);
        cs_json_str(&j, "detail", v->considered.detail);
        cs_json_int(&j, "depth", v->considered.depth);
        cs_json_array(&j, "chain");
        for (size_t i = 0; i < chain->n; i++)
            json_cert(&j, chain->at[i], (int)i, i + 1 == chain->n && is_among(trust, chain->at[i]));
        cs_json_array_end(&j);
        cs_json_object_end(&j);
    }
    if (fetches != NULL) json_fetches(&j, fetches);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

void verify_add_text(cs_buf *b, const cs_verdict *v, const cs_certs *trust) {
    const cs_reason_info *r = cs_reason_of(v->reason);
    bool colour = cli_colour(stdout);
    const char *mark = !colour ? "" : v->accepted ? "\033[32m" : "\033[31m", *dim = colour ? "\033[2m" : "";
    const char *off = colour ? "\033[0m" : "";
    char name[CS_NAME_TEXT_MAX + 1], time[CS_TIME_TEXT_MAX];
    if (v->accepted)
        cs_buf_addf(b, "%saccepted%s\n", mark, off);
    else
        cs_buf_addf(b, "%srejected%s  %s: %s\n", mark, off, r->name, r->says);
    if (!v->accepted && v->detail[0]) cs_buf_addf(b, "  %s\n", v->detail);
    if (!v->accepted && r->advice[0]) cs_buf_addf(b, "  %sto mend it: %s%s\n", dim, r->advice, off);
    if (!v->accepted && r->source[0]) cs_buf_addf(b, "  %srule: %s%s\n", dim, r->source, off);
    for (size_t i = 0; i < v->chain.n; i++) {
        const cs_cert *c = v->chain.at[i];
        bool anchor = i + 1 == v->chain.n && is_among(trust, c);
        const char *what = anchor ? "anchor" : i == 0 ? "leaf" : "CA";
        cs_buf_addf(b, "%s %zu %-6s %s  %suntil %s%s\n", (int)i == v->depth ? ">" : " ", i, what,
                    cs_name_text(c->subject, name), dim, cs_time_text(c->not_after, time), off);
    }
}
