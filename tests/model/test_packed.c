/* test_packed.c: a packed model computes what its checkpoint computes, bit for bit; files that are wrong in one place are refused
 * with one line; processes share the weights. */
#include "model/packed.h"

#include "support/failing_alloc.h"
#include "support/packed.h"

#include <dirent.h>
#include <sys/wait.h>

#define GOLDEN FOV_SOURCE_DIR "/tests/golden"

static const char *const types[] = {"f32", "bf16", "int8"};

static fov_model *load(const char *path, const char *dtype) {
    fov_model *model = NULL;
    assert_ok(fov_model_load(path, &(fov_model_options){.dtype = dtype, .threads = 2}, &model, error));
    return model;
}

/* ---- the same results ---- */

enum { TEXTS = 4, WIDEST = 4096 };
static const char *const texts[TEXTS] = {"a warm , funny and quietly moving film .", "no.", "",
                                         "t1 t2 [MASK] t3 , the second half is <mask> slower"};

/* All that a model makes of some texts. */
typedef struct results {
    size_t count;
    float values[TEXTS * WIDEST];
} results;

static void run(const fov_model *model, results *r) {
    const fov_model_info *info = fov_model_get_info(model);
    fov_session *session = NULL;
    *r = (results){0};
    assert_ok(fov_session_create(model, NULL, &session, error));
    for (size_t i = 0; i < TEXTS; i++) {
        const fov_text text = text_of(texts[i]);
        float *out = r->values + r->count;
        size_t used = info->width, tokens = WIDEST / 2;
        assert_true(info->width <= WIDEST / 2 && info->labels <= 32);
        assert_ok(fov_embed(session, &text, 1, out, NULL, error));
        if (info->head == FOV_HEAD_TOKENS) {
            assert_ok(fov_tag(session, &text, out + used, &tokens, error));
            used += tokens * info->labels;
        } else if (info->head == FOV_HEAD_MASKED_LM) {
            fov_candidate found[20];
            size_t masks = 4;
            fov_error ignored;
            if (!fov_fill_mask(session, &text, 5, found, &masks, &ignored))
                for (size_t c = 0; c < 5 * masks; c++) {
                    out[used++] = found[c].probability;
                    out[used++] = (float)found[c].id;
                }
        } else if (info->head != FOV_HEAD_NONE) {
            assert_ok(fov_classify(session, &text, 1, out + used, NULL, error));
            used += info->labels;
        }
        r->count += used;
        assert_true(r->count <= TEXTS * WIDEST);
    }
    fov_session_free(session);
}

static void check_same_info(const fov_model_info *a, const fov_model_info *b) {
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->architecture, b->architecture);
    assert_string_equal(a->stored, b->stored);
    assert_string_equal(a->dtype, b->dtype);
    assert_string_equal(a->attention, b->attention);
    const size_t x[] = {a->head,   a->layers,     a->heads, (size_t)a->parameters, a->ffn_width, a->vocabulary,
                        a->labels, a->max_length, a->width, a->weight_bytes,       a->pooling,   (size_t)a->normalize};
    const size_t y[] = {b->head,   b->layers,     b->heads, (size_t)b->parameters, b->ffn_width, b->vocabulary,
                        b->labels, b->max_length, b->width, b->weight_bytes,       b->pooling,   (size_t)b->normalize};
    assert_memory_equal(x, y, sizeof x);
}

static void check_same(const char *checkpoint, const char *dtype) {
    static results plain, shared;
    folder place;
    folder_make(&place);
    packed p = packed_make(checkpoint, dtype, 2), again = packed_make(checkpoint, dtype, 1);
    if (p.size != again.size || memcmp(p.bytes, again.bytes, p.size))
        fail_msg("%s, %s: other bytes the second time", checkpoint, dtype);
    folder_write(&place, "model", p.bytes, p.size);
    fov_model *a = load(checkpoint, dtype), *b = load(folder_path(&place, "model"), NULL);
    check_same_info(fov_model_get_info(a), fov_model_get_info(b));
    if (fov_model_hash(a) != fov_model_hash(b)) fail_msg("%s, %s: another hash", checkpoint, dtype);
    for (size_t l = 0; l < fov_model_get_info(a)->labels; l++) assert_string_equal(fov_model_label(a, l), fov_model_label(b, l));
    assert_ok(fov_model_verify(b, error));
    run(a, &plain);
    run(b, &shared);
    assert_int_equal(plain.count, shared.count);
    if (memcmp(plain.values, shared.values, plain.count * sizeof(float))) fail_msg("%s, %s: other results", checkpoint, dtype);
    fov_model_free(a);
    fov_model_free(b);
    free(p.bytes);
    free(again.bytes);
    folder_remove(&place);
}

