#include <stdlib.h>

#include "conf/conf_priv.h"

static int longest_first(const void *a, const void *b) {
    const cs_time *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static cs_status refuse(const conf *c, const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: notices: %s", c->file != NULL ? c->file : "defaults",
                   what);
}

cs_status conf_notices_fill(conf *c, const file_conf *f, const char *folder, cs_err *err) {
    conf_notices *n = &c->notices;
    for (; n->before_count < f->notices.before_count; n->before_count++)
        (void)cs_duration_parse(cs_view_str(f->notices.before[n->before_count]), &n->before[n->before_count]);
    qsort(n->before, n->before_count, sizeof n->before[0], longest_first);
    TRY(conf_texts_fill(c, f->notices.mail_to, f->notices.mail_to_count, &n->mail_to, err));
    n->mail_from = f->notices.mail_from;
    n->sendmail = f->notices.sendmail != NULL ? f->notices.sendmail : "/usr/sbin/sendmail";
    n->smtp = f->notices.smtp;
    n->smtp_user = f->notices.smtp_user;
    n->smtp_password = conf_file_path(c, folder, f->notices.smtp_password);
    n->webhook = f->notices.webhook;
    n->webhook_token = conf_file_path(c, folder, f->notices.webhook_token);
    if (n->before_count == 0 && (n->mail_to.n > 0 || n->webhook != NULL))
        return refuse(c, "before is missing: how long before the end, such as [30d, 7d]", err);
    if (n->before_count > 0 && n->mail_to.n == 0 && n->webhook == NULL)
        return refuse(c, "nobody is to be told: mail_to or webhook is expected", err);
    if (n->mail_to.n > 0 && n->mail_from == NULL) return refuse(c, "mail_from is missing", err);
    if ((n->smtp_user == NULL) != (n->smtp_password == NULL))
        return refuse(c, "smtp_user and smtp_password go together", err);
    return CS_OK;
}
