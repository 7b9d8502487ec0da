/* The ways of a notice: the sendmail interface, SMTP and a webhook, the latter two by libcurl. */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

#include "cli/cli.h"
#include "cli/notify.h"
#include "io/files.h"

enum { TOKEN_MAX = 4096, ARGS_MAX = 48 };
#define WAY_LIMIT 30L /* seconds */

/* ---- sendmail ---- */

/* The program reads the message from its standard input; its words go where ours go. */
static cs_status start_sendmail(const conf_notices *n, int in, int out, pid_t *ret, cs_err *err) {
    const char *argv[ARGS_MAX] = {n->sendmail, "-i", "-f", n->mail_from, "--"};
    char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env[] = {path, NULL};
    size_t k = 5;
    posix_spawn_file_actions_t acts;
    for (unsigned i = 0; i < n->mail_to.n && k + 1 < ARGS_MAX; i++) argv[k++] = n->mail_to.at[i];
    if (posix_spawn_file_actions_init(&acts) != 0) return CS_NOMEM_ERR(err);
    int code = posix_spawn_file_actions_adddup2(&acts, in, STDIN_FILENO);
    if (code == 0) code = posix_spawn_file_actions_addclose(&acts, out);
    if (code == 0) code = posix_spawn(ret, n->sendmail, &acts, NULL, (char *const *)(uintptr_t)argv, env);
    (void)posix_spawn_file_actions_destroy(&acts);
    if (code != 0) return cs_fail_errno(err, code, CS_R_NOTICE_FAILED, "%s", n->sendmail);
    return CS_OK;
}

static cs_status by_sendmail(const conf_notices *n, const char *text, cs_err *err) {
    int ends[2], status = 0;
    pid_t pid = 0;
    if (pipe(ends) != 0) return cs_fail_errno(err, errno, CS_R_NOTICE_FAILED, "pipe");
    cs_status s = start_sendmail(n, ends[0], ends[1], &pid, err);
    (void)close(ends[0]);
    size_t left = strlen(text);
    while (s == CS_OK && left > 0) {
        ssize_t w = write(ends[1], text, left);
        if (w < 0 && errno != EINTR) break; /* its exit status says it */
        if (w > 0) text += w, left -= (size_t)w;
    }
    (void)close(ends[1]);
    TRY(s);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_NOTICE_FAILED, "%s ended with %d", n->sendmail,
                   WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* ---- libcurl ---- */

typedef struct sending {
    cs_view left;
} sending;

static size_t give(char *to, size_t size, size_t count, void *data) {
    sending *s = data;
    size_t n = size * count < s->left.n ? size * count : s->left.n;
    memcpy(to, s->left.p, n);
    s->left = cs_view_of(s->left.p + n, s->left.n - n);
    return n;
}

static size_t ignore(char *p, size_t size, size_t n, void *to) {
    (void)p, (void)to;
    return size * n;
}

static bool is_here(const char *url) {
    const char *host = strstr(url, "://") + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 || strncmp(host, "[::1]", 5) == 0;
}

static cs_status perform(CURL *curl, const char *what, cs_err *err) {
    long status = 0;
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, WAY_LIMIT);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    CURLcode rc = curl_easy_perform(curl);
    if (rc != CURLE_OK) return cs_fail(err, CS_FAILED, CS_R_NOTICE_FAILED, "%s: %s", what, curl_easy_strerror(rc));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 300) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_NOTICE_FAILED, "%s answered %ld", what, status);
}

/* Lines end with CRLF (RFC 5321 2.3.8); libcurl stuffs the dots. */
static bool with_crlf(const char *text, cs_buf *b) {
    for (; *text != '\0'; text++) {
        if (*text == '\n') (void)cs_buf_add_byte(b, '\r');
        (void)cs_buf_add_byte(b, (uint8_t)*text);
    }
    return !b->failed;
}

/* Beyond this machine nothing goes in the clear. */
static cs_status by_smtp(const conf_notices *n, const char *text, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)128 * 1024 * 1024);
    CS_AUTO(cs_secret) password = NULL;
    struct curl_slist *to = NULL;
    if (n->smtp_password != NULL) TRY(cli_read_secret(n->smtp_password, &password, err));
    CURL *curl = curl_easy_init();
    if (curl == NULL || !with_crlf(text, &b)) {
        curl_easy_cleanup(curl);
        return CS_NOMEM_ERR(err);
    }
    sending s = {cs_buf_view(&b)};
    for (unsigned i = 0; i < n->mail_to.n; i++) to = curl_slist_append(to, n->mail_to.at[i]);
    (void)curl_easy_setopt(curl, CURLOPT_URL, n->smtp);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)curl_easy_setopt(curl, CURLOPT_USE_SSL, is_here(n->smtp) ? (long)CURLUSESSL_TRY : (long)CURLUSESSL_ALL);
    (void)curl_easy_setopt(curl, CURLOPT_MAIL_FROM, n->mail_from);
    (void)curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
    (void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
    (void)curl_easy_setopt(curl, CURLOPT_READDATA, &s);
    if (n->smtp_user != NULL && password != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_USERNAME, n->smtp_user);
        (void)curl_easy_setopt(curl, CURLOPT_PASSWORD, (const char *)password->p);
    }
    cs_status got = perform(curl, n->smtp, err);
    curl_slist_free_all(to);
    curl_easy_cleanup(curl);
    return got;
}

cs_status notify_mail(const conf_notices *n, const char *text, cs_err *err) {
    return n->smtp != NULL ? by_smtp(n, text, err) : by_sendmail(n, text, err);
}

cs_status notify_webhook(const conf_notices *n, const char *json, cs_err *err) {
    CS_SCOPED(cs_buf) bearer = cs_buf_secret(TOKEN_MAX);
    CS_AUTO(cs_secret) token = NULL;
    if (n->webhook_token != NULL) {
        TRY(cli_read_secret(n->webhook_token, &token, err));
        (void)cs_buf_add_str(&bearer, "Authorization: Bearer ");
        (void)cs_buf_add_view(&bearer, cs_secret_view(token));
        TRY(cs_buf_ok(&bearer, n->webhook_token, err));
    }
    CURL *curl = curl_easy_init();
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/json");
    if (token != NULL) fields = curl_slist_append(fields, cs_buf_cstr(&bearer));
    if (curl == NULL || fields == NULL) {
        curl_easy_cleanup(curl);
        curl_slist_free_all(fields);
        return CS_NOMEM_ERR(err);
    }
    (void)curl_easy_setopt(curl, CURLOPT_URL, n->webhook);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
    cs_status got = perform(curl, n->webhook, err);
    curl_slist_free_all(fields);
    curl_easy_cleanup(curl);
    return got;
}
