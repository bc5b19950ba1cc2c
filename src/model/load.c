/* load.c: from a folder or memory blocks to a model: config, tokenizer, weights, and whether they agree. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/load.h"

/* The small files of a checkpoint, read or given. */
enum { CONFIG, TOKENIZER_CONFIG, VOCAB, TOKENIZER_JSON, VOCAB_JSON, MERGES, SOURCES };
static const char *const source_names[SOURCES] = {
    "config.json", "tokenizer_config.json", "vocab.txt", "tokenizer.json", "vocab.json", "merges.txt"};

typedef struct source {
    const char *data; /* NULL: absent or empty */
    size_t size;
    char *owned; /* data, when it was read */
    char name[PATH_SIZE];
} source;

static fov_status join(char *path, const char *folder, const char *name, fov_error *error) {
    if (snprintf(path, PATH_SIZE, "%s%s%s", folder, *name ? "/" : "", name) < PATH_SIZE) return FOV_OK;
    return fov_fail(error, FOV_ERR_ARGUMENT, folder, "the path is longer than %d bytes; move the folder nearer to the root",
                    PATH_SIZE - 1);
}

/* Read them all; only config.json must be there. */
static fov_status read_sources(source *s, const char *folder, const fov_allocator *allocator, fov_error *error) {
    for (size_t i = 0; i < SOURCES; i++) {
        fov_status status = join(s[i].name, folder, source_names[i], error);
        if (!status && i != CONFIG && access(s[i].name, F_OK)) continue;
        if (!status) status = fov_file_load(s[i].name, FOV_MAX_JSON, allocator, &s[i].owned, &s[i].size, error);
        if (status) return status;
        s[i].data = s[i].owned;
    }
    return FOV_OK;
}

static void release_sources(source *s, const fov_allocator *allocator) {
    for (size_t i = 0; i < SOURCES; i++) fov_release(allocator, s[i].owned);
}

static const char *const type_names[FOV_TYPES] = {"f32", "bf16", "int8"};

static fov_status find_type(const fov_model_options *options, fov_type *type, fov_error *error) {
    const char *name = options && options->dtype ? options->dtype : type_names[FOV_TYPE_F32];
    for (size_t i = 0; i < FOV_TYPES; i++)
        if (!strcmp(name, type_names[i])) {
            *type = (fov_type)i;
            return FOV_OK;
        }
    return fov_fail(error, FOV_ERR_ARGUMENT, "dtype", "unknown type '%.32s'; f32, bf16 and int8 are known", name);
}

static const char *last_component(const char *folder, size_t *size) {
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && folder[start - 1] != '/') start--;
    *size = end - start;
    return folder + start;
}

static fov_status check_config(struct fov_model *m, const char *where, fov_error *error) {
    static const struct {
        const char *name;
        fov_activation activation;
    } known[] = {{"gelu", FOV_ACT_GELU}, {"relu", FOV_ACT_RELU}};
    fov_status status = fov_arch_find(&m->config, where, &m->arch, &m->head, error);
    if (status) return status;
    if (strcmp(m->config.position_type, "absolute"))
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "position_embedding_type '%s' is not supported, only 'absolute'; give another checkpoint",
                        m->config.position_type);
    size_t i = 0;
    while (i < sizeof known / sizeof *known && strcmp(known[i].name, m->config.activation)) i++;
    if (i == sizeof known / sizeof *known)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where,
                        "activation '%s' is not supported, only gelu (exact, erf) and relu; give another checkpoint",
                        m->config.activation);
    m->activation = known[i].activation;
    m->pooler_activation = m->arch->pooler_activation ? m->arch->pooler_activation : m->activation;
    m->lm_activation = m->arch->lm_activation ? m->arch->lm_activation : m->activation;
    m->position_offset = m->arch->positions_after_pad ? m->config.pad_id + 1 : m->arch->position_offset;
    const bool labels = m->head != FOV_HEAD_NONE && m->head != FOV_HEAD_MASKED_LM;
    m->globals = labels ? m->arch->label_globals : 0;
    if (m->config.positions <= m->position_offset + 2)
        return fov_fail(error, FOV_ERR_FORMAT, where,
                        "max_position_embeddings %zu leaves no room for a text; mend it, or download the file again",
                        m->config.positions);
    m->max_length = m->config.positions - m->position_offset;
    return FOV_OK;
}

/* A token that the file does not name is BERT's, or RoBERTa's. */
static const char *or_null(const char *name) {
    return *name ? name : NULL;
}

