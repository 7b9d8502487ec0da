/* Asks an EST server for a certificate with a token, writes it, and renews it at once.
 * enroll URL CA.pem NAME TOKEN CERT.pem KEY.pem */
#include <stdio.h>
#include <unistd.h>

#include <countersign/client.h>

/* Until a person has decided, who may take long. */
static cs_status wait_for(cs_status s, cs_enrollment *pending, unsigned wait, cs_credential **ret, cs_err *err) {
    while (s == CS_AGAIN) {
        fprintf(stderr, "it waits for a person; asked again in %u s\n", wait);
        sleep(wait);
        s = cs_enroll_again(pending, ret, &wait, err);
    }
    cs_enrollment_free(pending);
    return s;
}

int main(int argc, char **argv) {
    cs_trust *trust = NULL;
    cs_credential *first = NULL, *next = NULL;
    cs_enrollment *pending = NULL;
    unsigned wait = 0;
    cs_err err;
    if (argc != 7) return 2;
    cs_status s = cs_trust_new(&trust, &err);
    if (s == CS_OK) s = cs_trust_add_file(trust, argv[2], &err);
    if (s == CS_OK) {
        s = cs_enroll(argv[1], trust, argv[3], NULL, argv[4], 10000, &first, &pending, &wait, &err);
        s = wait_for(s, pending, wait, &first, &err);
    }
    if (s == CS_OK) s = cs_credential_write(first, argv[5], argv[6], &err);
    if (s == CS_OK) printf("enrolled %s\n", cs_certificate_serial(cs_credential_certificate(first)));
    if (s == CS_OK) {
        s = cs_renew(argv[1], trust, first, 10000, &next, &pending, &wait, &err);
        s = wait_for(s, pending, wait, &next, &err);
    }
    if (s == CS_OK) s = cs_credential_write(next, argv[5], argv[6], &err);
    if (s == CS_OK) printf("renewed %s\n", cs_certificate_serial(cs_credential_certificate(next)));
    if (s != CS_OK) fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
    cs_credential_free(first);
    cs_credential_free(next);
    cs_trust_free(trust);
    return s == CS_OK ? 0 : 1;
}
