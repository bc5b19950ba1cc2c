/* dataset_articles.c: SemEval-2019 task 4 (Kiesel et al.), hyperpartisan news: articles-NAME.xml, and ground-truth-NAME.xml beside
 * it. An example is title + ". " + the article's text, its text nodes apart by a blank, runs of white space as one. The files are
 * read tag by tag; of XML there is what they use: elements, attributes, comments, character references. */
#include "dataset.h"
#include "input.h"
#include "report.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_SIZE = 32 };

typedef struct article {
    char id[ID_SIZE];
    size_t start, size; /* of the text in bytes */
    size_t number;      /* in the file */
    bool labelled, positive;
} article;

typedef struct text {
    char *bytes;
    size_t size, room;
} text;

typedef struct scan {
    const char *path;
    size_t line;
    text tag, body; /* the tag being read; all articles' texts */
    article *items;
    size_t count, room;
    bool inside; /* an article */
    bool blank;  /* a blank is due before the next character */
} scan;

static int put(text *t, char c) {
    if (t->size + 1 >= t->room) {
        size_t room = t->room ? 2 * t->room : 4096;
        char *bytes = realloc(t->bytes, room);
        if (!bytes) return complain_memory();
        t->bytes = bytes;
        t->room = room;
    }
    t->bytes[t->size++] = c;
    t->bytes[t->size] = '\0';
    return 0;
}

static int put_code_point(text *t, unsigned long c) {
    const unsigned high = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    int code = put(t, (char)(lead[high] | c >> 6 * high));
    for (unsigned i = high; i-- > 0 && !code;) code = put(t, (char)(0x80 | (c >> 6 * i & 0x3f)));
    return code;
}

/* The character that &...; at `at` stands for; returns its length in bytes, 0: none. */
static size_t reference_at(const char *at, size_t left, unsigned long *c) {
    static const struct {
        const char *name;
        char c;
    } names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t size = strlen(names[i].name);
        *c = (unsigned char)names[i].c;
        if (left >= size && !memcmp(at, names[i].name, size)) return size;
    }
    if (left < 4 || at[1] != '#') return 0;
    const int base = at[2] == 'x' ? 16 : 10;
    char *end, digits[12];
    snprintf(digits, sizeof digits, "%.*s", left < 14 ? (int)left - 2 : 11, at + 2);
    *c = strtoul(base == 16 ? digits + 1 : digits, &end, base);
    return *end == ';' && *c && *c < 0x110000 ? (size_t)(end - digits) + 3 : 0;
}

/* Characters with their references resolved and white space collapsed. */
static int put_text(scan *s, const char *at, size_t size) {
    int code = 0;
    for (size_t i = 0, n; i < size && !code; i += n) {
        unsigned long c = (unsigned char)at[i];
        n = 1;
        if (c == '&' && (n = reference_at(at + i, size - i, &c)) == 0)
            return complain(EXIT_FAILED, "%s: line %zu: '%.10s' is no character reference known here: write the character itself",
                            s->path, s->line, at + i);
        const bool raw = n == 1 && c != '&';
        if (raw && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            s->blank = true;
            continue;
        }
        if (s->blank) code = put(&s->body, ' ');
        s->blank = false;
        if (!code) code = raw ? put(&s->body, (char)c) : put_code_point(&s->body, c);
    }
    return code;
}

/* Value of an attribute of the tag; size SIZE_MAX where it has none. */
static slice attribute(const scan *s, const char *name) {
    const size_t length = strlen(name);
    const char *end;
    for (const char *at = s->tag.bytes; (at = strpbrk(at, "\"'")); at = end + 1) { /* value by value */
        end = strchr(at + 1, *at);
        if (!end) break;
        const bool fits = (size_t)(at - s->tag.bytes) > length + 1 && at[-1] == '=' && at[-2 - (ptrdiff_t)length] == ' ';
        if (fits && !memcmp(at - 1 - length, name, length)) return (slice){at + 1, (size_t)(end - at) - 1};
    }
    return (slice){NULL, SIZE_MAX};
}

static bool is_tag(const scan *s, const char *name) {
    const size_t length = strlen(name);
    return s->tag.size >= length && !memcmp(s->tag.bytes, name, length) &&
           (!s->tag.bytes[length] || strchr(" /", s->tag.bytes[length]));
}

static int open_article(scan *s) {
    const slice id = attribute(s, "id"), title = attribute(s, "title"), truth = attribute(s, "hyperpartisan");
    if (id.size >= ID_SIZE)
        return complain(EXIT_FAILED, "%s: line %zu: an article without an id: give the official file", s->path, s->line);
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 1024;
        article *items = realloc(s->items, room * sizeof *items);
        if (!items) return complain_memory();
        s->items = items;
        s->room = room;
    }
    article *a = &s->items[s->count];
    *a = (article){.start = s->body.size, .number = s->count};
    s->count++;
    memcpy(a->id, id.text, id.size);
    a->labelled = truth.text != NULL;
    a->positive = truth.size == 4 && !memcmp(truth.text, "true", 4);
    s->blank = false;
    s->inside = s->tag.bytes[s->tag.size - 1] != '/';
    int code = title.text ? put_text(s, title.text, title.size) : 0;
    if (!code && title.text) code = put_text(s, ". ", 2);
    a->size = s->body.size - a->start;
    return code;
}

