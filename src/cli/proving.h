/* cli/proving.h - shows what ACME's server looks for: as a file below a web server's folder, by a web server of our own
 * for as long as it takes, or by somebody's program that writes into the DNS. One thread beside, for the web server. */
#ifndef CS_CLI_PROVING_H
#define CS_CLI_PROVING_H

#include "proto/client/client.h"

typedef struct proving proving;
typedef struct proving_ask {
    const char *webroot; /* its folder; NULL: none */
    const char *hook;    /* a program: HOOK show|hide NAME VALUE, for dns-01; NULL: none */
    const char *listen;  /* ADDR:PORT of our own web server; NULL: 0.0.0.0:80 */
} proving_ask;
/* usage when more than one is said. */
CS_MUST_USE cs_status proving_new(const proving_ask *ask, proving **ret, cs_err *err);
const client_prover *proving_prover(const proving *p);
void proving_free(proving *p);
CS_AUTO_DEFINE(proving)

#endif
