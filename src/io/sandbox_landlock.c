/* The file system that a process still sees. Landlock is called by number: the C library has no wrappers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/sandbox_priv.h"

/* Rights that newer kernels know and this header may not; kernel documentation, userspace-api/landlock. */
#define ACCESS_REFER (1ULL << 13)       /* ABI 2 */
#define ACCESS_TRUNCATE (1ULL << 14)    /* ABI 3 */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)        /* ABI 6 */

/* The attribute as of ABI 6; older kernels take a shorter one. */
struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

#define READ_FILE_RIGHTS ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE)
#define READ_RIGHTS ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define WRITE_FILE_RIGHTS ((uint64_t)LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define WRITE_RIGHTS                                                                                                   \
    (WRITE_FILE_RIGHTS |                                                                                               \
     (uint64_t)(LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |         \
                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK) |                                          \
     ACCESS_REFER)
#define NEVER_RIGHTS                                                                                                   \
    ((uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_FIFO |             \
                LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM))

/* What libraries read at any time: TLS defaults, name resolution, time zones, modules loaded late, own /proc. */
static const sandbox_path everywhere[] = {
    {"/etc/ssl", SANDBOX_READ},
    {"/etc/resolv.conf", SANDBOX_READ},
    {"/etc/hosts", SANDBOX_READ},
    {"/etc/nsswitch.conf", SANDBOX_READ},
    {"/etc/host.conf", SANDBOX_READ},
    {"/etc/gai.conf", SANDBOX_READ},
    {"/etc/services", SANDBOX_READ},
    {"/etc/localtime", SANDBOX_READ},
    {"/etc/ld.so.cache", SANDBOX_READ},
    {"/etc/passwd", SANDBOX_READ},
    {"/usr/share/zoneinfo", SANDBOX_READ},
    {"/usr/lib", SANDBOX_READ},
    {"/usr/lib64", SANDBOX_READ},
    {"/lib", SANDBOX_READ},
    {"/lib64", SANDBOX_READ},
    {"/run/systemd/resolve", SANDBOX_READ},
    {"/dev/null", SANDBOX_READ | SANDBOX_WRITE},
    {"/dev/urandom", SANDBOX_READ},
    {"/dev/random", SANDBOX_READ},
    {"/proc/self", SANDBOX_READ},
    {"/proc/sys/vm/overcommit_memory", SANDBOX_READ},
    {"/sys/fs/cgroup", SANDBOX_READ},
    {"/sys/devices/system/cpu", SANDBOX_READ},
    {NULL, 0},
};

static uint64_t rights_of(unsigned may, bool dir, uint64_t handled) {
    uint64_t rights = 0;
    if ((may & SANDBOX_READ) != 0) rights |= dir ? READ_RIGHTS : READ_FILE_RIGHTS;
    if ((may & SANDBOX_WRITE) != 0) rights |= dir ? WRITE_RIGHTS : WRITE_FILE_RIGHTS;
    return rights & handled;
}

static cs_status add_paths(int ruleset, const sandbox_path *paths, uint64_t handled, cs_err *err) {
    for (const sandbox_path *p = paths; p->path != NULL; p++) {
        struct stat st;
        int fd = open(p->path, O_PATH | O_CLOEXEC);
        if (fd < 0) continue; /* not there: nothing to allow */
        bool dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
        struct landlock_path_beneath_attr rule = {.allowed_access = rights_of(p->may, dir, handled), .parent_fd = fd};
        long done = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U);
        int failed = errno;
        (void)close(fd);
        if (done != 0) return cs_fail_errno(err, failed, CS_R_SANDBOX_FAILED, "landlock rule for %s", p->path);
    }
    return CS_OK;
}

static cs_status restrict_self(int ruleset, const sandbox_plan *plan, uint64_t handled, cs_err *err) {
    TRY(add_paths(ruleset, everywhere, handled, err));
    TRY(add_paths(ruleset, plan->paths, handled, err));
    if (syscall(SYS_landlock_restrict_self, ruleset, 0U) != 0)
        return cs_fail_errno(err, errno, CS_R_SANDBOX_FAILED, "landlock");
    return CS_OK;
}

cs_status sandbox_landlock(const sandbox_plan *plan, cs_err *err) {
    if (plan->paths == NULL) return CS_OK;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) return CS_OK; /* an old kernel, or one started without it: seccomp alone */
    uint64_t handled = READ_RIGHTS | WRITE_RIGHTS | NEVER_RIGHTS;
    if (abi < 2) handled &= ~ACCESS_REFER;
    if (abi < 3) handled &= ~ACCESS_TRUNCATE;
    struct ruleset_attr attr = {.handled_access_fs = handled};
    size_t size = sizeof attr.handled_access_fs;
    if (abi >= 6) {
        attr.scoped = SCOPE_ABSTRACT_UNIX | (plan->spawn ? 0 : SCOPE_SIGNAL);
        size = sizeof attr;
    }
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0U);
    if (ruleset < 0) return cs_fail_errno(err, errno, CS_R_SANDBOX_FAILED, "landlock ruleset");
    cs_status s = restrict_self(ruleset, plan, handled, err);
    (void)close(ruleset);
    return s;
}
