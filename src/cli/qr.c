#include "cli/qr.h"

#include <errno.h>
#include <string.h>

#include <qrencode.h>

enum { QUIET = 4 }; /* modules around it */

/* Runs of dark modules, a rectangle each. */
static void put_row(cs_buf *b, const unsigned char *row, int width, int y) {
    for (int x = 0, end = 0; x < width; x = end + 1) {
        for (end = x; end < width && (row[end] & 1); end++) {
        }
        if (end > x) (void)cs_buf_addf(b, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, end - x, end - x);
    }
}

cs_status qr_svg(cs_buf *b, const char *text, unsigned millimetres, cs_err *err) {
    if (strlen(text) > QR_TEXT_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a QR code of more than %d octets", QR_TEXT_MAX);
    QRcode *q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (q == NULL) return errno == ENOMEM ? CS_NOMEM_ERR(err) : cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "QR code");
    int side = q->width + 2 * QUIET;
    (void)cs_buf_addf(b,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%umm\" height=\"%umm\" viewBox=\"0 0 %d %d\" "
                      "shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"",
                      millimetres, millimetres, side, side, side, side);
    for (int y = 0; y < q->width; y++) put_row(b, q->data + (size_t)y * (size_t)q->width, q->width, y);
    (void)cs_buf_add_str(b, "\"/></svg>");
    QRcode_free(q);
    return cs_buf_ok(b, "a QR code", err);
}
