/* test_options.c: the option parser, and the facts that every command's table must keep. */
#include "commands.h"
#include "names.h"
#include "nearest.h"
#include "support/folder.h"

typedef struct settings {
    shared_settings shared;
    bool flag;
    const char *text, *choice;
    uint64_t number;
    option_list list;
} settings;

#define FIELD(name) offsetof(settings, name)

static const option options[] = {
    {"flag", 'x', OPTION_FLAG, FIELD(flag), NULL, NULL, "a flag", 0, 0, HINT_NONE, 0},
    {"text", 0, OPTION_TEXT, FIELD(text), "T", "default", "a text", 0, 0, HINT_NONE, 0},
    {"choice", 0, OPTION_CHOICE, FIELD(choice), NULL, "table", "a choice", 0, 0, HINT_NAMES, name_format},
    {"number", 'n', OPTION_NUMBER, FIELD(number), "N", "7", "a number", 1, 9, HINT_NONE, 0},
    {"list", 0, OPTION_LIST, FIELD(list), "L", NULL, "a list", 0, 0, HINT_NONE, 0},
    {0},
};

static const command sample = {.name = "sample",
                               .arguments = "[A] [B]",
                               .summary = "Sample.",
                               .shared = SHARED_ALL,
                               .options = options,
                               .settings_size = sizeof(settings),
                               .max_arguments = 2};

/* Up to eight words, ended by NULL. */
static int parse(settings *s, char *words[]) {
    int count = 0;
    while (words[count]) count++;
    return settings_parse(&sample, count, words, s);
}

#define PARSE(s, ...) parse(s, (char *[]){__VA_ARGS__, NULL})

static void test_values(void **state) {
    (void)state;
    settings s;
    assert_int_equal(parse(&s, (char *[]){NULL}), 0);
    assert_false(s.flag);
    assert_string_equal(s.text, "default");
    assert_string_equal(s.choice, "table");
    assert_int_equal(s.number, 7);
    assert_int_equal(s.list.count, 0);
    assert_string_equal(s.shared.values, "exact");
    assert_null(s.shared.attention);
    settings_release(&sample, &s);
    assert_int_equal(PARSE(&s, "--text=a=b", "first", "--number", "9", "-x", "--choice=tsv", "--", "--flag"), 0);
    assert_true(s.flag);
    assert_string_equal(s.text, "a=b");
    assert_string_equal(s.choice, "tsv");
    assert_int_equal(s.number, 9);
    assert_int_equal(s.shared.argument_count, 2);
    assert_string_equal(s.shared.arguments[0], "first");
    assert_string_equal(s.shared.arguments[1], "--flag");
    settings_release(&sample, &s);
    assert_int_equal(PARSE(&s, "--list", "a", "-n3", "--list=b", "-", "--seed=18446744073709551615"), 0);
    assert_int_equal(s.list.count, 2);
    assert_string_equal(s.list.items[1], "b");
    assert_int_equal(s.number, 3);
    assert_string_equal(s.shared.arguments[0], "-");
    assert_true(s.shared.seed == UINT64_MAX);
    settings_release(&sample, &s);
}

static void test_refusals(void **state) {
    (void)state;
    static char *const wrong[] = {
        "--nubmer=1",   "--number=0",  "--number=10",   "--number=two",   "--number=", "--number=-1",
        "--number=1.5", "--number",    "--choice=xml",  "--flag=1",       "--text=",   "-y",
        "-xn",          "--threads=0", "--threads=257", "--max-length=2", "--",        "--seed=18446744073709551616",
        "--number= 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        settings s;
        int code = strcmp(wrong[i], "--") ? PARSE(&s, wrong[i]) : PARSE(&s, "a", "b", "c");
        if (code != 2) fail_msg("'%s' was not refused", wrong[i]);
        settings_release(&sample, &s);
    }
}

static const char *word_at(const void *context, size_t index) {
    const char *const *words = context;
    return words[index];
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const words[] = {"classify", "embed", "eval", "explain", "tokenize", NULL};
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("ab", "ba"), 1); /* a swap of neighbours */
    assert_int_equal(edit_distance("same", "same"), 0);
    assert_string_equal(nearest("clasify", word_at, words), "classify");
    assert_string_equal(nearest("eavl", word_at, words), "eval");
    assert_string_equal(nearest("token", word_at, words), "tokenize");
    assert_null(nearest("xylophone", word_at, words));
    assert_null(nearest(
        "a word far longer than the name of any command or option, two hundred letters of it, which is near to no name at all, "
        "however generous a third of its own length is as the allowance for slips",
        word_at, words));
}

/* Names are unique, choices have their lists, defaults pass their own checks, help is one line. */
static void test_tables(void **state) {
    (void)state;
    const command *c;
    for (size_t i = 0; (c = command_at(i)); i++) {
        void *given = calloc(1, c->settings_size);
        assert_non_null(given);
        assert_ptr_equal(command_find(c->name), c);
        assert_non_null(c->run);
        assert_non_null(c->arguments);
        assert_true(c->settings_size >= sizeof(shared_settings));
        assert_int_equal(settings_parse(c, 0, NULL, given), 0);
        settings_release(c, given);
        free(given);
        const option *o, *other;
        for (size_t j = 0; (o = command_option(c, j)); j++) {
            assert_null(strchr(o->help, '\n'));
            if (o->type == OPTION_CHOICE) assert_non_null(o->names);
            if (o->type != OPTION_FLAG && o->type != OPTION_CHOICE) assert_non_null(o->meta);
            for (size_t k = 0; k < j && (other = command_option(c, k)); k++) {
                assert_string_not_equal(o->name, other->name);
                assert_false(o->alias && o->alias == other->alias);
            }
        }
    }
    assert_null(command_find("serve"));
    assert_null(command_find("tun"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
