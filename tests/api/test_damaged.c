/* test_damaged.c: checkpoints that are wrong in one place, made from models/tiny-sentiment: one clear line that names the file, and
 * the tensor where it is one. */
#include "support/folder.h"
#include "support/tiny.h"

#include <stdbool.h>

typedef struct bytes {
    char *data;
    size_t size;
} bytes;

static bytes read_file(const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", TINY_FOLDER, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    bytes b = {NULL, (size_t)ftell(file)};
    rewind(file);
    b.data = malloc(b.size + 1);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, file), b.size);
    b.data[b.size] = '\0';
    fclose(file);
    return b;
}

/* First place of a text among the first `size` bytes. */
static char *find(const bytes *b, size_t size, const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(b->data + i, text, length)) return b->data + i;
    fail_msg("there is no '%s'", text);
    return NULL;
}

/* Replace the first `from` by `to`. */
static void edit(bytes *b, const char *from, const char *to) {
    size_t at = (size_t)(find(b, b->size, from) - b->data), old = strlen(from), new = strlen(to);
    char *data = malloc(b->size - old + new + 1);
    assert_non_null(data);
    memcpy(data, b->data, at);
    memcpy(data + at, to, new);
    memcpy(data + at + new, b->data + at + old, b->size - at - old + 1);
    free(b->data);
    *b = (bytes){data, b->size - old + new};
}

static uint64_t header_size(const bytes *weights) {
    uint64_t size;
    memcpy(&size, weights->data, 8);
    return size;
}

/* Element `index` of an F16 tensor. */
static char *half_at(const bytes *weights, const char *tensor, size_t index) {
    char quoted[160];
    snprintf(quoted, sizeof quoted, "\"%s\"", tensor);
    const char *offsets = strstr(find(weights, header_size(weights) + 8, quoted), "\"data_offsets\":[");
    assert_non_null(offsets);
    return weights->data + 8 + header_size(weights) + strtoul(offsets + 16, NULL, 10) + 2 * index;
}

enum { CONFIG, VOCAB, TOKENIZER, WEIGHTS, FILES };
static const char *const names[FILES] = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"};

/* A copy of the checkpoint: links, but for the file that is given. */
static void make_copy(folder *f, int changed, const bytes *content) {
    folder_make(f);
    for (int i = 0; i < FILES; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", TINY_FOLDER, names[i]);
        if (i == changed && content) folder_write(f, names[i], content->data, content->size);
        if (i != changed) assert_int_equal(symlink(path, folder_path(f, names[i])), 0);
    }
}

/* The error must be one line that names file and (in `where` or message) all of `says`. */
static void check_refused_as(const folder *f, const char *dtype, const char *what, fov_status want, const char *file,
                             const char *const says[2]) {
    fov_model *model = NULL;
    fov_error problem = {0};
    fov_status status = fov_model_load(f->path, &(fov_model_options){.dtype = dtype}, &model, &problem);
    char all[700];
    snprintf(all, sizeof all, "%s: %s", problem.where, problem.message);
    if (status != want) fail_msg("%s: %s, not %s: %s", what, fov_status_name(status), fov_status_name(want), all);
    assert_null(model);
    if (!strstr(problem.where, file)) fail_msg("%s: '%s' does not name %s", what, all, file);
    for (size_t i = 0; i < 2 && says[i]; i++)
        if (!strstr(all, says[i])) fail_msg("%s: '%s' does not say '%s'", what, all, says[i]);
    assert_null(strchr(all, '\n'));
    if (!strchr(problem.message, ';') && !strchr(problem.message, '?')) fail_msg("%s: '%s' does not say how to mend it", what, all);
}

static void check_refused(const folder *f, const char *what, fov_status want, const char *file, const char *const says[2]) {
    check_refused_as(f, NULL, what, want, file, says);
}

typedef struct damage {
    int file;
    const char *from, *to; /* from NULL: the file is missing; to NULL: it ends before `from` */
    fov_status status;
    const char *named; /* file in the error */
    const char *says[2];
} damage;

