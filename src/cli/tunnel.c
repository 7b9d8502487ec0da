/* countersign tunnel: a program that speaks no TLS, through mutual TLS to a remote. Becomes the gateway's program, with
 * one plain site: whoever started the command has it as its own child, to signal and to wait for. */
#include <string.h>

#include "cli/cli.h"
#include "cli/up.h"

/* As the configuration writes them: a port alone is one of loopback, a path is a unix socket. */
static cs_status operands(const cli_texts *from, cs_buf *local, cs_buf *remote, conf_tunnel *t, cs_err *err) {
    const char *l = from->at[0], *r = from->at[1];
    bool port = l[0] != '\0' && strspn(l, "0123456789") == strlen(l);
    (void)cs_buf_addf(local, "%s%s", port ? "127.0.0.1:" : l[0] == '/' ? "unix:" : "", l);
    (void)cs_buf_addf(remote, "%s%s", strstr(r, "://") == NULL ? "tls://" : "", r);
    t->listen = cs_buf_cstr(local);
    t->remote = cs_buf_cstr(remote);
    return t->listen != NULL && t->remote != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status join(const cli_texts *pins, cs_buf *b, const char **ret, cs_err *err) {
    for (size_t i = 0; i < pins->n; i++) (void)cs_buf_addf(b, "%s%s", i > 0 ? "," : "", pins->at[i]);
    if (pins->n > 0) *ret = cs_buf_cstr(b);
    return cs_buf_ok(b, "the pins", err);
}

int cli_tunnel(int argc, char **argv) {
    conf_overrides said = {.threads = 0};
    conf_tunnel *t = &said.tunnel;
    cli_texts pins = {.n = 0}, from;
    bool check = false;
    const cli_opt opts[] = {
        {"cert", 0, CLI_TEXT, &t->certificate, "FILE", "our certificate and its intermediates, PEM"},
        {"key", 0, CLI_TEXT, &t->key, "FILE", "its private key, PEM"},
        {"ca", 0, CLI_TEXT, &t->ca, "FILE", "whom we trust about the remote, PEM (default: this machine's CAs)"},
        {"crl", 0, CLI_TEXT, &t->crl, "FILE", "CRLs of those, PEM or DER"},
        {"pin", 0, CLI_LIST, &pins, "PIN", "[leaf:|issuer:|anchor:]sha256/BASE64: a key that must be in its path"},
        {"server-name", 0, CLI_TEXT, &t->server_name, "NAME", "whom we expect there (default: REMOTE's host)"},
        {"alpn", 0, CLI_TEXT, &t->alpn, "NAMES", "protocols that are offered, with commas between"},
        {"starttls", 0, CLI_TEXT, &t->starttls, "PROTOCOL", "how TLS is asked for: postgres"},
        {"metrics", 0, CLI_TEXT, &said.metrics, "ADDR:PORT", "Prometheus (default: none)"},
        {"threads", 0, CLI_NUMBER, &said.threads, "N", "default: one a core"},
        {"check", 0, CLI_FLAG, &check, NULL, "only check the options, with every file that they name"},
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "tunnel",
        .synopsis = "LOCAL REMOTE [OPTION]...",
        .says = "Carries connections of programs that speak no TLS to REMOTE (HOST:PORT) through mutual TLS.\n"
                "LOCAL: PORT or ADDR:PORT of this machine, unix:/PATH, or - for standard input and output.\n"
                "Files that change are read again; new connections use them.",
        .examples = "  countersign tunnel 1883 mqtt.example:8883 --cert pump.crt --key pump.key --ca ca.pem\n"
                    "  countersign tunnel unix:/run/db/.s.PGSQL.5432 db.example:5432 --starttls postgres --cert ...",
        .opts = opts,
        .operands_min = 2,
        .operands_max = 2,
    };
    CS_SCOPED(cs_buf) local = cs_buf_of(1024), remote = cs_buf_of(1024), pin_text = cs_buf_of(8192);
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &from, &code)) return code;
    if (operands(&from, &local, &remote, t, &err) != CS_OK || join(&pins, &pin_text, &t->pins, &err) != CS_OK ||
        up_become_gateway(&said, strcmp(t->listen, "-") != 0, check, &err) != CS_OK)
        return cli_fail("tunnel", &err, false);
    return CLI_DONE;
}