static int end_tag(scan *s) {
    int code = 0;
    if (is_tag(s, "article") && s->inside) {
        code = complain(EXIT_FAILED, "%s: line %zu: an article inside an article: give the official file", s->path, s->line);
    } else if (is_tag(s, "article")) {
        code = open_article(s);
    } else if (is_tag(s, "/article") && s->inside) {
        s->items[s->count - 1].size = s->body.size - s->items[s->count - 1].start;
        s->inside = false;
    }
    s->blank = true;
    return code;
}

/* Whether the tag so far is a whole one and the '>' at hand ends it: not within quotes or a comment. */
static bool tag_ends(const text *tag) {
    const char *t = tag->bytes;
    if (tag->size >= 3 && !memcmp(t, "!--", 3)) return tag->size >= 5 && !memcmp(t + tag->size - 2, "--", 2);
    char quote = 0;
    for (size_t i = 0; i < tag->size; i++)
        if (quote ? t[i] == quote : t[i] == '"' || t[i] == '\'') quote = quote ? 0 : t[i];
    return !quote;
}

/* One line, its end included. */
static int scan_line(scan *s, slice line, bool *in_tag) {
    int code = 0;
    for (size_t i = 0; i < line.size && !code;) {
        if (!*in_tag) {
            const char *open = memchr(line.text + i, '<', line.size - i);
            const size_t end = open ? (size_t)(open - line.text) : line.size;
            if (s->inside) code = put_text(s, line.text + i, end - i);
            *in_tag = open != NULL;
            s->tag.size = 0;
            i = end + 1;
        } else if (line.text[i] == '>' && s->tag.size && tag_ends(&s->tag)) {
            code = end_tag(s);
            *in_tag = false;
            i++;
        } else {
            const char c = line.text[i++];
            code = put(&s->tag, c == '\t' ? ' ' : c);
        }
    }
    if (!code && *in_tag) code = put(&s->tag, ' ');
    s->blank = true;
    return code;
}

static int scan_file(scan *s, const char *path) {
    reader *r = NULL;
    bool in_tag = false;
    slice line;
    int code = reader_open(&r, path, NULL), got = 0;
    *s = (scan){.path = path};
    while (!code && (got = reader_line(r, &line.text, &line.size)) > 0) {
        s->line = reader_number(r);
        code = scan_line(s, line, &in_tag);
    }
    if (!code && got < 0) code = EXIT_FAILED;
    if (!code && (in_tag || s->inside))
        code = complain(EXIT_FAILED, "%s: line %zu: the file is cut short: download it again", path, s->line);
    if (!code && !s->count) code = complain(EXIT_FAILED, "%s: no articles: give articles-...xml", path);
    reader_close(r);
    return code;
}

static void scan_free(scan *s) {
    free(s->tag.bytes);
    free(s->body.bytes);
    free(s->items);
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(((const article *)a)->id, ((const article *)b)->id);
}

static int compare_numbers(const void *a, const void *b) {
    const size_t x = ((const article *)a)->number, y = ((const article *)b)->number;
    return (x > y) - (x < y);
}

static const article *find(const scan *s, const char *id) {
    article key = {.number = 0};
    snprintf(key.id, sizeof key.id, "%s", id);
    return bsearch(&key, s->items, s->count, sizeof key, compare_ids);
}

static int take(builder *b, const scan *articles, const article *a) {
    const double gold = a->positive;
    if (!a->labelled)
        return complain(EXIT_FAILED, "%s: article %s is not in the ground truth beside it: give both files of one set", b->path,
                        a->id);
    return dataset_append(b, (slice){articles->body.bytes + a->start, a->size}, (slice){NULL, 0}, &gold);
}

/* The articles of a JSON list of ids, in its order. Articles are sorted by id. */
static int take_listed(builder *b, const scan *articles) {
    json_error_t error;
    json_t *list = json_load_file(b->ids, 0, &error);
    int code = json_is_array(list) ? 0 : complain(EXIT_FAILED, "%s: not a JSON list of ids: give one, e.g. [\"0000001\"]", b->ids);
    for (size_t i = 0; i < json_array_size(list) && !code && !(b->limit && b->data->count >= b->limit); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        const article *a = id ? find(articles, id) : NULL;
        code = a ? take(b, articles, a)
                 : complain(EXIT_FAILED, "%s: entry %zu: %s has no such article: give ids of that file", b->ids, i, b->path);
    }
    json_decref(list);
    return code;
}

int dataset_read_articles(builder *b) {
    char path[4096];
    scan articles = {.path = NULL}, truth = {.path = NULL};
    int code = dataset_beside(b->task, b->path, path, sizeof path);
    if (!code) code = scan_file(&articles, b->path);
    if (!code) code = scan_file(&truth, path);
    if (!code) {
        qsort(articles.items, articles.count, sizeof *articles.items, compare_ids);
        qsort(truth.items, truth.count, sizeof *truth.items, compare_ids);
    }
    for (size_t i = 0; i < articles.count && !code; i++) {
        const article *a = find(&truth, articles.items[i].id);
        articles.items[i].labelled = a && a->labelled;
        articles.items[i].positive = a && a->positive;
    }
    if (!code && b->ids) code = take_listed(b, &articles);
    if (!code && !b->ids) {
        qsort(articles.items, articles.count, sizeof *articles.items, compare_numbers);
        for (size_t i = 0; i < articles.count && !code && !(b->limit && i >= b->limit); i++)
            code = take(b, &articles, &articles.items[i]);
    }
    scan_free(&articles);
    scan_free(&truth);
    return code;
}