#define ENCODER "bert.encoder.layer."
static const damage damages[] = {
    {CONFIG,
     "\"hidden_size\": 256",
     "\"hidden_size\": 128",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"bert.embeddings.word_embeddings.weight", "[8192, 256]"}},
    {CONFIG,
     "\"intermediate_size\": 1024",
     "\"intermediate_size\": 512",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"layer.0.intermediate.dense.weight", "[512, 256]"}},
    {CONFIG,
     "\"num_hidden_layers\": 4",
     "\"num_hidden_layers\": 5",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"layer.4.attention.self.query.weight", "missing"}},
    {CONFIG,
     "\"num_hidden_layers\": 4",
     "\"num_hidden_layers\": 3",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"layer 3", "3 layers"}},
    {CONFIG, "\"vocab_size\": 8192", "\"vocab_size\": 8000", FOV_ERR_MISMATCH, "vocab.txt", {"8192", "8000"}},
    {CONFIG, "\"vocab_size\": 8192", "\"vocab_size\": 9000", FOV_ERR_MISMATCH, "model.safetensors", {"word_embeddings", "9000"}},
    {CONFIG,
     "\"max_position_embeddings\": 512",
     "\"max_position_embeddings\": 513",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"position_embeddings", "[512, 256]"}},
    {CONFIG, "\"type_vocab_size\": 2", "\"type_vocab_size\": 3", FOV_ERR_MISMATCH, "model.safetensors", {"token_type", NULL}},
    {CONFIG,
     "\"1\": \"positive\"",
     "\"1\": \"positive\", \"2\": \"other\"",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"classifier.weight", "[3, 256]"}},
    {CONFIG, "\"num_attention_heads\": 4", "\"num_attention_heads\": 3", FOV_ERR_FORMAT, "config.json", {"3 heads", NULL}},
    {CONFIG, "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", FOV_ERR_UNSUPPORTED, "config.json", {"gpt2", "distilbert"}},
    {CONFIG,
     "\"model_type\": \"bert\"",
     "\"model_type\": \"xlm-roberta\"",
     FOV_ERR_UNSUPPORTED,
     "config.json",
     {"xlm-roberta", "SentencePiece"}},
    {CONFIG,
     "BertForSequenceClassification",
     "BertForMultipleChoice",
     FOV_ERR_UNSUPPORTED,
     "config.json",
     {"BertForMultipleChoice", NULL}},
    {CONFIG, "\"gelu\"", "\"swish\"", FOV_ERR_UNSUPPORTED, "config.json", {"swish", "gelu"}},
    {CONFIG,
     "\"pad_token_id\"",
     "\"position_embedding_type\": \"relative_key\", \"pad_token_id\"",
     FOV_ERR_UNSUPPORTED,
     "config.json",
     {"relative_key", NULL}},
    {CONFIG,
     "\"pad_token_id\"",
     "\"problem_type\": \"ranking\", \"pad_token_id\"",
     FOV_ERR_UNSUPPORTED,
     "config.json",
     {"ranking", NULL}},
    {CONFIG,
     "\"pad_token_id\"",
     "\"problem_type\": \"regression\", \"pad_token_id\"",
     FOV_ERR_UNSUPPORTED,
     "config.json",
     {"regression", NULL}},
    {CONFIG, "\"hidden_act\"", NULL, FOV_ERR_FORMAT, "config.json", {NULL, NULL}},
    {CONFIG, NULL, NULL, FOV_ERR_IO, "config.json", {NULL, NULL}},
    {VOCAB, NULL, NULL, FOV_ERR_IO, "vocab.txt", {"tokenizer.json", NULL}},
    {VOCAB, "[CLS]", "[CLX]", FOV_ERR_MISMATCH, "vocab.txt", {"[CLS]", NULL}},
    {VOCAB, "[CLS]", "[CLS]\nanother", FOV_ERR_MISMATCH, "vocab.txt", {"8193", "8192"}},
    {TOKENIZER, "}", NULL, FOV_ERR_FORMAT, "tokenizer_config.json", {NULL, NULL}},
    {WEIGHTS, NULL, NULL, FOV_ERR_IO, "foveate-test", {"model.safetensors", NULL}},
    {WEIGHTS,
     ENCODER "2.output.dense.bias",
     ENCODER "2.output.dense.bxas",
     FOV_ERR_MISMATCH,
     "model.safetensors",
     {"layer.2.output.dense.bias", "missing"}},
    {WEIGHTS, "classifier.bias", "xclassifier.bias", FOV_ERR_FORMAT, "model.safetensors", {NULL, NULL}}, /* header longer by a byte
                                                                                                          */
    {WEIGHTS,
     "LayerNorm.bias\":{\"dtype\":\"F16\"",
     "LayerNorm.bias\":{\"dtype\":\"I16\"",
     FOV_ERR_UNSUPPORTED,
     "LayerNorm.bias",
     {"I16", "BF16"}},
    {WEIGHTS,
     "\"shape\":[256,256]",
     "\"shape\":[128,512]",
     FOV_ERR_MISMATCH,
     "layer.0.attention.output.dense.weight",
     {"[128, 512]", "[256, 256]"}},
    {WEIGHTS, "\"shape\":[256,256]", "\"shape\":[256,257]", FOV_ERR_FORMAT, "model.safetensors", {NULL, NULL}},
};