static void test_same(void **state) {
    (void)state;
    for (size_t t = 0; t < 3; t++) check_same(TINY_FOLDER, types[t]);
    DIR *list = opendir(GOLDEN);
    assert_non_null(list);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        char path[600];
        struct stat facts;
        snprintf(path, sizeof path, "%s/%s", GOLDEN, entry->d_name);
        if (*entry->d_name == '.' || stat(path, &facts) || !S_ISDIR(facts.st_mode)) continue;
        for (size_t t = 0; t < 3; t++) check_same(path, types[t]);
        count++;
    }
    closedir(list);
    assert_true(count >= 20);
}

/* Larger checkpoints, where they are at hand. */
static void test_same_large(void **state) {
    (void)state;
    const char *place = getenv("FOV_MODELS");
    static const char *const names[] = {"bert-base-uncased-sst2", "distilbert-6-sst2", "bert-fastmax2-sst2"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && place; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", place, names[i]);
        if (access(path, F_OK)) continue;
        for (size_t t = 0; t < 3; t++) check_same(path, types[t]);
        count++;
    }
    if (!count) skip();
}

/* ---- options, and what becomes of the file ---- */

static void check_error(const fov_error *problem, fov_status status, fov_status want, const char *where, const char *says,
                        const char *what) {
    if (status != want || problem->status != want)
        fail_msg("%s: %s, not %s: %s", what, fov_status_name(status), fov_status_name(want), problem->message);
    if (!strstr(problem->where, where)) fail_msg("%s: '%s' does not name %s", what, problem->where, where);
    if (!strstr(problem->message, says)) fail_msg("%s: '%s' does not say '%s'", what, problem->message, says);
    if (strchr(problem->message, '\n')) fail_msg("%s: more than a line", what);
    if (!strpbrk(problem->message, ";?:")) fail_msg("%s: '%s': no remedy", what, problem->message);
}

static void test_options(void **state) {
    (void)state;
    folder place;
    folder_make(&place);
    packed p = packed_make(TINY_FOLDER, "int8", 1);
    folder_write(&place, "model", p.bytes, p.size);
    free(p.bytes);
    const char *path = folder_path(&place, "model");
    fov_model *model = NULL;
    fov_error problem = {0};
    fov_status status = fov_model_load(path, &(fov_model_options){.dtype = "bf16"}, &model, &problem);
    check_error(&problem, status, FOV_ERR_ARGUMENT, "dtype", "packed as int8, not bf16", "another type");
    status = fov_model_load(path, &(fov_model_options){.dtype = "int4"}, &model, &problem);
    assert_int_equal(status, FOV_ERR_ARGUMENT);
    assert_ok(fov_model_load(path, &(fov_model_options){.dtype = "int8", .name = "mine"}, &model, error));
    assert_string_equal(fov_model_get_info(model)->name, "mine");
    /* A profile is looked for beside it. */
    fov_session *session = NULL;
    status = fov_session_create(model, &(fov_session_options){.values = "regress"}, &session, &problem);
    check_error(&problem, status, FOV_ERR_IO, place.path, "no calibration profile", "no profile");
    fov_model_free(model);
    packed none = {NULL, 0, 0};
    status = fov_model_pack(path, NULL, packed_append, &none, &problem);
    check_error(&problem, status, FOV_ERR_IO, "model", "not a folder", "packing what is packed");
    model = tiny_load(NULL);
    status = fov_model_verify(model, &problem);
    check_error(&problem, status, FOV_ERR_ARGUMENT, "tiny", "packed file", "verifying a checkpoint");
    fov_model_free(model);
    assert_int_equal(fov_model_pack(NULL, NULL, packed_append, &none, &problem), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_model_pack(TINY_FOLDER, NULL, NULL, &none, &problem), FOV_ERR_ARGUMENT);
    assert_int_equal(fov_model_verify(NULL, &problem), FOV_ERR_ARGUMENT);
    folder_remove(&place);
}

