/* base/limits.h - the one home of every bound, each with its reason. Bytes unless it says otherwise. */
#ifndef CS_BASE_LIMITS_H
#define CS_BASE_LIMITS_H

enum {
    /* x509 and verify */
    CS_CERT_MAX = 64 * 1024,            /* one certificate; real ones stay below 8 KiB, those with 1,000 names at 50 */
    CS_PEER_CERT_MAX = 16 * 1024,       /* one certificate that a TLS peer sends before it is known */
    CS_PEER_CHAIN_MAX = 64 * 1024,      /* all that a TLS peer sends */
    CS_PEER_CHAIN_COUNT = 8,            /* certificates in a TLS peer's chain */
    CS_BAG_MAX = 4096,                  /* certificates in a set of anchors or intermediates; Mozilla's has 150 */
    CS_PATH_MAX = 16,                   /* certificates in a path; the longest seen in the wild is 6 */
    CS_NAME_TEXT_MAX = 1024,            /* a distinguished name as text in a log or verdict */
    CS_SERIAL_MAX = 20,                 /* octets, RFC 5280 4.1.2.2 */
    CS_SAN_MAX = 1000,                  /* names in a certificate that is verified */
    CS_ISSUE_SAN_MAX = 100,             /* names in a certificate that we issue */
    CS_CSR_MAX = 16 * 1024,             /* a certificate request */
    CS_CRL_MAX = 256 * 1024 * 1024,     /* a CRL file; 1,000,000 entries are about 40 MiB */
    CS_OCSP_MAX = 64 * 1024,            /* an OCSP response; with certificates they have 2 to 5 KiB */
    CS_PEM_FILE_MAX = 16 * 1024 * 1024, /* a bundle of anchors or intermediates */
    CS_KEY_FILE_MAX = 64 * 1024,        /* a private key file; RSA 16384 is 13 KiB */
    CS_P12_ROUNDS_MAX = 1000 * 1000,    /* of a PKCS#12 file's key derivation: half a second */
    CS_P12_MAX = 64 * 1024,             /* a PKCS#12 file that is read */
    CS_RSA_BITS_MIN = 2048,
    CS_RSA_BITS_MAX = 8192,      /* a verification's time grows with the square */
    CS_SIGNATURE_MAX = 8 * 1024, /* ML-DSA-87: 4,627; RSA 8192: 1,024 */
    CS_PASSPHRASE_MIN = 12,      /* characters */
    CS_PASSPHRASE_MAX = 1024,

    /* HTTP */
    CS_HTTP_LINE_MAX = 8 * 1024,
    CS_HTTP_HEADERS_MAX = 32 * 1024, /* a whole header section */
    CS_HTTP_HEADER_COUNT = 100,
    CS_HTTP_CHUNK_LINE_MAX = 256, /* chunk size with its extensions */

    /* between processes */
    CS_IPC_FRAME_MAX = 128 * 1024,     /* one message over a wall */
    CS_CAS_MAX = 16,                   /* issuing CAs of one authority: sites, customers, roll-overs */
    CS_SCEP_CRL_MAX = 4 * 1024 * 1024, /* a CRL that is encrypted for one who asks; 100,000 entries */
    CS_API_BODY_MAX = 256 * 1024,      /* a request body of the REST door */
    CS_AUTHORITY_CONNECTIONS = 256,    /* that the authority answers at one time; gateways queue */
};

#endif
