#include "unit.h"

#include "keys/tpm.h"

static cs_reason refused(const char *text) {
    cs_tpm_uri u;
    cs_err err;
    return cs_tpm_uri_parse(text, &u, &err) == CS_OK ? CS_R_NONE : err.reason;
}

static void a_uri_names_a_handle_or_a_file_and_where_its_tpm_is(void **state) {
    cs_tpm_uri u;
    cs_err err;
    char path[256];
    bool network = true;
    assert_ok(cs_tpm_uri_parse("tpm2:handle=0x81000005", &u, &err));
    assert_string_equal(u.handle, "0x81000005");
    assert_string_equal(u.tcti, "device:/dev/tpmrm0");
    cs_tpm_reach(&u, path, &network);
    assert_string_equal(path, "/dev/tpmrm0");
    assert_false(network);
    assert_ok(cs_tpm_uri_parse("tpm2:file=/k.pem?tcti=swtpm:path=/run/x.sock&pin-source=file:/pin", &u, &err));
    assert_string_equal(u.file, "/k.pem");
    assert_string_equal(u.pin_source, "file:/pin");
    cs_tpm_reach(&u, path, &network);
    assert_string_equal(path, "/run/x.sock");
    assert_ok(cs_tpm_uri_parse("tpm2:file=/k.pem?tcti=mssim:host=localhost,port=2321", &u, &err));
    cs_tpm_reach(&u, path, &network);
    assert_string_equal(path, "");
    assert_true(network);
}

static void what_is_no_such_uri_is_refused(void **state) {
    static const char *const wrong[] = {"tpm2:",
                                        "tpm2:handle=",
                                        "tpm2:handle=0x80000001",
                                        "tpm2:handle=0x8100000g",
                                        "tpm2:handle=0x81000005&handle=0x81000006",
                                        "tpm2:file=k.pem",
                                        "tpm2:file=/k.pem&handle=0x81000005",
                                        "tpm2:file=/k pem",
                                        "tpm2:file=/k.pem?",
                                        "tpm2:file=/k.pem?tcti=a;b",
                                        "tpm2:tcti=device:/dev/tpm0",
                                        "tpm2:file=/k.pem?pin-value=1",
                                        "pkcs11:token=x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_int_equal(refused(wrong[i]), CS_R_URI_INVALID);
    char longer[2000] = "tpm2:file=/";
    memset(longer + 11, 'a', sizeof longer - 12);
    assert_int_equal(refused(longer), CS_R_URI_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_uri_names_a_handle_or_a_file_and_where_its_tpm_is),
                                       cmocka_unit_test(what_is_no_such_uri_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
