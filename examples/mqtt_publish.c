/* Publishes one message to an MQTT 3.1.1 broker behind mutual TLS, with quality of service 1.
 * mqtt_publish HOST:PORT CA.pem CERT.pem KEY.pem TOPIC MESSAGE */
#include <stdio.h>
#include <string.h>

#include <countersign/client.h>

enum { PACKET_MAX = 1024 };

static int fail(const cs_err *err) {
    fprintf(stderr, "%s: %s\n%s\n", cs_reason_of(err->reason)->name, err->detail, cs_reason_of(err->reason)->advice);
    return 1;
}

static size_t text(unsigned char *p, const char *s) {
    size_t n = strlen(s);
    p[0] = (unsigned char)(n >> 8);
    p[1] = (unsigned char)n;
    memcpy(p + 2, s, n);
    return n + 2;
}

/* type, length of what follows in base 128, what follows */
static cs_status send_packet(cs_connection *c, unsigned char type, const unsigned char *rest, size_t n, cs_err *err) {
    unsigned char head[3] = {type, (unsigned char)(n & 0x7f), 0};
    size_t size = 2, put = 0;
    if (n > 0x7f) {
        head[1] |= 0x80;
        head[2] = (unsigned char)(n >> 7);
        size = 3;
    }
    cs_status s = cs_write(c, head, size, &put, err);
    return s == CS_OK ? cs_write(c, rest, n, &put, err) : s;
}

/* The broker's answers here have four octets. */
static cs_status expect(cs_connection *c, unsigned char type, unsigned char answer[4], cs_err *err) {
    size_t have = 0;
    while (have < 4) {
        size_t n = 0;
        cs_status s = cs_read(c, answer + have, 4 - have, &n, err);
        if (s != CS_OK) return s;
        if (n == 0) return cs_fail(err, CS_FAILED, CS_R_NETWORK_FAILED, "%s", "the broker ended the connection");
        have += n;
    }
    if ((answer[0] & 0xf0) == type) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_NETWORK_FAILED, "the broker sent 0x%02x, 0x%02x was expected", answer[0], type);
}

static cs_status publish(cs_connection *c, const char *client_id, const char *topic, const char *message, cs_err *err) {
    unsigned char p[PACKET_MAX] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60}, answer[4]; /* clean session, 60 s */
    if (strlen(topic) + strlen(message) + 8 > sizeof p || strlen(client_id) + 12 > sizeof p)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "at most %d octets", (int)sizeof p);
    cs_status s = send_packet(c, 0x10, p, 10 + text(p + 10, client_id), err);
    if (s == CS_OK) s = expect(c, 0x20, answer, err);
    if (s == CS_OK && answer[3] != 0) s = cs_fail(err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "CONNACK %d", answer[3]);
    if (s != CS_OK) return s;
    size_t n = text(p, topic);
    p[n++] = 0, p[n++] = 1; /* the packet's number */
    memcpy(p + n, message, strlen(message));
    s = send_packet(c, 0x32, p, n + strlen(message), err);
    if (s == CS_OK) s = expect(c, 0x40, answer, err);
    return s == CS_OK ? send_packet(c, 0xe0, p, 0, err) : s;
}

int main(int argc, char **argv) {
    cs_trust *trust = NULL;
    cs_credential *who = NULL;
    cs_client *client = NULL;
    cs_connection *c = NULL;
    cs_err err;
    if (argc != 7) return 2;
    int ok = cs_trust_new(&trust, &err) == CS_OK && cs_trust_add_file(trust, argv[2], &err) == CS_OK &&
             cs_credential_read(argv[3], argv[4], &who, &err) == CS_OK &&
             cs_client_new(trust, who, "mqtt", &client, &err) == CS_OK &&
             cs_connect(client, argv[1], NULL, 5000, &c, &err) == CS_OK &&
             publish(c, cs_certificate_name(cs_credential_certificate(who)), argv[5], argv[6], &err) == CS_OK &&
             cs_connection_end(c, &err) == CS_OK;
    if (ok) puts("published");
    cs_connection_free(c);
    cs_client_free(client);
    cs_credential_free(who);
    cs_trust_free(trust);
    return ok ? 0 : fail(&err);
}
