/* countersign agent: a program of its own, so that a device needs nothing else. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "io/spawn.h"

int cli_agent(int argc, char **argv) {
    char program[FILES_PATH_MAX];
    cs_err err;
    (void)argc;
    if (spawn_find("countersign-agent", program, &err) != CS_OK) return cli_fail("agent", &err, false);
    (void)execv(program, argv); /* its options are its own */
    (void)cs_fail_errno(&err, errno, CS_R_PROCESS_FAILED, "%s", program);
    return cli_fail("agent", &err, false);
}
