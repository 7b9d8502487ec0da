/* A chain as the peers' measurements have it: root, one issuing CA, P-256 throughout; the leaf and the issuing CA are
 * sent. */
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "load.h"

static void must(bool ok, const char *what) {
    if (!ok) die("%s failed", what);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1, "adding an extension");
    X509_EXTENSION_free(e);
}

/* issuer NULL: self-signed. san NULL: a CA. */
static X509 *make_certificate(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *san,
                              const char *usage) {
    X509 *x = X509_new();
    uint8_t serial[16];
    must(x != NULL && RAND_bytes(serial, sizeof serial) == 1, "making a certificate");
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    must(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL, "the serial");
    BN_free(number);
    X509_set_version(x, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 30L * 86400);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Bench", -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(x, key);
    X509 *by = issuer != NULL ? issuer : x;
    add_extension(x, by, NID_basic_constraints, san == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(x, by, NID_key_usage, san == NULL ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    add_extension(x, by, NID_subject_key_identifier, "hash");
    if (issuer != NULL) add_extension(x, by, NID_authority_key_identifier, "keyid");
    if (usage != NULL) add_extension(x, by, NID_ext_key_usage, usage);
    if (san != NULL) add_extension(x, by, NID_subject_alt_name, san);
    must(X509_sign(x, issuer_key, EVP_sha256()) > 0, "signing");
    return x;
}

static FILE *open_in(const char *folder, const char *file, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, mode);
    if (f == NULL) die("cannot open %s", path);
    return f;
}

static void write_certificates(const char *folder, const char *file, X509 *first, X509 *second) {
    FILE *f = open_in(folder, file, "w");
    must(PEM_write_X509(f, first) == 1 && (second == NULL || PEM_write_X509(f, second) == 1), "writing PEM");
    fclose(f);
}

static void write_key(const char *folder, const char *file, EVP_PKEY *key) {
    FILE *f = open_in(folder, file, "w");
    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1, "writing PEM");
    fclose(f);
}

void pki_make(const char *folder) {
    umask(077); /* the gateway takes no key that others may read */
    EVP_PKEY *root_key = EVP_EC_gen("P-256"), *issuing_key = EVP_EC_gen("P-256"), *server_key = EVP_EC_gen("P-256");
    X509 *root = make_certificate("Bench Root", root_key, NULL, root_key, NULL, NULL);
    X509 *issuing = make_certificate("Bench Issuing", issuing_key, root, root_key, NULL, NULL);
    X509 *server =
        make_certificate("localhost", server_key, issuing, issuing_key, "DNS:localhost,IP:127.0.0.1", "serverAuth");
    write_certificates(folder, "root.crt", root, NULL);
    write_certificates(folder, "issuing.crt", issuing, NULL);
    write_key(folder, "issuing.key", issuing_key);
    write_key(folder, "root.key", root_key);
    write_certificates(folder, "server.crt", server, issuing);
    write_key(folder, "server.key", server_key);
    X509_free(root);
    X509_free(issuing);
    X509_free(server);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(issuing_key);
    EVP_PKEY_free(server_key);
}

void pki_issue(const char *folder, long count, load_pki *ret) {
    FILE *f = open_in(folder, "issuing.crt", "r");
    X509 *issuing = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    f = open_in(folder, "issuing.key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    must(issuing != NULL && key != NULL, "reading the issuing CA");
    ret->issuing = issuing;
    ret->count = count;
    ret->clients = calloc((size_t)count, sizeof *ret->clients);
    must(ret->clients != NULL, "memory");
    for (long i = 0; i < count; i++) {
        char cn[32], san[64];
        snprintf(cn, sizeof cn, "device-%04ld", i);
        snprintf(san, sizeof san, "URI:spiffe://bench.example/device/%s", cn);
        ret->clients[i].key = EVP_EC_gen("P-256");
        ret->clients[i].certificate = make_certificate(cn, ret->clients[i].key, issuing, key, san, "clientAuth");
    }
    EVP_PKEY_free(key);
}
