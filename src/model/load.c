/* load.c: from a folder or memory blocks to a model: config, tokenizer, weights, and whether they agree. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/status.h"
#include "core/threads.h"
#include "model/load.h"
#include "model/packed_form.h"

static const char *const type_names[FOV_TYPES] = {"f32", "bf16", "int8"};

/* The type asked for, or that of a packed file. */
static fov_status find_type(const fov_model_options *options, const fov_sources *from, fov_type *type, fov_error *error) {
    const char *name = options && options->dtype ? options->dtype : type_names[from->packed ? from->packed->type : FOV_TYPE_F32];
    size_t i = 0;
    while (i < FOV_TYPES && strcmp(name, type_names[i])) i++;
    if (i == FOV_TYPES)
        return fov_fail(error, FOV_ERR_ARGUMENT, "dtype", "unknown type '%.32s'; f32, bf16 and int8 are known", name);
    if (from->packed && from->packed->type != i)
        return fov_fail(error, FOV_ERR_ARGUMENT, "dtype",
                        "%s: packed as %s, not %s; leave the type out, or pack the checkpoint in %s", from->name,
                        type_names[from->packed->type], name, name);
    *type = (fov_type)i;
    return FOV_OK;
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

static fov_status load_tokenizer(struct fov_model *m, const fov_sources *from, fov_error *error) {
    const fov_source *s = from->files;
    const fov_modules *modules = from->has_modules ? &from->modules : NULL;
    fov_tokenizer_config c;
    fov_tokenizer_config_default(&c);
    fov_status status = FOV_OK;
    if (s[FOV_SOURCE_TOKENIZER_CONFIG].data)
        status = fov_tokenizer_config_parse(&c, s[FOV_SOURCE_TOKENIZER_CONFIG].data, s[FOV_SOURCE_TOKENIZER_CONFIG].size,
                                            s[FOV_SOURCE_TOKENIZER_CONFIG].name, error);
    if (status) return status;
    if (c.max_length >= 3 && c.max_length < m->max_length) m->max_length = c.max_length;
    if (modules && modules->max_length >= 3 && modules->max_length < m->max_length) m->max_length = modules->max_length;
    if (s[FOV_SOURCE_VOCAB].data) {
        int lower = modules && modules->lower_case == 1 ? 1 : c.lower_case != 0; /* BertTokenizer's default is uncased */
        const fov_tokenizer_options o = {.lower_case = lower,
                                         .strip_accents = c.strip_accents >= 0 ? c.strip_accents : lower,
                                         .chinese_chars = c.chinese_chars,
                                         .unk = or_null(c.unk),
                                         .cls = or_null(c.cls),
                                         .sep = or_null(c.sep),
                                         .pad = or_null(c.pad),
                                         .mask = or_null(c.mask)};
        return fov_tokenizer_from_vocab(s[FOV_SOURCE_VOCAB].data, s[FOV_SOURCE_VOCAB].size, &o, s[FOV_SOURCE_VOCAB].name,
                                        &m->allocator, &m->tokenizer, error);
    }
    if (s[FOV_SOURCE_TOKENIZER_JSON].data)
        return fov_tokenizer_from_json(s[FOV_SOURCE_TOKENIZER_JSON].data, s[FOV_SOURCE_TOKENIZER_JSON].size,
                                       s[FOV_SOURCE_TOKENIZER_JSON].name, &m->allocator, &m->tokenizer, error);
    if (!s[FOV_SOURCE_VOCAB_JSON].data && !s[FOV_SOURCE_MERGES].data)
        return fov_fail(
            error, FOV_ERR_IO, s[FOV_SOURCE_VOCAB].name,
            "there is neither vocab.txt, tokenizer.json, nor vocab.json with merges.txt, or they are empty; download them too");
    if (!s[FOV_SOURCE_VOCAB_JSON].data || !s[FOV_SOURCE_MERGES].data)
        return fov_fail(error, FOV_ERR_IO,
                        s[FOV_SOURCE_VOCAB_JSON].data ? s[FOV_SOURCE_MERGES].name : s[FOV_SOURCE_VOCAB_JSON].name,
                        "is missing or empty, and %s alone is no tokenizer; download both",
                        s[FOV_SOURCE_VOCAB_JSON].data ? "vocab.json" : "merges.txt");
    fov_tokenizer_options o = {.add_prefix_space = c.add_prefix_space};
    if (s[FOV_SOURCE_TOKENIZER_CONFIG].data) {
        o.unk = or_null(c.unk);
        o.cls = or_null(c.cls);
        o.sep = or_null(c.sep);
        o.pad = or_null(c.pad);
        o.mask = or_null(c.mask);
    }
    return fov_tokenizer_from_merges(s[FOV_SOURCE_VOCAB_JSON].data, s[FOV_SOURCE_VOCAB_JSON].size, s[FOV_SOURCE_VOCAB_JSON].name,
                                     s[FOV_SOURCE_MERGES].data, s[FOV_SOURCE_MERGES].size, s[FOV_SOURCE_MERGES].name, &o,
                                     &m->allocator, &m->tokenizer, error);
}

static void describe(struct fov_model *m, const fov_sources *from) {
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
    info->pooling = from->has_modules ? from->modules.pooling : FOV_POOLING_MEAN;
    info->normalize = from->has_modules ? from->modules.normalize : 0;
}

fov_status fov_model_build(const fov_sources *from, fov_tensors *tensors, const fov_model_options *options, fov_model **out,
                           fov_error *error) {
    const fov_source *s = from->files;
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    struct fov_model *m = fov_alloc_zero(allocator, sizeof *m);
    if (!m) {
        fov_tensors_close(tensors);
        return fov_fail(error, FOV_ERR_MEMORY, from->name, "out of memory" FOV_MEND_MEMORY);
    }
    m->allocator = *allocator;
    m->tensors = tensors;
    m->packed = from->packed != NULL;
    snprintf(m->name, sizeof m->name, "%s", options && options->name ? options->name : from->name);
    unsigned threads = options && options->threads ? options->threads : fov_threads_default();
    fov_status status = find_type(options, from, &m->type, error);
    if (status) goto end;
    status = FOV_ERR_UNSUPPORTED;
    m->kernels = fov_kernels_get(error);
    if (!m->kernels) goto end;
    status = fov_config_parse(&m->config, s[FOV_SOURCE_CONFIG].data, s[FOV_SOURCE_CONFIG].size, s[FOV_SOURCE_CONFIG].name,
                              &m->allocator, error);
    if (status) goto end;
    if ((status = check_config(m, s[FOV_SOURCE_CONFIG].name, error))) goto end;
    if ((status = load_tokenizer(m, from, error))) goto end;
    if (fov_tokenizer_size(m->tokenizer) > m->config.vocabulary) {
        status = fov_fail(error, FOV_ERR_MISMATCH,
                          s[FOV_SOURCE_VOCAB].data            ? s[FOV_SOURCE_VOCAB].name
                          : s[FOV_SOURCE_TOKENIZER_JSON].data ? s[FOV_SOURCE_TOKENIZER_JSON].name
                                                              : s[FOV_SOURCE_VOCAB_JSON].name,
                          "the vocabulary has %zu tokens, but the embedding table only %zu rows; give the files of one checkpoint",
                          fov_tokenizer_size(m->tokenizer), m->config.vocabulary);
        goto end;
    }
    if ((status = fov_model_load_weights(m, threads, error))) goto end;
    describe(m, from);
    m->files_hash = fov_sources_hash(from);
end:
    if (status) {
        fov_model_free(m);
        return status;
    }
    *out = m;
    return FOV_OK;
}

fov_status fov_model_open_folder(const char *folder, const fov_allocator *allocator, fov_sources *sources, fov_tensors **tensors,
                                 fov_error *error) {
    int found = 0;
    char inner[FOV_MAX_PATH];
    size_t name_size;
    const char *name = last_component(folder, &name_size);
    *sources = (fov_sources){0};
    *tensors = NULL;
    snprintf(sources->name, sizeof sources->name, "%.*s",
             name_size < sizeof sources->name ? (int)name_size : (int)sizeof sources->name - 1, name);
    fov_status status = fov_modules_read(&sources->modules, folder, &found, error);
    sources->has_modules = found;
    if (!status) status = fov_path_join(inner, folder, found ? sources->modules.transformer : "", error);
    /* Weights first: a folder that is missing, or holds no checkpoint, is best told from them. */
    if (!status) status = fov_tensors_open(inner, allocator, tensors, error);
    if (!status) status = fov_sources_read(sources, inner, allocator, error);
    if (!status) return FOV_OK;
    fov_tensors_close(*tensors);
    fov_sources_release(sources, allocator);
    return status;
}

fov_status fov_model_load_folder(const char *folder, const fov_model_options *options, fov_model **model, fov_error *error) {
    const fov_allocator *allocator = fov_allocator_or_default(options ? options->allocator : NULL);
    fov_sources sources;
    fov_tensors *tensors;
    fov_status status = fov_model_open_folder(folder, allocator, &sources, &tensors, error);
    if (status) return status;
    status = fov_model_build(&sources, tensors, options, model, error);
    if (!status) snprintf((*model)->folder, sizeof(*model)->folder, "%s", folder);
    fov_sources_release(&sources, allocator);
    return status;
}

fov_status fov_model_load_blocks(const fov_model_files *f, const fov_model_options *options, fov_model **model, fov_error *error) {
    fov_sources s = {.files = {[FOV_SOURCE_CONFIG] = {.data = f->config, .size = f->config_size},
                               [FOV_SOURCE_TOKENIZER_CONFIG] = {.data = f->tokenizer_config, .size = f->tokenizer_config_size},
                               [FOV_SOURCE_VOCAB] = {.data = f->vocab, .size = f->vocab_size}},
                     .name = "model"};
    for (size_t i = 0; i < FOV_SOURCES; i++) snprintf(s.files[i].name, sizeof s.files[i].name, "%s", fov_source_name(i));
    fov_tensors *tensors = NULL;
    fov_status status = fov_tensors_open_memory(f->weights, f->weights_size, "model.safetensors",
                                                fov_allocator_or_default(options ? options->allocator : NULL), &tensors, error);
    if (status) return status;
    status = fov_model_build(&s, tensors, options, model, error);
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
    fov_file_unmap(m->map, m->map_size);
    fov_release(&allocator, m);
}