static fov_status load_tokenizer(struct fov_model *m, const source *s, const fov_modules *modules, fov_error *error) {
    fov_tokenizer_config c;
    fov_tokenizer_config_default(&c);
    fov_status status = FOV_OK;
    if (s[TOKENIZER_CONFIG].data)
        status =
            fov_tokenizer_config_parse(&c, s[TOKENIZER_CONFIG].data, s[TOKENIZER_CONFIG].size, s[TOKENIZER_CONFIG].name, error);
    if (status) return status;
    if (c.max_length >= 3 && c.max_length < m->max_length) m->max_length = c.max_length;
    if (modules && modules->max_length >= 3 && modules->max_length < m->max_length) m->max_length = modules->max_length;
    if (s[VOCAB].data) {
        int lower = modules && modules->lower_case == 1 ? 1 : c.lower_case != 0; /* BertTokenizer's default is uncased */
        const fov_tokenizer_options o = {.lower_case = lower,
                                         .strip_accents = c.strip_accents >= 0 ? c.strip_accents : lower,
                                         .chinese_chars = c.chinese_chars,
                                         .unk = or_null(c.unk),
                                         .cls = or_null(c.cls),
                                         .sep = or_null(c.sep),
                                         .pad = or_null(c.pad),
                                         .mask = or_null(c.mask)};
        return fov_tokenizer_from_vocab(s[VOCAB].data, s[VOCAB].size, &o, s[VOCAB].name, &m->allocator, &m->tokenizer, error);
    }
    if (s[TOKENIZER_JSON].data)
        return fov_tokenizer_from_json(s[TOKENIZER_JSON].data, s[TOKENIZER_JSON].size, s[TOKENIZER_JSON].name, &m->allocator,
                                       &m->tokenizer, error);
    if (!s[VOCAB_JSON].data && !s[MERGES].data)
        return fov_fail(
            error, FOV_ERR_IO, s[VOCAB].name,
            "there is neither vocab.txt, tokenizer.json, nor vocab.json with merges.txt, or they are empty; download them too");
    if (!s[VOCAB_JSON].data || !s[MERGES].data)
        return fov_fail(error, FOV_ERR_IO, s[VOCAB_JSON].data ? s[MERGES].name : s[VOCAB_JSON].name,
                        "is missing or empty, and %s alone is no tokenizer; download both",
                        s[VOCAB_JSON].data ? "vocab.json" : "merges.txt");
    fov_tokenizer_options o = {.add_prefix_space = c.add_prefix_space};
    if (s[TOKENIZER_CONFIG].data) {
        o.unk = or_null(c.unk);
        o.cls = or_null(c.cls);
        o.sep = or_null(c.sep);
        o.pad = or_null(c.pad);
        o.mask = or_null(c.mask);
    }
    return fov_tokenizer_from_merges(s[VOCAB_JSON].data, s[VOCAB_JSON].size, s[VOCAB_JSON].name, s[MERGES].data, s[MERGES].size,
                                     s[MERGES].name, &o, &m->allocator, &m->tokenizer, error);
}

static void describe(struct fov_model *m, const fov_modules *modules) {
    const fov_config *c = &m->config;
    fov_model_info *info = &m->info;
    snprintf(m->architecture, sizeof m->architecture, "%s", m->arch->model_type);
    snprintf(m->attention, sizeof m->attention, "%s", *c->attention ? c->attention : "dense");
    info->name = m->name;
    info->architecture = m->architecture;
    info->head = m->head;
    info->layers = c->layers;
    info->heads = c->heads;
    info->width = c->width;
    info->ffn_width = c->ffn_width;
    info->vocabulary = c->vocabulary;
    info->labels = m->head == FOV_HEAD_NONE || m->head == FOV_HEAD_MASKED_LM ? 0 : c->labels;
    info->max_length = m->max_length;
    info->stored = fov_dtype_name(m->words.dtype);
    info->dtype = type_names[m->type];
    info->attention = m->attention;
    info->pooling = modules ? modules->pooling : FOV_POOLING_MEAN;
    info->normalize = modules ? modules->normalize : 0;
}

static uint64_t hash_sources(const source *s, const fov_modules *modules) {
    const int lower = modules ? modules->lower_case : -1; /* the rest of modules.json is in the model's facts */
    uint64_t hash = fov_hash_bytes(0, &lower, sizeof lower);
    for (size_t i = 0; i < SOURCES; i++) hash = fov_hash_bytes(hash, s[i].data, s[i].data ? s[i].size : 0);
    return hash;
}