static int write_little(void *context, const void *data, size_t size) {
    (void)data;
    size_t *left = context;
    if (size > *left) return 1;
    *left -= size;
    return 0;
}

/* A writer that fails at any point is told as such. */
static void test_writer_fails(void **state) {
    (void)state;
    for (size_t most = 0; most < 200000; most += 977) {
        size_t left = most;
        fov_error problem = {0};
        const fov_status status = fov_model_pack(GOLDEN "/bert-mask", NULL, write_little, &left, &problem);
        if (!status) return;
        check_error(&problem, status, FOV_ERR_IO, "bert-mask", "could not be written", "writer");
    }
    fail_msg("the file is longer than it should be");
}

/* A file that is removed, or replaced by renaming, goes on to serve who has it. */
static void test_replaced(void **state) {
    (void)state;
    static results before, after;
    char path[1024];
    folder place;
    folder_make(&place);
    packed p = packed_make(TINY_FOLDER, "f32", 2);
    folder_write(&place, "model", p.bytes, p.size);
    folder_write(&place, "new", p.bytes, p.size / 2);
    free(p.bytes);
    snprintf(path, sizeof path, "%s", folder_path(&place, "model"));
    fov_model *model = load(path, NULL);
    run(model, &before);
    assert_int_equal(rename(folder_path(&place, "new"), path), 0);
    run(model, &after);
    assert_memory_equal(before.values, after.values, before.count * sizeof(float));
    assert_int_equal(unlink(path), 0);
    assert_ok(fov_model_verify(model, error));
    fov_model_free(model);
    folder_remove(&place);
}

/* ---- damage ---- */

/* One change of a packed file. In the header `from` becomes `to`, and the tensors stay aligned; or word `index` of the facts
 * becomes `word`. */
typedef struct damage {
    const char *dtype, *from, *to;
    size_t index;
    uint64_t word;
    fov_status status;
    const char *says;
} damage;

#define Q "embeddings.word_embeddings.weight"
#define QUERY "encoder.layer.0.attention.self.query.weight"
static const damage damages[] = {
    {"f32", "foveate/facts", "foveate/fakts", 0, 0, FOV_ERR_FORMAT, "no packed model"},
    {"f32", "\"foveate/facts\":{\"dtype\":\"U64\"", "\"foveate/facts\":{\"dtype\":\"I64\"", 0, 0, FOV_ERR_FORMAT, "malformed"},
    {"f32", NULL, NULL, 0, 0x0807060504030201u, FOV_ERR_UNSUPPORTED, "byte order"},
    {"f32", NULL, NULL, 0, 7, FOV_ERR_FORMAT, "malformed"},
    {"f32", NULL, NULL, 1, 2, FOV_ERR_UNSUPPORTED, "format 2"},
    {"f32", NULL, NULL, 2, 16, FOV_ERR_UNSUPPORTED, "16 columns"},
    {"f32", NULL, NULL, 3, 3, FOV_ERR_FORMAT, "what no model has"},
    {"f32", NULL, NULL, 3, 1, FOV_ERR_FORMAT, "BF16 is needed"},
    {"bf16", NULL, NULL, 3, 0, FOV_ERR_FORMAT, "F32 is needed"},
    {"f32", NULL, NULL, 4, 2, FOV_ERR_FORMAT, "what no model has"},
    {"f32", NULL, NULL, 6, 2, FOV_ERR_FORMAT, "what no model has"},
    {"f32", NULL, NULL, 8, 3, FOV_ERR_FORMAT, "what no model has"},
    {"f32", "foveate/hashes", "foveate/hushes", 0, 0, FOV_ERR_FORMAT, "foveate/hashes"},
    {"f32", "foveate/name", "foveate/nome", 0, 0, FOV_ERR_FORMAT, "foveate/name"},
    {"f32", "foveate/file/config.json", "foveate/file/confik.json", 0, 0, FOV_ERR_FORMAT, "missing or empty"},
    {"f32", "foveate/file/vocab.txt", "foveate/file/vocap.txt", 0, 0, FOV_ERR_IO, "neither vocab.txt"},
    {"f32", "\"foveate/file/vocab.txt\":{\"dtype\":\"U8\"", "\"foveate/file/vocab.txt\":{\"dtype\":\"I8\"", 0, 0, FOV_ERR_FORMAT,
     "as bytes"},
    {"f32", QUERY, "encoder.layer.0.attention.self.quary.weight", 0, 0, FOV_ERR_MISMATCH, QUERY "' is missing"},
    {"int8", QUERY "/scale", QUERY "/scala", 0, 0, FOV_ERR_MISMATCH, "/scale' is missing"},
    {"int8", QUERY "/sum\":{\"dtype\":\"I32\"", QUERY "/sum\":{\"dtype\":\"F32\"", 0, 0, FOV_ERR_FORMAT, "I32 is needed"},
    {"bf16", QUERY "\":{\"dtype\":\"BF16\"", QUERY "\":{\"dtype\":\"F16\"", 0, 0, FOV_ERR_FORMAT, "BF16 is needed"},
    {"f32", QUERY "\":{\"dtype\":\"F32\",\"shape\":[1,24,32]", QUERY "\":{\"dtype\":\"F32\",\"shape\":[1,32,24]", 0, 0,
     FOV_ERR_MISMATCH, "[1, 32, 24], but config.json says [1, 24, 32]"},
    {"f32", Q "\":{\"dtype\":\"F16\"", Q "\":{\"dtype\":\"I16\"", 0, 0, FOV_ERR_UNSUPPORTED, "dtype I16"},
    {"f32", "embeddings.LayerNorm.weight\":{\"dtype\":\"F32\"", "embeddings.LayerNorm.weight\":{\"dtype\":\"I32\"", 0, 0,
     FOV_ERR_FORMAT, "F32 is needed"},
};

