#include "unit.h"

#include "recipes/recipe.h"

static void give(recipe_gaps *g) {
    static const char *const names[] = {
        "name",        "stem",        "stem_word",    "domain",    "domain_re",     "local",     "server",
        "server_host", "server_port", "dir",          "cert",      "key",           "ca",        "crl",
        "ca_and_crl",  "random",      "uuid_profile", "uuid_root", "uuid_identity", "uuid_wifi", "organization",
        "and_wifi",    "ca_base64",   "p12_base64",   "scep",      "challenge",     "ssid",      "radius_name",
        "qr",          "not_after",   "where",        "get_apple"};
    cs_err err;
    *g = (recipe_gaps){.n = 0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(recipe_set(g, names[i], "value", &err), CS_OK);
    assert_int_equal(recipe_set(g, "random", "0123456789abcdef0123456789abcdef01234567", &err), CS_OK);
}

static bool holds(const cs_buf *b, const char *what) {
    return b->n > 0 && memmem(b->p, b->n, what, strlen(what)) != NULL;
}

static void each_is_filled_whole_with_and_without_crls(void **state) {
    const recipe *r = NULL;
    size_t i = 0;
    for (; (r = recipe_at(i)) != NULL; i++) {
        for (int crl = 0; crl < 2; crl++) {
            recipe_gaps g;
            CS_SCOPED(recipe_made) made = {.n = 0};
            cs_err err = {.reason = CS_R_NONE};
            give(&g);
            if (!crl) assert_int_equal(recipe_set(&g, "crl", "", &err), CS_OK);
            if (recipe_fill(r, &g, &made, &err) != CS_OK) fail_msg("%s: %s", r->name, err.detail);
            assert_true(made.n > 0);
            assert_true(strlen(made.title) > 5);
            assert_true(made.then.n > 0);
            for (size_t k = 0; k < made.n; k++) {
                assert_true(made.files[k].text.n > 20);
                assert_false(holds(&made.files[k].text, "@{"));
            }
        }
    }
    assert_true(i > 20);
}

static void names_are_found_or_suggested(void **state) {
    const recipe *r = NULL;
    cs_err err;
    assert_int_equal(recipe_find("nginx", &r, &err), CS_OK);
    assert_string_equal(r->name, "nginx");
    assert_int_equal(recipe_find("ngnix", &r, &err), CS_REFUSED);
    assert_non_null(strstr(err.detail, "did you mean nginx"));
}

static void what_would_be_read_as_something_else_is_refused(void **state) {
    static const char *const bad[] = {"a;b", "a\nb", "a\"b", "a'b",  "a#b", "a{b",
                                      "a}b", "$a",   "`a`",  "a\\b", "<a>", "\x7f"};
    recipe_gaps g = {.n = 0};
    cs_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(recipe_set(&g, "upstream", bad[i], &err), CS_REFUSED);
        assert_int_equal(err.reason, CS_R_USAGE);
        assert_non_null(strstr(err.detail, "upstream"));
    }
    assert_null(recipe_value(&g, "upstream"));
    char longer[RECIPE_VALUE_MAX + 2];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(recipe_set(&g, "upstream", longer, &err), CS_REFUSED);
}

static void lines_stand_where_they_belong(void **state) {
    static const recipe r = {"mine", "#: title Mine\n#: for server\n#: set port 80@{x} | where\n#: file @{name}.conf\n"
                                     "port @{port}@@{port}\n#: if crl\ncrl\n#: unless name\nnever\n#: end\n#: end\n"
                                     "#: unless crl\nnone\n#: end\n#: then\ndo @{name}\n"};
    recipe_gaps g = {.n = 0};
    CS_SCOPED(recipe_made) made = {.n = 0};
    cs_err err;
    assert_int_equal(recipe_set(&g, "name", "gw", &err), CS_OK);
    assert_int_equal(recipe_set(&g, "x", "0", &err), CS_OK);
    assert_int_equal(recipe_set(&g, "crl", "f", &err), CS_OK);
    assert_int_equal(recipe_fill(&r, &g, &made, &err), CS_OK);
    assert_string_equal(made.title, "Mine");
    assert_true(made.server && made.looks_up);
    assert_int_equal(made.n, 1);
    assert_string_equal(made.files[0].path, "gw.conf");
    assert_string_equal(cs_buf_cstr(&made.files[0].text), "port 800@800\ncrl\n");
    assert_string_equal(cs_buf_cstr(&made.then), "do gw\n");
    assert_string_equal(recipe_value(&g, "port"), "800");
}

static void a_recipe_that_is_wrong_says_its_line(void **state) {
    static const struct {
        const char *text, *says;
    } rows[] = {{"#: title x\n#: end\n", "line 2: an end too many"},
                {"#: if a\n", "line 1: nobody knows a"},
                {"text\n", "line 1: text before the first file"},
                {"#: file x\n@{y}\n", "line 2: nobody knows y"},
                {"#: file x\n@{y\n", "line 2: a gap without its end"},
                {"#: foo\n", "line 1: what is foo"},
                {"#: set x\n", "line 1: expected NAME DEFAULT"},
                {"#: for people\n", "line 1: expected server, client or person"},
                {"#: unless z\n", "nobody knows z"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const recipe r = {"mine", rows[i].text};
        recipe_gaps g = {.n = 0};
        CS_SCOPED(recipe_made) made = {.n = 0};
        cs_err err;
        assert_int_equal(recipe_fill(&r, &g, &made, &err), CS_FAILED);
        if (strstr(err.detail, rows[i].says) == NULL) fail_msg("%s: %s", rows[i].text, err.detail);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_filled_whole_with_and_without_crls),
        cmocka_unit_test(names_are_found_or_suggested),
        cmocka_unit_test(what_would_be_read_as_something_else_is_refused),
        cmocka_unit_test(lines_stand_where_they_belong),
        cmocka_unit_test(a_recipe_that_is_wrong_says_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