static void test_damages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *d = &damages[i];
        char what[100];
        snprintf(what, sizeof what, "damage %zu (%s)", i, names[d->file]);
        bytes content = read_file(names[d->file]);
        if (d->from && d->to)
            edit(&content, d->from, d->to);
        else if (d->from)
            content.size = (size_t)(find(&content, content.size, d->from) - content.data);
        folder f;
        make_copy(&f, d->file, d->from ? &content : NULL);
        check_refused(&f, what, d->status, d->named, d->says);
        folder_remove(&f);
        free(content.data);
    }
}

static void test_truncated(void **state) {
    (void)state;
    bytes weights = read_file(names[WEIGHTS]);
    const size_t sizes[] = {0, 7, 8, 100, header_size(&weights) + 8, weights.size / 2, weights.size - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        folder f;
        bytes part = {weights.data, sizes[i]};
        make_copy(&f, WEIGHTS, &part);
        check_refused(&f, "truncated weights", FOV_ERR_FORMAT, names[WEIGHTS], (const char *const[2]){NULL, NULL});
        folder_remove(&f);
    }
    free(weights.data);
}

/* A value that is not finite in any packed tensor: told at load time, with the tensor's name, whatever it is packed as. */
static void test_not_finite(void **state) {
    (void)state;
    static const struct {
        const char *tensor;
        size_t index;
        uint16_t value;
    } cases[] = {
        {ENCODER "1.intermediate.dense.weight", 1024 * 256 - 1, 0x7e00}, /* NaN */
        {ENCODER "3.attention.self.value.weight", 12345, 0x7c00},        /* infinity */
        {ENCODER "0.attention.output.LayerNorm.bias", 255, 0xfc00},
        {"bert.embeddings.position_embeddings.weight", 511 * 256, 0x7e00},
        {"bert.pooler.dense.bias", 0, 0xfe01},
        {"classifier.weight", 511, 0x7c01},
    };
    bytes weights = read_file(names[WEIGHTS]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint16_t kept;
        char *at = half_at(&weights, cases[i].tensor, cases[i].index);
        memcpy(&kept, at, 2);
        memcpy(at, &cases[i].value, 2);
        folder f;
        make_copy(&f, WEIGHTS, &weights);
        for (size_t d = 0; d < 3; d++) {
            const char *const dtypes[] = {"f32", "bf16", "int8"};
            check_refused_as(&f, dtypes[d], dtypes[d], FOV_ERR_FORMAT, cases[i].tensor, (const char *const[2]){"not finite", NULL});
        }
        folder_remove(&f);
        memcpy(at, &kept, 2);
    }
    free(weights.data);
}

