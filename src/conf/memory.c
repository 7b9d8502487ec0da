#include <stdio.h>
#include <stdlib.h>

#include "conf/conf_priv.h"

void *conf_alloc(conf *c, size_t size) {
    conf_memory *m = c->memory;
    conf_block *b = calloc(1, sizeof *b + size);
    if (b == NULL) return NULL;
    b->next = m->blocks;
    m->blocks = b;
    return b->data;
}

const char *conf_textf(conf *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : conf_alloc(c, (size_t)n + 1);
    if (text == NULL) return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return text;
}

void conf_free(conf *c) {
    if (c == NULL) return;
    conf_memory *m = c->memory;
    if (m != NULL) {
        while (m->blocks != NULL) {
            conf_block *next = m->blocks->next;
            free(m->blocks);
            m->blocks = next;
        }
        conf_file_free(m->file);
        free(m);
    }
    free(c);
}

static const cyaml_config_t loader = {.log_fn = NULL, .mem_fn = cyaml_mem, .flags = CYAML_CFG_DEFAULT};

cs_status conf_file_load(cs_view text, const char *file, file_conf **ret, cs_err *err) {
    cyaml_data_t *data = NULL;
    cyaml_err_t e = cyaml_load_data(text.p, text.n, &loader, &conf_schema, &data, NULL);
    if (e == CYAML_ERR_OOM) return CS_NOMEM_ERR(err);
    if (e != CYAML_OK) return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: %s", file, cyaml_strerror(e));
    *ret = data;
    return CS_OK;
}

void conf_file_free(file_conf *f) {
    if (f != NULL) (void)cyaml_free(&loader, &conf_schema, f, 0);
}