/* Everything after the files are open; takes over `tensors`. */
static fov_status build(const source *s, fov_tensors *tensors, const char *name, size_t name_size, const fov_modules *modules,
                        const fov_model_options *options, fov_model **out, fov_error *error) {
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    struct fov_model *m = fov_alloc_zero(allocator, sizeof *m);
    if (!m) {
        fov_tensors_close(tensors);
        return fov_fail(error, FOV_ERR_MEMORY, name, "out of memory" FOV_MEND_MEMORY);
    }
    m->allocator = *allocator;
    m->tensors = tensors;
    if (options && options->name)
        snprintf(m->name, sizeof m->name, "%s", options->name);
    else
        snprintf(m->name, sizeof m->name, "%.*s", (int)(name_size < sizeof m->name ? name_size : sizeof m->name - 1), name);
    unsigned threads = options && options->threads ? options->threads : fov_threads_default();
    fov_status status = find_type(options, &m->type, error);
    if (status) goto end;
    status = FOV_ERR_UNSUPPORTED;
    m->kernels = fov_kernels_get(error);
    if (!m->kernels) goto end;
    status = fov_config_parse(&m->config, s[CONFIG].data, s[CONFIG].size, s[CONFIG].name, &m->allocator, error);
    if (status) goto end;
    if ((status = check_config(m, s[CONFIG].name, error))) goto end;
    if ((status = load_tokenizer(m, s, modules, error))) goto end;
    if (fov_tokenizer_size(m->tokenizer) > m->config.vocabulary) {
        status = fov_fail(error, FOV_ERR_MISMATCH,
                          s[VOCAB].data            ? s[VOCAB].name
                          : s[TOKENIZER_JSON].data ? s[TOKENIZER_JSON].name
                                                   : s[VOCAB_JSON].name,
                          "the vocabulary has %zu tokens, but the embedding table only %zu rows; give the files of one checkpoint",
                          fov_tokenizer_size(m->tokenizer), m->config.vocabulary);
        goto end;
    }
    if ((status = fov_model_load_weights(m, threads, error))) goto end;
    describe(m, modules);
    m->files_hash = hash_sources(s, modules);
end:
    if (status) {
        fov_model_free(m);
        return status;
    }
    *out = m;
    return FOV_OK;
}

fov_status fov_model_load_folder(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error) {
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    source s[SOURCES] = {0};
    fov_modules modules;
    int found = 0;
    char inner[PATH_SIZE];
    fov_tensors *tensors = NULL;
    fov_status status = fov_modules_read(&modules, folder, &found, error);
    if (status) return status;
    if ((status = join(inner, folder, found ? modules.transformer : "", error))) return status;
    /* Weights first: a folder that is missing, or holds no checkpoint, is best told from them. */
    if ((status = fov_tensors_open(inner, allocator, &tensors, error))) return status;
    if ((status = read_sources(s, inner, allocator, error))) goto end;
    size_t name_size;
    const char *name = last_component(folder, &name_size);
    fov_tensors *given = tensors;
    tensors = NULL;
    status = build(s, given, name, name_size, found ? &modules : NULL, options, model, error);
    if (!status) snprintf((*model)->folder, sizeof(*model)->folder, "%s", folder);
end:
    fov_tensors_close(tensors);
    release_sources(s, allocator);
    return status;
}

fov_status fov_model_load_blocks(const fov_model_files *f, const fov_model_options *options, fov_model **model, fov_error *error) {
    source s[SOURCES] = {[CONFIG] = {.data = f->config, .size = f->config_size},
                         [TOKENIZER_CONFIG] = {.data = f->tokenizer_config, .size = f->tokenizer_config_size},
                         [VOCAB] = {.data = f->vocab, .size = f->vocab_size}};
    for (size_t i = 0; i < SOURCES; i++) memcpy(s[i].name, source_names[i], strlen(source_names[i]) + 1);
    fov_tensors *tensors = NULL;
    fov_status status = fov_tensors_open_memory(f->weights, f->weights_size, "model.safetensors",
                                                fov_allocator_or_default(options ? options->allocator : NULL), &tensors, error);
    if (status) return status;
    status = build(s, tensors, "model", 5, NULL, options, model, error);
    if (status) return status;
    (*model)->profile = f->profile;
    (*model)->profile_size = f->profile ? f->profile_size : 0;
    return FOV_OK;
}

void fov_model_free(fov_model *m) {
    if (!m) return;
    fov_allocator allocator = m->allocator;
    fov_tokenizer_free(m->tokenizer);
    fov_tensors_close(m->tensors);
    fov_config_free(&m->config);
    fov_release(&allocator, m->items);
    fov_release(&allocator, m->block);
    fov_release(&allocator, m);
}
