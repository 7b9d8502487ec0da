/* Where the state folder is, and what the ceremony recorded there about the authority. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "conf/conf_priv.h"

enum {
    /* a unix socket's path has 107 bytes, and "/run/authority.sock" is the longest name below the folder */
    STATE_PATH_MAX = 107 - (int)sizeof "/run/authority.sock" + 1,
    CA_JSON_MAX = 16 * 1024,
};

static const char *from_environment(conf *c) {
    const char *set = getenv("COUNTERSIGN_STATE");
    if (set != NULL && set[0] != '\0') return set;
    set = getenv("STATE_DIRECTORY"); /* systemd's StateDirectory= */
    if (set != NULL && set[0] == '/') return set;
    set = getenv("XDG_STATE_HOME");
    if (set != NULL && set[0] == '/') return conf_textf(c, "%s/countersign", set);
    set = getenv("HOME");
    if (set != NULL && set[0] == '/') return conf_textf(c, "%s/.local/state/countersign", set);
    return "/var/lib/countersign";
}

const char *conf_absolute(conf *c, const char *path, const char *folder) {
    char cwd[CONF_PATH_MAX];
    if (path[0] == '/') return conf_textf(c, "%s", path);
    if (folder == NULL) folder = getcwd(cwd, sizeof cwd);
    return folder == NULL ? NULL : conf_textf(c, "%s/%s", folder, path);
}

cs_status conf_state_find(conf *c, const char *said, const char *in_file, const char *folder, cs_err *err) {
    const char *path = said != NULL      ? conf_absolute(c, said, NULL)
                       : in_file != NULL ? conf_absolute(c, in_file, folder)
                                         : conf_absolute(c, from_environment(c), NULL);
    if (path == NULL) return CS_NOMEM_ERR(err);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (n > STATE_PATH_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "the state folder's path has %zu bytes, at most %d (sockets lie in it): %s", n, STATE_PATH_MAX,
                       path);
    c->state = conf_textf(c, "%.*s", (int)n, path);
    return c->state != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status conf_path(const conf *c, const char *below, char out[CONF_PATH_MAX], cs_err *err) {
    int n = snprintf(out, CONF_PATH_MAX, "%s/%s", c->state, below);
    if (n < 0 || n >= CONF_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of %d bytes: %.80s...", n, c->state);
    return CS_OK;
}

cs_status conf_ca_read(conf *c, conf_ca *ret, cs_err *err) {
    char path[CONF_PATH_MAX];
    json_error_t why;
    TRY(conf_path(c, "ca/ca.json", path, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return CS_OK;
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    char text[CA_JSON_MAX];
    ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    json_t *root = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why) : NULL;
    if (root == NULL) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s is not the JSON that init wrote", path);
    const char *domain = json_string_value(json_object_get(root, "trust_domain"));
    const char *url = json_string_value(json_object_get(root, "public_url"));
    if (domain != NULL) ret->trust_domain = conf_textf(c, "%s", domain);
    if (url != NULL) ret->public_url = conf_textf(c, "%s", url);
    json_decref(root);
    return CS_OK;
}
