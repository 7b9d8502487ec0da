#include "cli/labels.h"

#include <errno.h>
#include <qrencode.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

/* Millimetres. */
#define WIDTH 62
#define HEIGHT 29
#define CODE 25 /* the code's side, its quiet zone around it not counted */

static void add_percent(cs_buf *b, const char *text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr(plain, *p) != NULL)
            (void)cs_buf_add_byte(b, (uint8_t)*p);
        else
            (void)cs_buf_addf(b, "%%%02X", (unsigned char)*p);
    }
}

cs_status label_uri(const label *l, cs_buf *out, cs_err *err) {
    (void)cs_buf_addf(out, "countersign:%s/", cs_kind_name(l->kind));
    add_percent(out, l->name);
    (void)cs_buf_add_str(out, "?serial=");
    (void)cs_hex_add(out, l->cert->serial);
    (void)cs_buf_add_str(out, "&sha256=");
    (void)cs_hex_add(out, cs_view_of(l->cert->sha256, sizeof l->cert->sha256));
    (void)cs_buf_add_str(out, "&url=");
    add_percent(out, l->url);
    return cs_buf_ok(out, "a label", err);
}

static void add_xml(cs_buf *b, const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '&': (void)cs_buf_add_str(b, "&amp;"); break;
        case '<': (void)cs_buf_add_str(b, "&lt;"); break;
        case '>': (void)cs_buf_add_str(b, "&gt;"); break;
        case '"': (void)cs_buf_add_str(b, "&quot;"); break;
        default: (void)cs_buf_add_byte(b, (uint8_t)*p);
        }
    }
}

/* Dark modules, a run of a row at a time. */
static void add_modules(cs_buf *b, const QRcode *q) {
    (void)cs_buf_addf(b, "<g transform=\"translate(2 2) scale(%.6f)\"><path d=\"", (double)CODE / q->width);
    for (int y = 0; y < q->width; y++)
        for (int x = 0; x < q->width;) {
            int from = x;
            while (x < q->width && (q->data[y * q->width + x] & 1) != 0) x++;
            if (x > from) (void)cs_buf_addf(b, "M%d %dh%dv1h-%dz", from, y, x - from, x - from);
            x += x == from;
        }
    (void)cs_buf_add_str(b, "\"/></g>\n");
}

static void add_line(cs_buf *b, double y, double size, const char *text) {
    (void)cs_buf_addf(b, "<text x=\"29\" y=\"%.1f\" font-size=\"%.1f\">", y, size);
    add_xml(b, text);
    (void)cs_buf_add_str(b, "</text>\n");
}

/* A long name goes over three lines of letters of its size, then is cut: the code has it whole. */
static void add_words(cs_buf *b, const label *l) {
    enum { A_LINE = 20, LINES = 3 };
    char line[40], hex[2 * CS_SERIAL_MAX + 1], until[CS_TIME_TEXT_MAX];
    size_t n = strlen(l->name);
    for (size_t i = 0; i < LINES && i * A_LINE < n; i++) {
        (void)snprintf(line, A_LINE + 1, "%s", l->name + i * A_LINE);
        add_line(b, 5 + 3.6 * (double)i, 3, line);
    }
    (void)cs_hex(l->cert->serial, hex);
    for (size_t i = 0; i * 16 < strlen(hex); i++) {
        (void)snprintf(line, 17, "%s", hex + i * 16);
        add_line(b, 19 + 2.4 * (double)i, 2.2, line);
    }
    (void)cs_time_text(l->cert->not_after, until);
    (void)snprintf(line, sizeof line, "%.7s until %.10s", cs_kind_name(l->kind), until);
    add_line(b, 26.5, 2.2, line);
}

cs_status label_svg(const label *l, cs_buf *out, cs_err *err) {
    CS_SCOPED(cs_buf) uri = cs_buf_of(4096);
    TRY(label_uri(l, &uri, err));
    QRcode *q = QRcode_encodeData((int)uri.n, uri.p, 0, QR_ECLEVEL_M);
    if (q == NULL) return errno == ENOMEM ? CS_NOMEM_ERR(err) : cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a QR code");
    (void)cs_buf_addf(out,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%dmm\" height=\"%dmm\" viewBox=\"0 0 %d %d\" "
                      "font-family=\"monospace\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                      WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    add_modules(out, q);
    QRcode_free(q);
    add_words(out, l);
    (void)cs_buf_add_str(out, "</svg>\n");
    return cs_buf_ok(out, "a label", err);
}

/* ---- the sheet ---- */

void label_sheet_begin(cs_buf *out) {
    (void)cs_buf_add_str(out, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Labels</title>\n<style>\n"
                              "@page { margin: 8mm }\nbody { margin: 0 }\n"
                              "img { width: 62mm; height: 29mm; margin: 1mm; break-inside: avoid }\n</style>\n");
}

void label_sheet_add(cs_buf *out, const char *svg_file) {
    (void)cs_buf_add_str(out, "<img alt=\"\" src=\"");
    add_percent(out, svg_file);
    (void)cs_buf_add_str(out, "\">\n");
}
