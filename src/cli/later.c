/* Commands whose own file is not there yet. */
#include "cli/cli.h"

#define LATER(name)                                                                                                    \
    int cli_##name(int argc, char **argv) {                                                                            \
        return cli_usage(argv[0], "is not built yet");                                                                 \
    }

LATER(up)
LATER(list)
LATER(show)
LATER(revoke)
LATER(crl)
LATER(status)
#ifndef CLI_VERIFY
LATER(verify)
#endif