/* The embedding table is read row by row: a bad row is told when its token occurs, and hurts no other text. */
static void test_bad_embedding(void **state) {
    (void)state;
    fov_text texts[] = {text_of("the film"), text_of("the ending"), text_of("a film")};
    fov_model *good = tiny_load(NULL), *bad = NULL;
    fov_session *session = NULL;
    int32_t ids[8];
    size_t count;
    float want[3][2], got[3][2];
    assert_ok(fov_session_create(good, NULL, &session, error));
    assert_ok(fov_tokenize(session, &texts[1], ids, NULL, 8, &count, NULL, error));
    assert_string_equal(fov_model_token(good, ids[2]), "ending");
    assert_ok(fov_classify(session, texts, 3, want[0], NULL, error));
    fov_session_free(session);
    fov_model_free(good);

    bytes weights = read_file(names[WEIGHTS]);
    const uint16_t nan = 0x7e00;
    memcpy(half_at(&weights, "bert.embeddings.word_embeddings.weight", (size_t)ids[2] * 256 + 200), &nan, 2);
    folder f;
    make_copy(&f, WEIGHTS, &weights);
    assert_ok(fov_model_load(f.path, NULL, &bad, error));
    assert_ok(fov_session_create(bad, NULL, &session, error));
    assert_ok(fov_classify(session, texts, 1, got[0], NULL, error));
    assert_memory_equal(want[0], got[0], sizeof want[0]);
    fov_error problem = {0};
    assert_int_equal(fov_classify(session, texts, 3, got[0], NULL, &problem), FOV_ERR_FORMAT);
    char number[24];
    snprintf(number, sizeof number, "id %d ", (int)ids[2]);
    assert_non_null(strstr(problem.message, number));
    assert_non_null(strstr(problem.where, names[WEIGHTS]));
    assert_ok(fov_classify(session, texts + 2, 1, got[2], NULL, error)); /* and the session goes on */
    assert_memory_equal(want[2], got[2], sizeof want[2]);
    fov_session_free(session);
    fov_model_free(bad);
    folder_remove(&f);
    free(weights.data);
}

