/* load.c: from a folder or memory blocks to a model: config, tokenizer, weights, and whether they agree. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/status.h"
#include "core/threads.h"
#include "model/load.h"

/* The files of a checkpoint, mapped or given. */
typedef struct sources {
    fov_mapfile config, tokenizer_config, vocab, tokenizer_json, vocab_json, merges;
    char config_name[PATH_SIZE], tokenizer_config_name[PATH_SIZE], vocab_name[PATH_SIZE], tokenizer_json_name[PATH_SIZE],
        vocab_json_name[PATH_SIZE], merges_name[PATH_SIZE];
} sources;

static fov_status join(char *path, const char *folder, const char *name, fov_error *error) {
    if (snprintf(path, PATH_SIZE, "%s%s%s", folder, *name ? "/" : "", name) < PATH_SIZE) return FOV_OK;
    return fov_fail(error, FOV_ERR_ARGUMENT, folder, "the path is longer than %d bytes", PATH_SIZE - 1);
}

static fov_status map_optional(fov_mapfile *file, char *path, const char *folder, const char *name, fov_error *error) {
    fov_status status = join(path, folder, name, error);
    if (status || access(path, F_OK)) return status;
    return fov_mapfile_open(file, path, error);
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
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "position_embedding_type '%s' is not supported; 'absolute' is",
                        m->config.position_type);
    size_t i = 0;
    while (i < sizeof known / sizeof *known && strcmp(known[i].name, m->config.activation)) i++;
    if (i == sizeof known / sizeof *known)
        return fov_fail(error, FOV_ERR_UNSUPPORTED, where, "activation '%s' is not supported; gelu (exact, erf) and relu are",
                        m->config.activation);
    m->activation = known[i].activation;
    m->position_offset = m->arch->positions_after_pad ? m->config.pad_id + 1 : m->arch->position_offset;
    const bool labels = m->head != FOV_HEAD_NONE && m->head != FOV_HEAD_MASKED_LM;
    m->globals = labels ? m->arch->label_globals : 0;
    if (m->config.positions <= m->position_offset + 2)
        return fov_fail(error, FOV_ERR_FORMAT, where, "max_position_embeddings %zu leaves no room for a text", m->config.positions);
    m->max_length = m->config.positions - m->position_offset;
    return FOV_OK;
}

/* A token that the file does not name is BERT's, or RoBERTa's. */
static const char *or_null(const char *name) {
    return *name ? name : NULL;
}

static fov_status load_tokenizer(struct fov_model *m, const sources *s, const fov_modules *modules, fov_error *error) {
    fov_tokenizer_config c;
    fov_tokenizer_config_default(&c);
    fov_status status = FOV_OK;
    if (s->tokenizer_config.data)
        status =
            fov_tokenizer_config_parse(&c, s->tokenizer_config.data, s->tokenizer_config.size, s->tokenizer_config_name, error);
    if (status) return status;
    if (c.max_length >= 3 && c.max_length < m->max_length) m->max_length = c.max_length;
    if (modules && modules->max_length >= 3 && modules->max_length < m->max_length) m->max_length = modules->max_length;
    if (s->vocab.data) {
        int lower = modules && modules->lower_case == 1 ? 1 : c.lower_case != 0; /* BertTokenizer's default is uncased */
        const fov_tokenizer_options o = {.lower_case = lower,
                                         .strip_accents = c.strip_accents >= 0 ? c.strip_accents : lower,
                                         .chinese_chars = c.chinese_chars,
                                         .unk = or_null(c.unk),
                                         .cls = or_null(c.cls),
                                         .sep = or_null(c.sep),
                                         .pad = or_null(c.pad),
                                         .mask = or_null(c.mask)};
        return fov_tokenizer_from_vocab(s->vocab.data, s->vocab.size, &o, s->vocab_name, &m->allocator, &m->tokenizer, error);
    }
    if (s->tokenizer_json.data)
        return fov_tokenizer_from_json(s->tokenizer_json.data, s->tokenizer_json.size, s->tokenizer_json_name, &m->allocator,
                                       &m->tokenizer, error);
    if (!s->vocab_json.data && !s->merges.data)
        return fov_fail(error, FOV_ERR_IO, s->vocab_name,
                        "there is neither vocab.txt, tokenizer.json, nor vocab.json with merges.txt, or they are empty");
    if (!s->vocab_json.data || !s->merges.data)
        return fov_fail(error, FOV_ERR_IO, s->vocab_json.data ? s->merges_name : s->vocab_json_name,
                        "is missing or empty; %s alone is no tokenizer", s->vocab_json.data ? "vocab.json" : "merges.txt");
    fov_tokenizer_options o = {.add_prefix_space = c.add_prefix_space};
    if (s->tokenizer_config.data) {
        o.unk = or_null(c.unk);
        o.cls = or_null(c.cls);
        o.sep = or_null(c.sep);
        o.pad = or_null(c.pad);
        o.mask = or_null(c.mask);
    }
    return fov_tokenizer_from_merges(s->vocab_json.data, s->vocab_json.size, s->vocab_json_name, s->merges.data, s->merges.size,
                                     s->merges_name, &o, &m->allocator, &m->tokenizer, error);
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
    info->dtype = fov_dtype_name(m->words->dtype);
    info->attention = m->attention;
    info->pooling = modules ? modules->pooling : FOV_POOLING_MEAN;
    info->normalize = modules ? modules->normalize : 0;
}