/* Replace the header's text, and its blanks. */
static void edit_header(packed *p, const char *from, const char *to, size_t extra) {
    const size_t old = packed_header(p), at = packed_find(p, 8 + old, from), rest = at + strlen(from);
    size_t end = 8 + old;
    while (p->bytes[end - 1] == ' ') end--;
    packed made = {NULL, 0, 0};
    packed_append(&made, p->bytes, at);
    packed_append(&made, to, strlen(to));
    packed_append(&made, p->bytes + rest, end - rest);
    while (made.size % 64 != extra) packed_append(&made, " ", 1);
    const uint64_t length = made.size - 8;
    memcpy(made.bytes, &length, sizeof length);
    packed_append(&made, p->bytes + 8 + old, p->size - 8 - old);
    free(p->bytes);
    *p = made;
}

static void check_refused(const packed *p, size_t size, fov_status want, const char *says, const char *what) {
    failing_alloc memory;
    failing_alloc_init(&memory, 0);
    const fov_model_options options = {.allocator = &memory.allocator, .threads = 1};
    /* Exactly as large as it is, so that a sanitizer sees a byte read behind it. */
    unsigned char *bytes = aligned_alloc(64, (size + 63) / 64 * 64 + 64);
    assert_non_null(bytes);
    memcpy(bytes, p->bytes, size);
    fov_model *model = NULL;
    fov_error problem = {0};
    const fov_status status = fov_packed_open_memory(bytes, size, "the-file", &options, &model, &problem);
    assert_null(model);
    check_error(&problem, status, want, "the-file", says, what);
    failing_alloc_check(&memory);
    free(bytes);
}

static void test_damages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *d = &damages[i];
        char what[200];
        packed p = packed_make(GOLDEN "/bert-plain", d->dtype, 1);
        if (d->from)
            edit_header(&p, d->from, d->to, 0);
        else
            memcpy(p.bytes + packed_place(&p, FOV_PACKED_FACTS) + d->index * 8, &d->word, 8);
        snprintf(what, sizeof what, "damage %zu: %s", i, d->to ? d->to : "facts");
        check_refused(&p, p.size, d->status, d->says, what);
        free(p.bytes);
    }
    packed p = packed_make(GOLDEN "/bert-plain", "f32", 1);
    edit_header(&p, "foveate-packed", "foveate-packed", 8);
    check_refused(&p, p.size, FOV_ERR_FORMAT, "multiple of 64", "shifted");
    free(p.bytes);
    p = packed_make(GOLDEN "/bert-plain", "f32", 1);
    packed_append(&p, "x", 1);
    check_refused(&p, p.size, FOV_ERR_FORMAT, "trail", "longer");
    free(p.bytes);
    /* Its config and its weights disagree. */
    p = packed_make(GOLDEN "/bert-plain", "int8", 1);
    const size_t at = packed_find(&p, p.size, "\"intermediate_size\": 37");
    p.bytes[at + strlen("\"intermediate_size\": 3")] = '8';
    check_refused(&p, p.size, FOV_ERR_MISMATCH, "config.json says", "config");
    free(p.bytes);
}

