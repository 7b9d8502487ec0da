#include "base/secret.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void cs_wipe(void *p, size_t n) {
    if (p != NULL && n > 0) explicit_bzero(p, n);
}

cs_status cs_secret_new(size_t n, cs_secret **ret, cs_err *err) {
    const size_t page = 4096;
    cs_secret *s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    s->cap = (n + page - 1) / page * page;
    if (s->cap == 0) s->cap = page;
    void *p = mmap(NULL, s->cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(s);
        return CS_NOMEM_ERR(err);
    }
    (void)mlock(p, s->cap);
    (void)madvise(p, s->cap, MADV_DONTDUMP);
    s->p = p;
    s->n = n;
    *ret = s;
    return CS_OK;
}

void cs_secret_free(cs_secret *s) {
    if (s == NULL) return;
    cs_wipe(s->p, s->cap);
    (void)munmap(s->p, s->cap);
    free(s);
}

void cs_process_guard(void) {
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
