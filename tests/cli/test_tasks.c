/* test_tasks.c: reading task files: columns by header or index, quoting off, labels by name, IMDB's JSON lines, the errors. */
#include "names.h"
#include "support/folder.h"
#include "tasks.h"

static const char *entailment(const void *context, size_t index) {
    (void)context;
    static const char *const names[] = {"entailment", "neutral", "contradiction"};
    return index < 3 ? names[index] : NULL;
}

static const char *binary(const void *context, size_t index) {
    (void)context;
    static const char *const names[] = {"NOT_ENTAILMENT", "ENTAILMENT"};
    return index < 2 ? names[index] : NULL;
}

static const char *subject(const void *context, size_t index) {
    (void)context;
    static const char *const names[] = {"cs.IT", "math.IT", "cs.AI"};
    return index < 3 ? names[index] : NULL;
}

typedef struct row {
    const char *a, *b;
    double gold;
} row;

static void check_rows(const dataset *data, const row *rows, size_t count) {
    assert_int_equal(data->count, count);
    for (size_t i = 0; i < count; i++) {
        const fov_text *text = &data->texts[i];
        assert_int_equal(text->a_size, strlen(rows[i].a));
        assert_memory_equal(text->a, rows[i].a, text->a_size);
        assert_int_equal(text->b != NULL, rows[i].b != NULL);
        if (text->b) assert_int_equal(text->b_size, strlen(rows[i].b));
        if (text->b) assert_memory_equal(text->b, rows[i].b, text->b_size);
        assert_true(data->gold[i] == rows[i].gold);
    }
}

static void check_file(const char *task_name, const char *text, label_names names, size_t limit, const row *rows, size_t count) {
    folder f;
    dataset data;
    folder_make(&f);
    folder_write_text(&f, "data", text);
    assert_int_equal(dataset_read(&data, task_find(task_name), folder_path(&f, "data"), NULL, names, NULL, limit), 0);
    check_rows(&data, rows, count);
    dataset_free(&data);
    folder_remove(&f);
}

static void test_headers(void **state) {
    check_file("qqp",
               "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
               "1\t2\t3\tHow do I \"quote\"?\tWhy \"quote?\t1\n"
               "4\t5\t6\t\tAn empty first?\t0\n",
               binary, 0, (const row[]){{"How do I \"quote\"?", "Why \"quote?", 1}, {"", "An empty first?", 0}}, 2);
    /* the columns of the official dev_matched.tsv; the row without a gold label is no example */
    dataset data;
    folder *f = *state;
    folder_write_text(
        f, "data",
        "\xef\xbb\xbfindex\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tgold_label\r\n"
        "0\t1\t1n\tfiction\tp\tp\tp\tp\tFirst.\tSecond.\tneutral\tneutral\tneutral\r\n"
        "1\t1\t1n\tfiction\tp\tp\tp\tp\tThird.\tFourth.\tneutral\tcontradiction\t-\r\n"
        "2\t1\t1n\tfiction\tp\tp\tp\tp\tFifth.\tSixth.\tneutral\tcontradiction\tcontradiction\r\n");
    assert_int_equal(dataset_read(&data, task_find("mnli"), folder_path(f, "data"), NULL, entailment, NULL, 0), 0);
    check_rows(&data, (const row[]){{"First.", "Second.", 1}, {"Fifth.", "Sixth.", 2}}, 2);
    assert_int_equal(data.dropped, 1);
    dataset_free(&data);
    /* names are looked up in the model's order and letter case does not matter; the last line has no end */
    check_file("qnli", "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tentailment\n1\tWhat?\tIt.\tnot_entailment", binary, 0,
               (const row[]){{"Who?", "He.", 1}, {"What?", "It.", 0}}, 2);
    check_file("sst2", "label\tsentence\n0\tother order of columns \n1\tx\n1\ty\n", binary, 2,
               (const row[]){{"other order of columns ", NULL, 0}, {"x", NULL, 1}}, 2);
}

static void test_without_header(void **state) {
    (void)state;
    check_file("cola", "gj04\t1\t\tThe first line.\ngj04\t0\t*\tThe second line.\n", binary, 0,
               (const row[]){{"The first line.", NULL, 1}, {"The second line.", NULL, 0}}, 2);
    check_file("stsb", "captions\tf\t2012\t0\t2.500\tA girl.\tA \"boy.\nforums\tf\t2013\t1\t5\tA.\tB.\tlicence\tmore\n", binary, 0,
               (const row[]){{"A girl.", "A \"boy.", 2.5}, {"A.", "B.", 5}}, 2);
    check_file("stsb", "index\tsentence1\tsentence2\tscore\n0\tA.\tB.\t0.25\n", binary, 0, (const row[]){{"A.", "B.", .25}}, 1);
}

