/* countersign up: everything on one machine. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/ceremony.h"
#include "cli/cli.h"
#include "cli/supervise.h"
#include "cli/up.h"
#include "io/sandbox.h"
#include "report/log.h"
#include "x509/p12.h"

enum { LOCK_WAIT_MS = 5000 };

/* ---- before anything starts ---- */

/* Splits what conf has judged: "[::1]:8443", "127.0.0.1:8443", "localhost:8443". */
static socklen_t address_of(const char *text, struct sockaddr_storage *ret) {
    char host[64];
    bool six = text[0] == '[';
    const char *colon = strrchr(text, ':');
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (six ? 2 : 0), text + (six ? 1 : 0));
    in_port_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    *ret = (struct sockaddr_storage){.ss_family = six ? AF_INET6 : AF_INET};
    if (six) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)ret;
        a->sin6_port = port;
        (void)inet_pton(AF_INET6, host, &a->sin6_addr);
        return sizeof *a;
    }
    struct sockaddr_in *a = (struct sockaddr_in *)ret;
    a->sin_port = port;
    (void)inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &a->sin_addr);
    return sizeof *a;
}

/* Said here, once and by option, rather than by a gateway that is started again and again. */
static cs_status check_port(const char *option, const char *text, cs_err *err) {
    struct sockaddr_storage a;
    const int on = 1;
    if (text[0] == '\0') return CS_OK;
    socklen_t size = address_of(text, &a);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s %s", option, text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* connections of before may still be closing */
    int rc = bind(fd, (const struct sockaddr *)&a, size);
    if (rc == 0) rc = listen(fd, 1); /* two binds may pass, two listeners do not */
    int failed = errno;
    (void)close(fd);
    if (rc == 0) return CS_OK;
    return cs_fail_errno(err, failed, failed == EACCES ? CS_R_PERMISSION_DENIED : CS_R_NETWORK_FAILED, "%s %s", option,
                         text);
}

static cs_status check_ports(const up_said *said, const conf *c, cs_err *err) {
    if (said->no_gateway) return CS_OK;
    TRY(check_port("--https", c->https, err));
    TRY(check_port("--http", c->http, err));
    return check_port("--metrics", c->metrics, err);
}

/* The passphrase is on disk before the key that it opens. */
static cs_status first_ceremony(const conf *c, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_AUTO(cs_secret) passphrase = NULL;
    CS_SCOPED(cs_buf) line = cs_buf_secret(256);
    TRY(files_join(c->state, "root.passphrase", path, err));
    TRY(cs_password_draw(cs_rng_system(), &passphrase, err));
    (void)cs_buf_add_view(&line, cs_secret_view(passphrase));
    (void)cs_buf_add_byte(&line, '\n');
    TRY(files_write(path, cs_buf_view(&line), 0600, FILES_REPLACE, err));
    const ceremony_ask ask = {.state = c->state,
                              .organization = "Countersign",
                              .trust_domain = c->trust_domain,
                              .public_url = c->public_url,
                              .passphrase = passphrase,
                              .clock = cs_clock_system(),
                              .rng = cs_rng_system()};
    cs_status s = ceremony_apart(&ask, err);
    if (s != CS_OK) (void)unlink(path);
    return s;
}

/* ---- what the user sees ---- */

/* What a client on this machine types for the listener. */
static void url_of(const char *https, char out[128]) {
    const char *colon = strrchr(https, ':');
    bool here = strncmp(https, "127.0.0.1:", 10) == 0 || strncmp(https, "[::1]:", 6) == 0 ||
                strncmp(https, "0.0.0.0:", 8) == 0 || strncmp(https, "[::]:", 5) == 0;
    if (here)
        (void)snprintf(out, 128, "https://localhost%s", colon);
    else
        (void)snprintf(out, 128, "https://%s", https);
}

static void add_examples(const conf *c, const char *url, cs_buf *b) {
    char path[FILES_PATH_MAX];
    cs_err err;
    if (files_join(c->state, "examples/device.crt", path, &err) != CS_OK || !files_exists(path)) return;
    (void)cs_buf_addf(b,
                      "Try it as a device:\n"
                      "  curl --cacert %s/examples/ca.pem --cert %s/examples/device.crt --key %s/examples/device.key "
                      "%s/\n"
                      "and without a certificate, to see the door stay shut:\n"
                      "  curl --cacert %s/examples/ca.pem %s/\n\n",
                      c->state, c->state, c->state, url, c->state, url);
    (void)cs_buf_addf(b,
                      "In a browser: import %s/examples/user.p12 as your certificate (its password is in\n"
                      "  user.p12.password beside it) and ca.pem as an authority, then open %s/\n\n",
                      c->state, url);
}

static void add_summary(const up_said *said, const conf *c, cs_buf *b) {
    char url[128];
    url_of(c->https, url);
    (void)cs_buf_addf(b, "countersign is up: %s lets in who holds a certificate of this authority\n\n", url);
    add_examples(c, url, b);
    (void)cs_buf_addf(b,
                      "Then:\n"
                      "  countersign issue device pump-17 --state %s\n"
                      "  countersign revoke pump-17 --state %s\n"
                      "  countersign status --state %s\n\n",
                      c->state, c->state, c->state);
    if (said->first)
        (void)cs_buf_addf(b,
                          "The root's key is needed only to make another issuing CA. Move %s/ca/root.key and\n"
                          "  %s/root.passphrase to a safe place offline, apart from each other.\n\n",
                          c->state, c->state);
}