/* The same checkpoint from memory: same bits. */
static void test_from_memory(void **state) {
    (void)state;
    bytes content[FILES];
    for (int i = 0; i < FILES; i++) content[i] = read_file(names[i]);
    void *aligned = aligned_alloc(64, (content[WEIGHTS].size + 63) / 64 * 64);
    assert_non_null(aligned);
    memcpy(aligned, content[WEIGHTS].data, content[WEIGHTS].size);
    fov_model_files files = {.config = content[CONFIG].data,
                             .config_size = content[CONFIG].size,
                             .vocab = content[VOCAB].data,
                             .vocab_size = content[VOCAB].size,
                             .tokenizer_config = content[TOKENIZER].data,
                             .tokenizer_config_size = content[TOKENIZER].size,
                             .weights = aligned,
                             .weights_size = content[WEIGHTS].size};
    fov_model *models[2] = {tiny_load(NULL)};
    assert_ok(fov_model_load_memory(&files, &(fov_model_options){.name = "mine"}, &models[1], error));
    assert_string_equal(fov_model_get_info(models[1])->name, "mine");
    fov_text text = text_of("neither warm nor funny");
    float logits[2][2];
    for (size_t i = 0; i < 2; i++) {
        fov_session *session = NULL;
        assert_ok(fov_session_create(models[i], NULL, &session, error));
        assert_ok(fov_classify(session, &text, 1, logits[i], NULL, error));
        fov_session_free(session);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_true(fov_model_hash(models[0]) == fov_model_hash(models[1]));
    fov_model_free(models[1]);
    files.tokenizer_config = NULL; /* BERT's defaults */
    assert_ok(fov_model_load_memory(&files, NULL, &models[1], error));
    fov_model_free(models[1]);
    files.weights_size /= 2;
    fov_error problem = {0};
    assert_int_equal(fov_model_load_memory(&files, NULL, &models[1], &problem), FOV_ERR_FORMAT);
    fov_model_free(models[0]);
    free(aligned);
    for (int i = 0; i < FILES; i++) free(content[i].data);
}

static uint64_t hash_of(const char *path) {
    fov_model *model = NULL;
    assert_ok(fov_model_load(path, NULL, &model, error));
    uint64_t hash = fov_model_hash(model);
    assert_true(hash == fov_model_hash(model));
    fov_model_free(model);
    return hash;
}

/* One bit of any file is another model; another place is not. */
static void test_hash(void **state) {
    (void)state;
    static const struct {
        const char *tensor;
        size_t index;
    } places[] = {{ENCODER "1.intermediate.dense.weight", 77777},
                  {"bert.embeddings.word_embeddings.weight", 8192 * 256 - 1},
                  {ENCODER "3.attention.self.value.weight", 0},
                  {"classifier.bias", 1},
                  {"bert.embeddings.position_embeddings.weight", 511 * 256}};
    const uint64_t hash = hash_of(TINY_FOLDER);
    bytes weights = read_file(names[WEIGHTS]);
    folder f;
    for (size_t i = 0; i <= sizeof places / sizeof *places; i++) {
        char *at = i ? half_at(&weights, places[i - 1].tensor, places[i - 1].index) : weights.data;
        if (i) *at ^= 1;
        make_copy(&f, WEIGHTS, &weights);
        if (i) *at ^= 1;
        assert_int_equal(hash_of(f.path) == hash, !i);
        folder_remove(&f);
    }
    free(weights.data);
    const struct {
        int file;
        const char *from, *to;
    } edits[] = {{CONFIG, "\"positive\"", "\"Positive\""}, {VOCAB, "journey", "jowrney"}, {TOKENIZER, "}", " }"}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        bytes content = read_file(names[edits[i].file]);
        edit(&content, edits[i].from, edits[i].to);
        make_copy(&f, edits[i].file, &content);
        assert_true(hash_of(f.path) != hash);
        folder_remove(&f);
        free(content.data);
    }
}

/* What becomes of the files of a loaded model does not touch it. */
static void test_files_gone(void **state) {
    (void)state;
    const fov_text texts[] = {text_of("the film"), text_of("a warm , funny and quietly moving film .")};
    folder f;
    fov_model *models[2] = {tiny_load(NULL), NULL};
    float logits[2][4];
    bytes content[FILES];
    folder_make(&f);
    for (int i = 0; i < FILES; i++) {
        content[i] = read_file(names[i]);
        folder_write(&f, names[i], content[i].data, content[i].size);
        free(content[i].data);
    }
    assert_ok(fov_model_load(f.path, NULL, &models[1], error));
    for (int i = 0; i < FILES; i++) assert_int_equal(truncate(folder_path(&f, names[i]), 0), 0);
    for (size_t i = 0; i < 2; i++) {
        fov_session *session = NULL;
        assert_ok(fov_session_create(models[i], NULL, &session, error));
        assert_ok(fov_classify(session, texts, 2, logits[i], NULL, error));
        fov_session_free(session);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_true(fov_model_hash(models[0]) == fov_model_hash(models[1]));
    for (size_t i = 0; i < 2; i++) fov_model_free(models[i]);
    folder_remove(&f);
}

/* An allocator that, at its n-th call, shortens the file being loaded. */
typedef struct shortener {
    const char *path;
    size_t calls, at;
    off_t size;
} shortener;

static void *shorten(void *context, size_t size, size_t align) {
    shortener *s = context;
    if (++s->calls == s->at) assert_int_equal(truncate(s->path, s->size), 0);
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void plain_release(void *context, void *block) {
    (void)context;
    free(block);
}

/* Weights that are shortened while they are loaded: at whatever moment, an error that names the file. */
static void test_shortened(void **state) {
    (void)state;
    static const char *const golden = FOV_SOURCE_DIR "/tests/golden/bert-single-f32";
    static const char *const others[] = {"config.json", "vocab.txt", "tokenizer_config.json"};
    char path[600], inside[1024];
    folder f;
    folder_make(&f);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", golden, others[i]);
        if (!access(path, F_OK)) assert_int_equal(symlink(path, folder_path(&f, others[i])), 0);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", golden);
    snprintf(inside, sizeof inside, "%s", folder_path(&f, "model.safetensors"));
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    bytes weights = {malloc(1 << 22), 0};
    assert_non_null(weights.data);
    weights.size = fread(weights.data, 1, 1 << 22, file);
    fclose(file);
    size_t refused = 0;
    for (size_t half = 0; half < 2; half++)
        for (size_t n = 1;; n++) {
            folder_write(&f, "model.safetensors", weights.data, weights.size);
            shortener s = {.path = inside, .at = n, .size = half ? (off_t)weights.size / 2 : 0};
            const fov_allocator allocator = {shorten, plain_release, &s};
            const fov_model_options options = {.allocator = &allocator, .threads = 1};
            fov_model *model = NULL;
            fov_error problem = {0};
            fov_status status = fov_model_load(f.path, &options, &model, &problem);
            const bool reached = s.calls >= n;
            if (status) {
                refused++;
                assert_true(status == FOV_ERR_IO || status == FOV_ERR_FORMAT);
                assert_non_null(strstr(problem.where, "model.safetensors"));
                assert_null(model);
            }
            fov_model_free(model);
            if (!reached) break;
        }
    assert_true(refused > 10);
    free(weights.data);
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),          cmocka_unit_test(test_files_gone),  cmocka_unit_test(test_shortened),
        cmocka_unit_test(test_damages),       cmocka_unit_test(test_truncated),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_bad_embedding), cmocka_unit_test(test_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