static void test_imdb(void **state) {
    (void)state;
    static const char lines[] = "{\"id\": \"a\", \"label\": 0, \"text\": \"one<br /><br />two\"}\n"
                                "{\"label\": 0, \"text\": \"three<br />\"}\n"
                                "{\"label\": 0, \"text\": \"four\"}\n"
                                "{\"label\": \"entailment\", \"text\": \"<br \\u00e9\"}\n"
                                "{\"label\": 1, \"text\": \"six\"}\n";
    check_file(
        "imdb", lines, binary, 0,
        (const row[]){{"one  two", NULL, 0}, {"three ", NULL, 0}, {"four", NULL, 0}, {"<br \xc3\xa9", NULL, 1}, {"six", NULL, 1}},
        5);
    check_file("imdb", lines, binary, 3, (const row[]){{"one  two", NULL, 0}, {"three ", NULL, 0}, {"<br \xc3\xa9", NULL, 1}}, 3);
}

static const char subjects[] = "cs.AI cs.IT\ncs.IT\n\n";

static void test_lines(void **state) {
    folder *f = *state;
    dataset data;
    folder_write_text(f, "text_test", "first abstract\nsecond\nthird\n");
    folder_write_text(f, "label_test", subjects);
    assert_int_equal(dataset_read(&data, task_find("aapd"), folder_path(f, "text_test"), NULL, subject, NULL, 0), 0);
    assert_int_equal(data.columns, 3);
    assert_int_equal(data.count, 3);
    static const double gold[] = {1, 0, 1, 1, 0, 0, 0, 0, 0};
    assert_memory_equal(data.gold, gold, sizeof gold);
    assert_int_equal(data.texts[1].a_size, 6);
    assert_memory_equal(data.texts[1].a, "second", 6);
    dataset_free(&data);
    folder_write_text(f, "label_test", "cs.AI\ncs.IT\n"); /* a line short */
    assert_int_equal(dataset_read(&data, task_find("aapd"), folder_path(f, "text_test"), NULL, subject, NULL, 0), 1);
    folder_write_text(f, "label_test", "cs.AI\ncs.XX\n\n"); /* no such class */
    assert_int_equal(dataset_read(&data, task_find("aapd"), folder_path(f, "text_test"), NULL, subject, NULL, 0), 1);
    folder_write_text(f, "other", "x\n"); /* no name for the labels */
    assert_int_equal(dataset_read(&data, task_find("aapd"), folder_path(f, "other"), NULL, subject, NULL, 0), 1);
}

/* Tags, references and white space as in SemEval's files; ids choose and order. */
static void test_articles(void **state) {
    static const char truth[] = "<articles>\n<article hyperpartisan=\"true\" id=\"02\" url=\"a?id=\"/>\n"
                                "<article hyperpartisan='false' id='01'/></articles>\n";
    folder *f = *state;
    dataset data;
    folder_write_text(f, "articles-x.xml",
                      "<?xml version=\"1.0\"?><articles>\n<article id=\"01\" title=\"Left &amp; right: id='7' &gt; \">\n"
                      " One<p>two\n  <!-- <p> > --> <a href=\"x>y\">thr&#101;e</a>,</p> &#x1F525;</article>\n"
                      "\t<article\n\tid=\"02\" title=\"T\"><p/>&quot;x&lt;&quot;</article>\n</articles>\n");
    folder_write_text(f, "ground-truth-x.xml", truth);
    folder_write_text(f, "ids.json", "[\"02\", \"01\"]");
    folder_write_text(f, "bad.json", "[\"03\"]");
    char path[1100];
    snprintf(path, sizeof path, "%s", folder_path(f, "articles-x.xml"));
    static const row first = {"Left & right: id='7' > . One two three , \xf0\x9f\x94\xa5", NULL, 0},
                     second = {"T. \"x<\"", NULL, 1};
    assert_int_equal(dataset_read(&data, task_find("hnd"), path, NULL, binary, NULL, 0), 0);
    check_rows(&data, (const row[]){first, second}, 2);
    dataset_free(&data);
    assert_int_equal(dataset_read(&data, task_find("hnd"), path, folder_path(f, "ids.json"), binary, NULL, 0), 0);
    check_rows(&data, (const row[]){second, first}, 2);
    dataset_free(&data);
    assert_int_equal(dataset_read(&data, task_find("hnd"), path, folder_path(f, "bad.json"), binary, NULL, 0), 1);
    folder_write_text(f, "ground-truth-x.xml", "<article id=\"01\" hyperpartisan=\"true\"/>");
    assert_int_equal(dataset_read(&data, task_find("hnd"), path, NULL, binary, NULL, 0), 1); /* 02 is not judged */
    static const char *const bad[] = {"",
                                      "<articles></articles>",
                                      "<article id=\"01\" title=\"T\">cut",
                                      "<article id=\"01\"",
                                      "<article title=\"T\">x</article>",
                                      "<article id=\"01\">&nbsp;</article>",
                                      "<article id=\"01\"><article id=\"02\"></article></article>"};
    folder_write_text(f, "ground-truth-x.xml", truth);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        folder_write_text(f, "articles-x.xml", bad[i]);
        assert_int_equal(dataset_read(&data, task_find("hnd"), path, NULL, binary, NULL, 0), 1);
    }
    assert_int_equal(dataset_read(&data, task_find("sst2"), path, "ids", binary, NULL, 0), 2); /* --ids is for articles */
}