/* Everything after the files are open; takes over `tensors`. */
static fov_status build(const sources *s, fov_tensors *tensors, const char *name, size_t name_size, const fov_modules *modules,
                        const fov_model_options *options, fov_model **out, fov_error *error) {
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    struct fov_model *m = fov_alloc_zero(allocator, sizeof *m);
    if (!m) {
        fov_tensors_close(tensors);
        return fov_fail(error, FOV_ERR_MEMORY, name, "out of memory");
    }
    m->allocator = *allocator;
    m->tensors = tensors;
    if (options && options->name)
        snprintf(m->name, sizeof m->name, "%s", options->name);
    else
        snprintf(m->name, sizeof m->name, "%.*s", (int)(name_size < sizeof m->name ? name_size : sizeof m->name - 1), name);
    unsigned threads = options && options->threads ? options->threads : fov_threads_default();
    fov_status status = FOV_ERR_UNSUPPORTED;
    m->kernels = fov_kernels_get(error);
    if (!m->kernels) goto end;
    status = fov_config_parse(&m->config, s->config.data, s->config.size, s->config_name, &m->allocator, error);
    if (status) goto end;
    if ((status = check_config(m, s->config_name, error))) goto end;
    if ((status = load_tokenizer(m, s, modules, error))) goto end;
    if (fov_tokenizer_size(m->tokenizer) > m->config.vocabulary) {
        status = fov_fail(error, FOV_ERR_MISMATCH,
                          s->vocab.data            ? s->vocab_name
                          : s->tokenizer_json.data ? s->tokenizer_json_name
                                                   : s->vocab_json_name,
                          "the vocabulary has %zu tokens, but the embedding table only %zu rows", fov_tokenizer_size(m->tokenizer),
                          m->config.vocabulary);
        goto end;
    }
    if ((status = fov_model_load_weights(m, threads, error))) goto end;
    describe(m, modules);
end:
    if (status) {
        fov_model_free(m);
        return status;
    }
    *out = m;
    return FOV_OK;
}

fov_status fov_model_load_folder(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error) {
    sources s = {0};
    fov_modules modules;
    int found = 0;
    char inner[PATH_SIZE];
    fov_tensors *tensors = NULL;
    fov_status status = fov_modules_read(&modules, folder, &found, error);
    if (status) return status;
    if ((status = join(inner, folder, found ? modules.transformer : "", error))) return status;
    /* Weights first: a folder that is missing, or holds no checkpoint, is best told from them. */
    if ((status = fov_tensors_open(inner, fov_allocator_or_default(options ? options->allocator : NULL), &tensors, error)))
        return status;
    if ((status = join(s.config_name, inner, "config.json", error))) goto end;
    if ((status = fov_mapfile_open(&s.config, s.config_name, error))) goto end;
    if ((status = map_optional(&s.tokenizer_config, s.tokenizer_config_name, inner, "tokenizer_config.json", error))) goto end;
    if ((status = map_optional(&s.vocab, s.vocab_name, inner, "vocab.txt", error))) goto end;
    if ((status = map_optional(&s.tokenizer_json, s.tokenizer_json_name, inner, "tokenizer.json", error))) goto end;
    if ((status = map_optional(&s.vocab_json, s.vocab_json_name, inner, "vocab.json", error))) goto end;
    if ((status = map_optional(&s.merges, s.merges_name, inner, "merges.txt", error))) goto end;
    size_t name_size;
    const char *name = last_component(folder, &name_size);
    fov_tensors *given = tensors;
    tensors = NULL;
    status = build(&s, given, name, name_size, found ? &modules : NULL, options, model, error);
    if (!status) snprintf((*model)->folder, sizeof(*model)->folder, "%s", folder);
end:
    fov_tensors_close(tensors);
    fov_mapfile_close(&s.config);
    fov_mapfile_close(&s.tokenizer_config);
    fov_mapfile_close(&s.vocab);
    fov_mapfile_close(&s.tokenizer_json);
    fov_mapfile_close(&s.vocab_json);
    fov_mapfile_close(&s.merges);
    return status;
}

fov_status fov_model_load_blocks(const fov_model_files *f, const fov_model_options *options, fov_model **model, fov_error *error) {
    sources s = {.config = {f->config, f->config_size},
                 .tokenizer_config = {f->tokenizer_config, f->tokenizer_config_size},
                 .vocab = {f->vocab, f->vocab_size},
                 .config_name = "config.json",
                 .tokenizer_config_name = "tokenizer_config.json",
                 .vocab_name = "vocab.txt"};
    fov_tensors *tensors = NULL;
    fov_status status = fov_tensors_open_memory(f->weights, f->weights_size, "model.safetensors",
                                                fov_allocator_or_default(options ? options->allocator : NULL), &tensors, error);
    if (status) return status;
    return build(&s, tensors, "model", 5, NULL, options, model, error);
}

void fov_model_free(fov_model *m) {
    if (!m) return;
    fov_allocator allocator = m->allocator;
    fov_tokenizer_free(m->tokenizer);
    fov_tensors_close(m->tensors);
    fov_config_free(&m->config);
    fov_release(&allocator, m->block);
    fov_release(&allocator, m);
}
