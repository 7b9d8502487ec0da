/* cli/ca_root.h - a root, or another CA above others, at work: its key is open for as long as one command signs CA
 * certificates. The only place where CA certificates are signed. Owner: the command; one thread. */
#ifndef CS_CLI_CA_ROOT_H
#define CS_CLI_CA_ROOT_H

#include "cli/cli.h"
#include "conf/conf.h"
#include "io/cas.h"
#include "x509/build.h"

typedef struct ca_root {
    const conf *conf;
    char dir[FILES_PATH_MAX];    /* STATE/ca */
    char name[CAS_NAME_MAX + 1]; /* "root" */
    char organization[65];
    cs_cert *cert;
    cs_key *key;
} ca_root;
void ca_root_free(ca_root *r);

/* A root's key is an encrypted file, key_file or (NULL) STATE/ca/NAME.key; any other CA's is where the signer has it,
 * NAME.key or NAME.uri. passphrase-*, key-mismatch, not-a-ca, the reasons of reading files. */
CS_MUST_USE cs_status ca_root_open(const conf *c, const char *name, const char *key_file, const char *passphrase_file,
                                   ca_root *r, cs_err *err);

typedef struct ca_terms {
    int path_len; /* as cs_ca_ask */
    cs_constraint permit[CS_CONSTRAINTS_MAX], exclude[CS_CONSTRAINTS_MAX];
    size_t permit_n, exclude_n;
    cs_view constraints; /* in their place, as another certificate has them */
    cs_time lifetime;    /* 0: CS_CA_ISSUING_LIFETIME; cut to the root's own end */
} ca_terms;

/* The certificate of a CA with that key; subject n == 0: a name is made from the organization and the key.
 * path-too-long when none may stand beneath that CA; name-constraint-violated when it may not certify what is to be
 * permitted. */
CS_MUST_USE cs_status ca_root_sign(const ca_root *r, cs_view spki, cs_view subject, const ca_terms *terms,
                                   cs_cert **ret, cs_err *err);
/* The root's CRL anew, good as long as the root: what was on it stays. Of any other CA nothing is made: the authority
 * publishes its CRL. */
CS_MUST_USE cs_status ca_root_publish_crl(const ca_root *r, cs_err *err);

/* The same, with one more entry. */
CS_MUST_USE cs_status ca_root_revoke(const ca_root *r, cs_view serial, int reason, cs_err *err);
/* Is it on that root's CRL? */
CS_MUST_USE cs_status ca_root_crl_has(const char *dir, const char *root, cs_view serial, bool *ret, cs_err *err);
/* A CRL that the root's own machine made takes the place of the one here: it must be of that root, and no older.
 * unknown-issuer, signature-invalid, crl-stale. */
CS_MUST_USE cs_status ca_root_take_crl(const char *dir, const char *root, const cs_cert *by, const char *file,
                                       cs_err *err);

/* With two_person: cas, what changes the CAs is done only once a second administrator has approved just that:
 * proposal-waiting (ca.c). */
CS_MUST_USE cs_status ca_ask_permit(const conf *c, const conf_overrides *said, const char *what, cs_err *err);
/* An entry of the trail (io/trail.h), by whoever runs this. */
CS_MUST_USE cs_status ca_trail(const conf *c, const char *event, const char *what, cs_err *err);
/* The lock of commands that change the CAs; closing the descriptor lets go. */
CS_MUST_USE cs_status ca_lock(const conf *c, int *ret_fd, cs_err *err);
/* The root that has signed the CA that issues; the first one when none here has. */
CS_MUST_USE cs_status ca_root_current(const char *dir, char ret[CAS_NAME_MAX + 1], cs_err *err);

/* ---- files of ca/ (ca_files.c) ---- */
enum { CA_PARTS = 6 };
extern const char *const ca_parts[CA_PARTS]; /* the kinds of files of one CA, its certificate first */
/* That CA's certificate is above's work. */
bool ca_is_below(const cs_cert *c, const cs_cert *above);
CS_MUST_USE cs_status ca_read_named(const char *dir, const char *name, cs_cert **ret, cs_err *err);
CS_MUST_USE cs_status ca_read_cert(const char *path, cs_cert **ret, cs_err *err);
CS_MUST_USE cs_status ca_put_cert(const char *dir, const char *name, const cs_cert *c, cs_err *err);
/* Made now and written as NAME.key, in the clear: the signer reads it at every start. With a URI: the key that is
 * there, and NAME.uri with the folders (or "network") that its module needs. */
CS_MUST_USE cs_status ca_make_key(const char *dir, const char *name, cs_key_spec spec, cs_key **ret, cs_err *err);
CS_MUST_USE cs_status ca_point_to_key(const char *dir, const char *name, const char *uri, const cli_texts *allow,
                                      cs_key **ret, cs_err *err);
/* file-exists when there is a CA or a request of that name. */
CS_MUST_USE cs_status ca_name_free(const char *dir, const char *name, cs_err *err);
/* STATE/trust/ca.pem (roots) and issuers.pem (all the others), which gateways and others read. */
CS_MUST_USE cs_status ca_publish_trust(const conf *c, cs_err *err);
/* The file with all that is to be trusted: trust/ca.pem, or ca/root.crt where there was never another. */
CS_MUST_USE cs_status ca_trust_path(const conf *c, char out[FILES_PATH_MAX], cs_err *err);
/* Moves all files of the CA to ca/retired/. */
CS_MUST_USE cs_status ca_move_away(const char *dir, const char *name, cs_err *err);

#endif