/* The message goes to stderr; what it says is checked in eval.sh. */
static void check_refused(const char *task_name, const char *text) {
    folder f;
    dataset data;
    folder_make(&f);
    folder_write_text(&f, "data", text);
    assert_int_equal(dataset_read(&data, task_find(task_name), folder_path(&f, "data"), NULL, binary, NULL, 0), 1);
    assert_null(data.texts);
    assert_null(data.gold);
    folder_remove(&f);
}

static void test_refusals(void **state) {
    (void)state;
    check_refused("sst2", "");
    check_refused("sst2", "sentence\tlabel\n");
    check_refused("sst2", "text\tlabel\nx\t1\n");
    check_refused("sst2", "sentence\tlabel\nx\t2\n");        /* the model has two labels */
    check_refused("sst2", "sentence\tlabel\nx\tpositive\n"); /* of another name */
    check_refused("sst2", "sentence\tlabel\nx\t\n");
    check_refused("sst2", "sentence\tlabel\nx\t-1\n");
    check_refused("sst2", "sentence\tlabel\nx\n");
    check_refused("cola", "gj04\t1\tThe first line.\n");
    check_refused("stsb", "index\tsentence1\tsentence2\tscore\n0\tA.\tB.\t\n");
    check_refused("stsb", "index\tsentence1\tsentence2\tscore\n0\tA.\tB.\tnan\n");
    check_refused("imdb", "{\"label\": 0, \"text\": \"cut");
    check_refused("imdb", "{\"label\": 0}\n");
    check_refused("imdb", "\xfd"
                          "7zXZ"); /* no magic, no JSON */
    dataset data;
    assert_int_equal(dataset_read(&data, task_find("sst2"), "/nonexistent/dev.tsv", NULL, binary, NULL, 0), 1);
}

static void test_table(void **state) {
    (void)state;
    const task *t;
    size_t count = 0;
    for (; (t = task_at(count)); count++) {
        assert_string_equal(name_task(count), t->name);
        assert_ptr_equal(task_find(t->name), t);
        assert_true(t->metric_count >= 1 && t->metric_count <= 3);
        for (size_t m = 0; m < t->metric_count; m++) assert_non_null(t->metrics[m].value);
    }
    assert_int_equal(count, 12);
    assert_null(name_task(count));
    assert_null(task_find("nothing"));
}

/* Rows, and a few facts, of the sets as published. */
static void test_published(void **state) {
    (void)state;
    static const struct {
        const char *task, *file;
        size_t count;
    } sets[] = {{"cola", "glue/cola/dev.tsv", 1043},   {"sst2", "glue/sst2/dev.tsv", 872},
                {"mrpc", "glue/mrpc/dev.tsv", 408},    {"stsb", "glue/stsb/dev.tsv", 1500},
                {"rte", "glue/rte/dev.tsv", 277},      {"wnli", "glue/wnli/dev.tsv", 71},
                {"stsb", "stsb/sts-test.tsv", 1379},   {"imdb", "imdb/test.jsonl.xz", 25000},
                {"mrpc", "glue/mrpc/train.tsv", 3668}, {"hnd", "hnd/articles-training-byarticle-20181122.xml", 645}};
    const char *shared = getenv("FOV_SHARED");
    char path[600];
    if (!shared) shared = FOV_SOURCE_DIR "/../shared";
    if (access(shared, R_OK)) skip();
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        dataset data;
        snprintf(path, sizeof path, "%s/data/%s", shared, sets[i].file);
        assert_int_equal(dataset_read(&data, task_find(sets[i].task), path, NULL, binary, NULL, 0), 0);
        assert_int_equal(data.count, sets[i].count);
        dataset_free(&data);
    }
    dataset data;
    snprintf(path, sizeof path, "%s/data/imdb/test.jsonl.xz", shared);
    assert_int_equal(dataset_read(&data, task_find("imdb"), path, NULL, binary, NULL, 200), 0);
    double positive = 0;
    for (size_t i = 0; i < data.count; i++) positive += data.gold[i];
    assert_int_equal(data.count, 200);
    assert_true(positive == 100);
    dataset_free(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        folder_unit_test(test_headers), cmocka_unit_test(test_without_header), cmocka_unit_test(test_imdb),
        folder_unit_test(test_lines),   folder_unit_test(test_articles),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_table),   cmocka_unit_test(test_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