static void test_truncated(void **state) {
    (void)state;
    packed p = packed_make(GOLDEN "/sentence", "int8", 1);
    for (size_t size = 0; size < p.size; size += size < 100 || size + 100 > p.size ? 1 : 97)
        check_refused(&p, size, FOV_ERR_FORMAT, "", "truncated");
    free(p.bytes);
}

/* Any one byte of what is not a weight, changed: refused in one line, or a model that runs. */
static void test_flips(void **state) {
    (void)state;
    packed p = packed_make(GOLDEN "/yoso-single", "int8", 1);
    const size_t end = packed_place(&p, "yoso.embeddings.word_embeddings.weight");
    size_t refused = 0;
    for (size_t i = 0; i < end; i += i < 200 ? 1 : 7) {
        const unsigned char old = p.bytes[i];
        p.bytes[i] = (unsigned char)(old ^ (1u << (i % 7)));
        fov_model *model = NULL;
        fov_error problem = {0};
        const fov_status status =
            fov_packed_open_memory(p.bytes, p.size, "the-file", &(fov_model_options){.threads = 1}, &model, &problem);
        if (status) {
            refused++;
            assert_null(model);
            assert_true(problem.status == status && *problem.message && !strchr(problem.message, '\n'));
        } else {
            fov_session *session = NULL;
            fov_text text = text_of("t1 t2 t3 a b");
            float vector[WIDEST];
            if (!fov_session_create(model, &(fov_session_options){.threads = 1}, &session, &problem))
                fov_embed(session, &text, 1, vector, NULL, &problem);
            fov_session_free(session);
            fov_model_free(model);
        }
        p.bytes[i] = old;
    }
    assert_true(refused > 200);
    free(p.bytes);
}

static void test_other_files(void **state) {
    (void)state;
    static const struct {
        const char *path;
        fov_status status;
        const char *says;
    } files[] = {{TINY_FOLDER "/model.safetensors", FOV_ERR_FORMAT, "no packed model"},
                 {TINY_FOLDER "/config.json", FOV_ERR_FORMAT, "safetensors"},
                 {"/dev/null", FOV_ERR_IO, "regular file"},
                 {"/no/such/file", FOV_ERR_IO, "no such"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        fov_model *model = NULL;
        fov_error problem = {0};
        const fov_status status = fov_model_load(files[i].path, NULL, &model, &problem);
        check_error(&problem, status, files[i].status, files[i].path, files[i].says, files[i].path);
    }
    folder place;
    folder_make(&place);
    folder_write(&place, "empty", "", 0);
    fov_model *model = NULL;
    fov_error problem = {0};
    const fov_status status = fov_model_load(folder_path(&place, "empty"), NULL, &model, &problem);
    check_error(&problem, status, FOV_ERR_FORMAT, "empty", "too short", "empty");
    folder_remove(&place);
}

/* A changed weight is no error, but told by those who ask. */
static void test_verify(void **state) {
    (void)state;
    packed p = packed_make(GOLDEN "/roberta-single", "bf16", 1);
    folder place;
    folder_make(&place);
    const size_t weights = packed_place(&p, FOV_PACKED_HASHES);
    size_t tried = 0;
    for (size_t i = weights; i < p.size; i += 997, tried++) {
        p.bytes[i] ^= 0x10;
        folder_write(&place, "model", p.bytes, p.size);
        fov_model *model = NULL;
        fov_error problem = {0};
        fov_status status = fov_model_load(folder_path(&place, "model"), NULL, &model, &problem);
        if (!status) {
            status = fov_model_verify(model, &problem);
            if (status) check_error(&problem, status, FOV_ERR_FORMAT, "model", "not those that were written", "verify");
            /* Zeros between tensors are nobody's. */
            if (!status && (p.bytes[i] ^ 0x10)) fail_msg("byte %zu changed, and nothing noticed", i);
            fov_model_free(model);
        }
        p.bytes[i] ^= 0x10;
    }
    assert_true(tried > 20);
    free(p.bytes);
    folder_remove(&place);
}

static void test_memory(void **state) {
    (void)state;
    packed p = packed_make(GOLDEN "/sentence", "int8", 1);
    folder place;
    folder_make(&place);
    folder_write(&place, "model", p.bytes, p.size);
    free(p.bytes);
    for (int pack = 0; pack < 2; pack++)
        for (size_t n = 1;; n++) {
            failing_alloc memory;
            failing_alloc_init(&memory, n);
            const fov_model_options options = {.allocator = &memory.allocator, .threads = 1};
            fov_model *model = NULL;
            fov_error problem = {0};
            packed made = {NULL, 0, 0};
            const fov_status status = pack ? fov_model_pack(GOLDEN "/sentence", &options, packed_append, &made, &problem)
                                           : fov_model_load(folder_path(&place, "model"), &options, &model, &problem);
            fov_model_free(model);
            free(made.bytes);
            failing_alloc_check(&memory);
            if (!memory.failed) break;
            assert_int_equal(status, FOV_ERR_MEMORY);
        }
    folder_remove(&place);
}

/* ---- memory that processes share ---- */

/* KiB of a process's own memory and its share of what it shares; 0 when the system does not tell. */
static size_t proportional(pid_t process) {
    char path[64], line[200];
    size_t found = 0;
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)process);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Pss:", 4)) found = strtoul(line + 4, NULL, 10);
    if (file) fclose(file);
    return found;
}