static void announce(const conf *c, void *to) {
    const up_said *said = to;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    if (said->json) {
        cs_json j = cs_json_to(&b);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "result", "ready");
        cs_json_str(&j, "state", c->state);
        if (!said->no_gateway) {
            cs_json_str(&j, "https", c->https);
            cs_json_str(&j, "http", c->http);
            cs_json_str(&j, "metrics", c->metrics);
        }
        cs_json_bool(&j, "first", said->first);
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(&b, '\n');
    } else if (!said->no_gateway) {
        add_summary(said, c, &b);
    }
    (void)cli_print(&b);
    (void)!write(STDERR_FILENO, "ready\n", 6);
}

/* ---- the whole ---- */

bool up_page_needed(const conf *c) {
    char page[FILES_PATH_MAX + 8];
    (void)snprintf(page, sizeof page, "unix:%s/run/page.sock", c->state);
    for (unsigned i = 0; i < c->site_count; i++) {
        if (strcmp(c->sites[i].upstream, page) == 0) return true;
        for (unsigned k = 0; k < c->sites[i].route_count; k++)
            if (c->sites[i].routes[k].upstream != NULL && strcmp(c->sites[i].routes[k].upstream, page) == 0)
                return true;
    }
    return false;
}

static cs_status run_locked(up_said *said, const conf *c, procs *p, cs_err *err) {
    TRY(files_dir_writable(c->state, err));
    TRY(check_ports(said, c, err));
    cs_status there = ceremony_check(c->state, err);
    said->first = there != CS_OK && err->reason == CS_R_STATE_MISSING;
    if (there != CS_OK && !said->first) return there;
    if (said->first) TRY(first_ceremony(c, err));
    TRY(procs_listen(p, true, err));
    if ((said->no_gateway || !up_page_needed(c)) && p->listener[SOCKET_PAGE] >= 0) {
        (void)close(p->listener[SOCKET_PAGE]);
        (void)unlink(p->path[SOCKET_PAGE]);
        p->listener[SOCKET_PAGE] = -1;
    }
    supervise_ask ask = {.procs = p,
                         .said = &said->conf,
                         .examples = !said->no_examples,
                         .no_gateway = said->no_gateway,
                         .announce = announce,
                         .to = said};
    return supervise_run(&ask, err);
}

cs_status up_run(up_said *said, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    procs p;
    log_format format = LOG_AS_JSON;
    TRY(conf_load(&said->conf, &c, err));
    if (said->check) return CS_OK;
    (void)log_format_parse(c->log_format, &format);
    log_setup("supervisor", format, LOG_INFO, cs_clock_system(), STDERR_FILENO);
    TRY(files_mkdir_private(c->state, err));
    const sandbox_plan plan = {.inet = true, .spawn = true};
    TRY(sandbox_enter(&plan, err));
    TRY(procs_init(&p, c, &said->conf, LOCK_WAIT_MS, err));
    cs_status s = run_locked(said, c, &p, err);
    procs_free(&p, 5000);
    return s;
}

int cli_up(int argc, char **argv) {
    up_said said = {0};
    const cli_opt opts[] = {
        {"https", 0, CLI_TEXT, &said.conf.https, "ADDR:PORT", "the gateway (default 127.0.0.1:8443)"},
        {"http", 0, CLI_TEXT, &said.conf.http, "ADDR:PORT",
         "CRL and CA certificates (default 127.0.0.1:8880; off: none)"},
        {"metrics", 0, CLI_TEXT, &said.conf.metrics, "ADDR:PORT", "Prometheus (default 127.0.0.1:9443; off: none)"},
        {"upstream", 0, CLI_TEXT, &said.conf.upstream, "URL",
         "what is behind the gateway (default: a page that shows who you are)"},
        {"public-url", 0, CLI_TEXT, &said.conf.public_url, "URL", "what certificates name for their CRL"},
        {"trust-domain", 0, CLI_TEXT, &said.conf.trust_domain, "DOMAIN", "devices are spiffe://DOMAIN/device/NAME"},
        {"threads", 0, CLI_NUMBER, &said.conf.threads, "N", "of the gateway (default: one a core)"},
        {"no-examples", 0, CLI_FLAG, &said.no_examples, NULL, "make no example certificates"},
        {"check", 0, CLI_FLAG, &said.check, NULL, "only check the configuration"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "up",
        .synopsis = "[OPTION]...",
        .says =
            "Runs authority and gateway on this machine until SIGTERM or Ctrl-C. The first start makes the CA, the\n"
            "gateway's certificate and examples to try; later ones go on with what is there. SIGHUP reloads the\n"
            "configuration; a bad one changes nothing. It says ready on stderr when it serves.",
        .examples = "  countersign up\n  countersign up --state ./state --upstream http://127.0.0.1:3000",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (up_run(&said, &err) != CS_OK) return cli_fail("up", &err, said.json);
    if (said.check) (void)fputs("The configuration is valid\n", stdout);
    return CLI_DONE;
}
