/* cli/labels.h - labels to print and stick on devices: a QR code that says whose certificate it is and how to tell that
 * it is the right one, and the same in words. Nothing secret is on them. The command's; one thread. */
#ifndef CS_CLI_LABELS_H
#define CS_CLI_LABELS_H

#include "x509/identity.h"

typedef struct label {
    cs_kind kind;
    const char *name;
    const cs_cert *cert;
    const char *url; /* where the authority is, as certificates name it */
} label;

/* countersign:KIND/NAME?serial=HEX&sha256=HEX&url=URL, what is not plain in a URI percent-encoded. */
CS_MUST_USE cs_status label_uri(const label *l, cs_buf *out, cs_err *err);
/* An SVG picture of 62 by 29 millimetres. */
CS_MUST_USE cs_status label_svg(const label *l, cs_buf *out, cs_err *err);

/* A page of them for a printer: HTML that shows SVG files beside it. One begin, then an add each. */
void label_sheet_begin(cs_buf *out);
void label_sheet_add(cs_buf *out, const char *svg_file);

#endif
