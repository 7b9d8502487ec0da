/* cli/qr.h - a text as a QR code, for a page or a label (ISO/IEC 18004, by libqrencode). Nothing is kept. */
#ifndef CS_CLI_QR_H
#define CS_CLI_QR_H

#include "base/buf.h"

enum { QR_TEXT_MAX = 1024 };

/* Appends an <svg> element that is `millimetres` wide, with the quiet zone that readers need; error correction M (15 %
 * of it may be dirty). limit-reached when the text is longer than QR_TEXT_MAX octets. */
CS_MUST_USE cs_status qr_svg(cs_buf *b, const char *text, unsigned millimetres, cs_err *err);

#endif