typedef struct worker {
    pid_t process;
    int ready, stop; /* pipes: it has run; it may end */
} worker;

/* A process that loads a model and runs it. */
static worker start(const char *path) {
    int ready[2], stop[2];
    char letter = 'x';
    assert_int_equal(pipe(ready) | pipe(stop), 0);
    const pid_t process = fork();
    assert_true(process >= 0);
    if (!process) {
        fov_model *model = NULL;
        fov_session *session = NULL;
        const fov_text text = text_of("the second half is slower , yet nothing in it is dull");
        float logits[2];
        const fov_model_options options = {.threads = 1};
        close(stop[1]);
        bool good = !fov_model_load(path, &options, &model, NULL) &&
                    !fov_session_create(model, &(fov_session_options){.threads = 1}, &session, NULL) &&
                    !fov_classify(session, &text, 1, logits, NULL, NULL);
        good = good && write(ready[1], &letter, 1) == 1 && !read(stop[0], &letter, 1);
        _exit(!good);
    }
    close(ready[1]);
    close(stop[0]);
    return (worker){process, ready[0], stop[1]};
}

static void end(worker *w) {
    int code = 1;
    close(w->stop);
    close(w->ready);
    assert_int_equal(waitpid(w->process, &code, 0), w->process);
    assert_int_equal(code, 0);
}

static void test_shared(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizer's own memory is larger than the model */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    if (!proportional(getpid())) skip();
    folder place;
    char path[1024], letter;
    folder_make(&place);
    packed p = packed_make(TINY_FOLDER, "f32", 1);
    folder_write(&place, "model", p.bytes, p.size);
    free(p.bytes);
    snprintf(path, sizeof path, "%s", folder_path(&place, "model"));
    worker first = start(path);
    assert_int_equal(read(first.ready, &letter, 1), 1);
    const size_t alone = proportional(first.process);
    worker second = start(path);
    assert_int_equal(read(second.ready, &letter, 1), 1);
    const size_t both = proportional(first.process) + proportional(second.process);
    end(&second);
    end(&first);
    print_message("a process has %zu KiB, two have %zu\n", alone, both);
    assert_true(alone > 8000); /* the weights are counted */
    assert_true(both < alone + alone / 5);
    folder_remove(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared), /* first: while this process is small */
        cmocka_unit_test(test_same),         cmocka_unit_test(test_same_large),  cmocka_unit_test(test_options),
        cmocka_unit_test(test_replaced),     cmocka_unit_test(test_damages),     cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flips),        cmocka_unit_test(test_verify),      cmocka_unit_test(test_memory),
        cmocka_unit_test(test_writer_fails), cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
