#include <unistd.h>

#include "base/json.h"
#include "cli/supervise_priv.h"

static const char *state_of(const supervisor *s, proc_id id) {
    const spawn_child *c = &s->ask->procs->child[id];
    if (c->pid <= 0) return "down";
    return c->ready ? "running" : "starting";
}

static void add_process(cs_json *j, const supervisor *s, proc_id id) {
    const watched *w = &s->of[id];
    if (!w->wanted) return;
    cs_json_object(j, NULL);
    cs_json_str(j, "name", proc_name(id));
    cs_json_str(j, "state", state_of(s, id));
    cs_json_int(j, "pid", s->ask->procs->child[id].pid);
    if (w->started != 0) cs_json_time(j, "started", w->started);
    cs_json_int(j, "restarts", w->restarts);
    if (w->last_end[0] != '\0') cs_json_str(j, "last_end", w->last_end);
    cs_json_object_end(j);
}

void supervise_write_status(const supervisor *s) {
    char path[FILES_PATH_MAX];
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    cs_json j = cs_json_to(&b);
    const conf *c = s->ask->procs->conf;
    cs_json_object(&j, NULL);
    cs_json_int(&j, "pid", getpid());
    cs_json_time(&j, "started", s->started);
    cs_json_str(&j, "https", c->https);
    cs_json_str(&j, "http", c->http);
    cs_json_str(&j, "metrics", c->metrics);
    cs_json_array(&j, "processes");
    for (proc_id id = 0; id < PROC_COUNT; id++) add_process(&j, s, id);
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(&b, '\n');
    if (files_join(c->state, "run/status.json", path, &err) != CS_OK) return;
    if (files_write(path, cs_buf_view(&b), 0600, FILES_REPLACE, &err) != CS_OK) (void)unlink(path);
}
