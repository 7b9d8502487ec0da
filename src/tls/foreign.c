#include "tls/foreign.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

bool tls_foreign_at(void *ssl_ctx, cs_time at) {
    X509_VERIFY_PARAM *param = ssl_ctx != NULL ? SSL_CTX_get0_param(ssl_ctx) : NULL;
    if (param == NULL) return false;
    X509_VERIFY_PARAM_set_time(param, (time_t)cs_time_seconds(at));
    return true;
}
