/* conf/value.h - what each key's text must be; the same judgement for the file and for the command line. */
#ifndef CS_CONF_VALUE_H
#define CS_CONF_VALUE_H

#include "base/view.h"

typedef enum conf_type {
    CONF_TEXT,        /* anything */
    CONF_ADDRESS,     /* 127.0.0.1:8443, [::1]:8443, localhost:8443 */
    CONF_LISTEN,      /* an address, or unix:/PATH */
    CONF_ON_OFF,      /* on, off */
    CONF_ADDRESS_OFF, /* the same, or off */
    CONF_URL,
    CONF_STORE,        /* http://HOST[:PORT] */
    CONF_UPSTREAM,     /* a server's URL, or the name of an upstream */
    CONF_SERVER,       /* http:// https:// h2c:// h2:// HOST[:PORT], tcp:// tls:// HOST:PORT or unix:/PATH */
    CONF_NAME,         /* letters, digits, - and _ */
    CONF_HEX32,        /* 64 hexadecimal digits */
    CONF_CA_NAMES,     /* all, none, or a readable file */
    CONF_TICKET_KEYS,  /* authority, or a readable file */
    CONF_DURATION_OFF, /* 2s, or off */
    CONF_HOST,         /* gw.example, *.example */
    CONF_METHOD,       /* GET */
    CONF_DURATION,     /* 90d, 8h, 15m, 30s */
    CONF_FILE,         /* a readable file; relative to the configuration's folder */
    CONF_SITE_NAME,    /* gw.example, *.example, * */
    CONF_ROUTE_PATH,   /* /... */
    CONF_TRUST_DOMAIN, /* corp.example */
    CONF_KIND,         /* server, user, device */
    CONF_CLIENT,       /* require, optional, off */
    CONF_TLS,          /* 1.2, 1.3 */
    CONF_TLS_RECORDS,  /* own, libssl */
    CONF_LOG_FORMAT,   /* json, text */
    CONF_PROTOCOL,     /* http, tcp */
    CONF_STARTTLS,     /* postgres */
    CONF_ALPN,         /* names, with commas between */
    CONF_MAIL,         /* ops@corp.example */
    CONF_SMTP,         /* smtp://HOST[:PORT], smtps://HOST[:PORT] */
    CONF_WEBHOOK,      /* https://HOST[:PORT]/..., http:// of this machine */
    CONF_TWO_PERSON,   /* admins, cas, profiles */
    CONF_APPROVAL,     /* never, unknown, always */
    CONF_DOOR_NAME,    /* est, scep, cmp, acme */
    CONF_ACCOUNTS,     /* token, open */
    CONF_BINDING,      /* checked, required, ignored */
    CONF_HTTPS_URL,    /* https://HOST[:PORT] */
    CONF_NETWORK,      /* 10.0.0.0/8 */
    CONF_RESOLVER,     /* 10.0.0.53, 10.0.0.53:5353, [::1]:53 */
    CONF_CA_CHAIN,     /* ra, chain, all */
    CONF_VENDOR_AS,    /* idevid, tpm */
    CONF_SERIAL_AT,    /* any, subject, common-name, hardware-module, permanent-identifier */
    CONF_PATTERN,      /* a name with {serial} in it */
    CONF_USE,          /* once, again */
    CONF_ANY_DOOR,     /* est, scep, cmp, acme, rest */
} conf_type;

/* The type of the key at `path`, as "limits.idle" or "sites[].routes[].path". */
conf_type conf_type_of(const char *path);
/* Is the text of that type? CONF_FILE: looks only at its form. */
bool conf_value_ok(conf_type type, const char *text);
/* "ADDRESS:PORT, such as 127.0.0.1:8443 or [::1]:8443": follows "expected". */
const char *conf_value_expected(conf_type type);

#endif
