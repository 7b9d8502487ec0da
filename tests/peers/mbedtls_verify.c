/* mbedTLS's verdict on a chain, as its TLS asks for it: mbedtls_verify PURPOSE HOST TRUST.PEM CHAIN.PEM (the leaf
 * first); HOST may be "-". Prints "accepted" or why not; exit code 0, 1, or 2 for what it cannot read. Only a judge for
 * the tests. */
#include <stdio.h>
#include <string.h>

#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

static int refuse(const char *why) {
    printf("%s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    mbedtls_x509_crt trust, chain;
    char why[512] = "";
    uint32_t flags = 0;
    if (argc != 5) return 2;
    mbedtls_x509_crt_init(&trust);
    mbedtls_x509_crt_init(&chain);
    if (mbedtls_x509_crt_parse_file(&trust, argv[3]) != 0) return refuse("the trust does not parse") + 1;
    if (mbedtls_x509_crt_parse_file(&chain, argv[4]) != 0) return refuse("the chain does not parse");
    int server = strcmp(argv[1], "server") == 0;
    const char *host = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    if (mbedtls_x509_crt_verify_with_profile(&chain, &trust, NULL, &mbedtls_x509_crt_profile_next, host, &flags, NULL,
                                             NULL) != 0) {
        (void)mbedtls_x509_crt_verify_info(why, sizeof why, "", flags);
        return refuse(why);
    }
    if (mbedtls_x509_crt_check_key_usage(&chain, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0) return refuse("key usage");
    const char *oid = server ? MBEDTLS_OID_SERVER_AUTH : MBEDTLS_OID_CLIENT_AUTH;
    if (mbedtls_x509_crt_check_extended_key_usage(&chain, oid, strlen(oid)) != 0) return refuse("extended key usage");
    printf("accepted\n");
    return 0;
}
