/* test_page.c: escaping of what comes from outside, and the figures of a page. */
#include "html.h"
#include "svg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOST "\xef\xbf\xbd"

static char *written;
static size_t written_size;

static FILE *begin(void) {
    FILE *file = open_memstream(&written, &written_size);
    assert_non_null(file);
    return file;
}

static void check_text(const char *text, size_t size, const char *expected) {
    FILE *file = begin();
    html_text(file, text, size);
    fclose(file);
    assert_string_equal(written, expected);
    free(written);
}

static void test_text(void **state) {
    (void)state;
#define CHECK(text, expected) check_text(text, sizeof(text) - 1, expected)
    CHECK("plain caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "plain caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    CHECK("<b a=\"1\" c='2'>&amp;", "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;");
    CHECK("]]>-->", "]]&gt;--&gt;");
    CHECK("a\tb\nc", "a\tb\nc");
    CHECK("a\0b", "a" LOST "b");
    CHECK("\x01\x1b[31m\r\x7f", LOST LOST "[31m" LOST LOST);
    CHECK("\xc2\x85\xc2\x9f\xc2\xa0", LOST LOST "\xc2\xa0");       /* C1 controls; the no-break space stays */
    CHECK("\xef\xbf\xbe\xef\xbf\xbf\xef\xb7\x90", LOST LOST LOST); /* not characters */
    CHECK("\xf0\x9f\xbf\xbe", LOST);
    CHECK("\xed\xa0\x80", LOST LOST LOST);                   /* a surrogate */
    CHECK("\xc0\xbc\xe0\x80\xbc", LOST LOST LOST LOST LOST); /* '<' in too many bytes */
    CHECK("\xf4\x90\x80\x80\xff", LOST LOST LOST LOST LOST);
    CHECK("\xe2\x82", LOST LOST); /* cut short */
    CHECK("\xe2<", LOST "&lt;");
    CHECK("", "");
}

static void test_shell(void **state) {
    (void)state;
    const char *const words[][2] = {
        {"dev.tsv", "dev.tsv"},   {"values=mca:alpha=.2", "values=mca:alpha=.2"}, {"", "&#39;&#39;"},
        {"a b", "&#39;a b&#39;"}, {"it's", "&#39;it&#39;\\&#39;&#39;s&#39;"},     {"<a>;$x", "&#39;&lt;a&gt;;$x&#39;"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        FILE *file = begin();
        html_shell(file, words[i][0]);
        fclose(file);
        assert_string_equal(written, words[i][1]);
        free(written);
    }
}

static void test_number(void **state) {
    (void)state;
    FILE *file = begin();
    html_number(file, "x", 2. / 3, 2);
    html_number(file, "y", NAN, 2);
    html_number(file, "y", INFINITY, 2);
    fclose(file);
    assert_string_equal(written, "<data class=\"x\" value=\"0.666666667\">0.67</data><span class=\"y\">\xe2\x80\x93</span>"
                                 "<span class=\"y\">\xe2\x80\x93</span>");
    free(written);
}

static void test_step(void **state) {
    (void)state;
    const double cases[][3] = {{10, 8, 2}, {8, 8, 1}, {100, 6, 20}, {.3, 6, .05}, {31, 30, 2}, {3000, 30, 100}, {1, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(fabs(svg_step(cases[i][0], cases[i][1]) / cases[i][2] - 1) < 1e-12);
    assert_true(svg_step(0, 8) == 1 && svg_step(NAN, 8) == 1 && svg_step(INFINITY, 8) == 1);
}

static size_t count(const char *word) {
    size_t n = 0;
    for (const char *at = written; (at = strstr(at, word)); at++) n++;
    return n;
}

/* Number `name` of the k-th `element`. */
static double read_number(const char *element, size_t k, const char *name) {
    const char *at = written - 1;
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s=\"", name);
    for (size_t i = 0; i <= k; i++) assert_non_null(at = strstr(at + 1, element));
    assert_non_null(at = strstr(at, wanted));
    return strtod(at + strlen(wanted), NULL);
}

/* Places are linear in the values, from 0 on the left edge; a NaN is left out; bars span the intervals. */
static void test_scatter(void **state) {
    (void)state;
    const svg_point points[] = {
        {.x = 0, .y = .8, .y_low = .7, .y_high = .9, .number = 0},
        {.x = 50, .x_low = 40, .x_high = 60, .y = .7, .y_low = .7, .y_high = .7, .number = 1},
        {.x = NAN, .y = .7, .number = 2},
        {.x = 100, .x_low = 100, .x_high = 100, .y = .9, .y_low = .9, .y_high = .9, .number = 9, .hollow = true}};
    FILE *file = begin();
    svg_scatter(file, "a <title>", "x & y", "metric", points, 4);
    fclose(file);
    assert_int_equal(count("<circle"), 3);
    assert_int_equal(count("class=\"number"), 3);
    assert_int_equal(count("class=\"span\""), 2);
    assert_int_equal(count("class=\"k1 hollow\""), 1); /* colours come round again */
    assert_int_equal(count("a &lt;title&gt;"), 1);
    assert_int_equal(count("x &amp; y"), 1);
    const double x[3] = {read_number("<circle", 0, "cx"), read_number("<circle", 1, "cx"), read_number("<circle", 2, "cx")};
    const double y[3] = {read_number("<circle", 0, "cy"), read_number("<circle", 1, "cy"), read_number("<circle", 2, "cy")};
    assert_true(fabs(x[1] - (x[0] + x[2]) / 2) < .11); /* one decimal is written of each */
    assert_true(fabs(y[0] - (y[1] + y[2]) / 2) < .11);
    assert_true(x[0] < x[1] && y[2] < y[0]); /* up is more */
    assert_true(fabs(read_number("class=\"span\"", 0, "y1") - y[1]) < .11 &&
                fabs(read_number("class=\"span\"", 0, "y2") - y[2]) < .11);
    assert_true(fabs(read_number("class=\"span\"", 1, "x2") - x[1] - .1 * (x[2] - x[0])) < .21);
    free(written);
    for (size_t n = 0; n < 2; n++) { /* nothing, or one point without an interval: still a figure of finite numbers */
        file = begin();
        svg_scatter(file, "t", "x", "y", points + 2 - n, n);
        fclose(file);
        assert_null(strstr(written, "nan"));
        assert_null(strstr(written, "inf"));
        free(written);
    }
}

static void test_histogram(void **state) {
    (void)state;
    const size_t counts[] = {4, 0, 2};
    FILE *file = begin();
    svg_histogram(file, "t", "x", "y", counts, 3, 5);
    fclose(file);
    assert_int_equal(count("<rect"), 2);
    assert_true(fabs(read_number("<rect", 0, "height") / read_number("<rect", 1, "height") - 2) < .01);
    assert_int_equal(count("<title>1 to 5: 4</title>"), 1);
    assert_int_equal(count("<title>11 to 15: 2</title>"), 1);
    free(written);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_shell),   cmocka_unit_test(test_number),
        cmocka_unit_test(test_step), cmocka_unit_test(test_scatter), cmocka_unit_test(test_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
