/* test_ladders.c: every setting that tune tries is one the library takes: names, bounds, and rungs from dear to cheap. */
#include "ladders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const fov_param_info *param_of(const ladder *l) {
    const fov_method_info *method;
    for (size_t i = 0; (method = fov_method_at(l->place, i)); i++)
        for (size_t p = 0; p < method->param_count && !strcmp(method->name, l->method); p++)
            if (!strcmp(method->params[p].name, l->param)) return &method->params[p];
    return NULL;
}

static void test_rows(void **state) {
    (void)state;
    const ladder *l;
    size_t offered = 0;
    for (size_t i = 0; (l = ladder_at(i)); i++) {
        assert_true(ladder_rungs(l) >= 2);
        assert_int_equal(ladder_offered(l), param_of(l) != NULL);
        if (!param_of(l)) continue;
        offered++;
        double last = 0;
        for (size_t rung = 0; rung < ladder_rungs(l); rung++) {
            char text[SETTING_SIZE], *equals;
            ladder_setting(l, (double)rung, 3072, text);
            assert_int_equal(strncmp(text, l->method, strlen(l->method)), 0);
            assert_non_null(equals = strchr(text, '='));
            const double value = strtod(equals + 1, NULL);
            assert_true(value >= param_of(l)->low && value <= param_of(l)->high);
            if (rung) assert_true((value > last) == (l->rungs[1] > l->rungs[0])); /* one direction */
            last = value;
        }
    }
    assert_true(offered >= 5); /* regress, poisson, mca twice, topk */
}

static void test_text(void **state) {
    (void)state;
    static const ladder one = {FOV_PLACE_VALUES, "mca", "alpha", ",p=calibrated", .profile = true, .rungs = {.03, .06}},
                        share = {FOV_PLACE_FFN, "topk", "k", "", .of_ffn = true, .rungs = {.5, 1e-9}};
    char text[SETTING_SIZE];
    ladder_setting(&one, 1, 3072, text);
    assert_string_equal(text, "mca:alpha=0.06,p=calibrated");
    ladder_setting(&one, .5, 3072, text); /* sqrt(.03 * .06) = .0424 */
    assert_string_equal(text, "mca:alpha=0.042,p=calibrated");
    ladder_setting(&share, 0, 1024, text);
    assert_string_equal(text, "topk:k=512");
    ladder_setting(&share, 1, 1024, text);
    assert_string_equal(text, "topk:k=1");
    assert_null(ladder_at(1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
