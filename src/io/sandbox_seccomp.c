/* System calls that a process no longer has. A list of what is refused rather than of what is allowed: the C library
 * and OpenSSL change which harmless calls they make, but what an intruder needs is known. */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/buf.h"

#include "io/sandbox_priv.h"

typedef scmp_filter_ctx filter;

static void filter_free(filter *f) {
    if (*f != NULL) seccomp_release(*f);
}

/* Nothing of ours ever makes these: a process that does is not ours any more. */
static const char *const deadly[] = {
    "ptrace",      "process_vm_readv", "process_vm_writev", "kexec_load", "kexec_file_load",
    "init_module", "finit_module",     "delete_module",     "bpf",        NULL};

static const char *const refused[] = {"mount",
                                      "umount2",
                                      "pivot_root",
                                      "chroot",
                                      "fsopen",
                                      "fsmount",
                                      "move_mount",
                                      "open_tree",
                                      "mount_setattr",
                                      "setns",
                                      "unshare",
                                      "perf_event_open",
                                      "userfaultfd",
                                      "io_uring_setup",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "keyctl",
                                      "add_key",
                                      "request_key",
                                      "personality",
                                      "reboot",
                                      "swapon",
                                      "swapoff",
                                      "acct",
                                      "quotactl",
                                      "quotactl_fd",
                                      "settimeofday",
                                      "clock_settime",
                                      "clock_adjtime",
                                      "adjtimex",
                                      "iopl",
                                      "ioperm",
                                      "modify_ldt",
                                      "kcmp",
                                      "open_by_handle_at",
                                      "name_to_handle_at",
                                      "fanotify_init",
                                      "lookup_dcookie",
                                      "syslog",
                                      "vhangup",
                                      "sethostname",
                                      "setdomainname",
                                      "nfsservctl",
                                      "uselib",
                                      "ustat",
                                      "sysfs",
                                      "_sysctl",
                                      "mknod",
                                      "mknodat",
                                      "setuid",
                                      "setgid",
                                      "setreuid",
                                      "setregid",
                                      "setresuid",
                                      "setresgid",
                                      "setgroups",
                                      "setfsuid",
                                      "setfsgid",
                                      "capset",
                                      "pidfd_getfd",
                                      "pkey_mprotect",
                                      NULL};

static cs_status rule_failed(int rc, const char *name, cs_err *err) {
    return cs_fail_errno(err, -rc, CS_R_SANDBOX_FAILED, "seccomp rule for %s", name);
}

/* A call that this architecture does not have needs no rule. */
static cs_status add_names(filter f, uint32_t action, const char *const names[], cs_err *err) {
    for (size_t i = 0; names[i] != NULL; i++) {
        int call = seccomp_syscall_resolve_name(names[i]);
        if (call == __NR_SCMP_ERROR) continue;
        int rc = seccomp_rule_add(f, action, call, 0);
        if (rc != 0 && rc != -EDOM) return rule_failed(rc, names[i], err);
    }
    return CS_OK;
}

static cs_status add_no_processes(filter f, cs_err *err) {
    static const char *const exec[] = {"execve", "execveat", NULL};
    static const char *const fork_calls[] = {"fork", "vfork", NULL};
    TRY(add_names(f, SCMP_ACT_KILL_PROCESS, exec, err));
    TRY(add_names(f, SCMP_ACT_ERRNO(EPERM), fork_calls, err));
    /* threads yes, processes no; clone3 hides its flags behind a pointer, so the C library must fall back to clone */
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (rc != 0) return rule_failed(rc, "clone3", err);
    rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (rc != 0) return rule_failed(rc, "clone", err);
    return CS_OK;
}

static cs_status add_sockets(filter f, bool inet, cs_err *err) {
    int rc = 0;
    for (unsigned family = 0; family < 64 && rc == 0; family++) {
        if (family == AF_UNIX) continue;
        /* netlink is how the resolver learns which address families the machine has */
        if (inet && (family == AF_INET || family == AF_INET6 || family == AF_NETLINK)) continue;
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, family, 0));
    }
    return rc != 0 ? rule_failed(rc, "socket", err) : CS_OK;
}

static cs_status add_memory(filter f, cs_err *err) {
    const scmp_datum_t wx = PROT_WRITE | PROT_EXEC;
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, wx, wx));
    if (rc == 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    return rc != 0 ? rule_failed(rc, "memory", err) : CS_OK;
}

cs_status sandbox_seccomp(const sandbox_plan *plan, cs_err *err) {
    CS_SCOPED(filter) f = seccomp_init(SCMP_ACT_ALLOW);
    if (f == NULL) return cs_fail(err, CS_FAILED, CS_R_SANDBOX_FAILED, "seccomp is not available");
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    TRY(add_names(f, SCMP_ACT_KILL_PROCESS, deadly, err));
    TRY(add_names(f, SCMP_ACT_ERRNO(EPERM), refused, err));
    if (!plan->spawn) {
        TRY(add_no_processes(f, err));
        TRY(add_memory(f, err));
    }
    TRY(add_sockets(f, plan->inet, err));
    int rc = seccomp_load(f);
    if (rc != 0) return cs_fail_errno(err, -rc, CS_R_SANDBOX_FAILED, "seccomp");
    return CS_OK;
}

cs_status sandbox_no_ring(cs_err *err) {
    CS_SCOPED(filter) f = seccomp_init(SCMP_ACT_ALLOW);
    if (f == NULL) return cs_fail(err, CS_FAILED, CS_R_SANDBOX_FAILED, "seccomp is not available");
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
    if (rc != 0) return rule_failed(rc, "io_uring_setup", err);
    rc = seccomp_load(f);
    return rc == 0 ? CS_OK : cs_fail_errno(err, -rc, CS_R_SANDBOX_FAILED, "seccomp");
}
