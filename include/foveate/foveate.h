/* foveate.h: run BERT-family encoders on text, with exact or approximate attention.
 *
 * Letters used in every shape: B texts of a call, T tokens of one text, N tokens of a ragged batch, H heads, D head size,
 * C = H D width, L layers, V vocabulary. All matrices are row-major f32 unless said otherwise.
 *
 * Threads: a model is immutable after loading and may be used from any number of threads; a session belongs to one thread
 * at a time. Errors: every function that can fail returns a fov_status and, when `error` is not NULL, fills it; nothing is
 * printed and the process is never ended. Outputs are written only on FOV_OK unless a function says otherwise.
 */
#ifndef FOVEATE_FOVEATE_H
#define FOVEATE_FOVEATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FOV_API __attribute__((visibility("default")))
#else
#define FOV_API
#endif

#define FOV_VERSION_MAJOR 0
#define FOV_VERSION_MINOR 1
#define FOV_VERSION_PATCH 0

/* Run-time version, "0.1.0". Static storage. */
FOV_API const char *fov_version(void);

/* ---- status and errors ---- */

typedef enum fov_status {
    FOV_OK = 0,
    FOV_ERR_ARGUMENT,    /* a NULL, zero or out-of-range argument; an option that does not exist */
    FOV_ERR_MEMORY,      /* the allocator returned NULL */
    FOV_ERR_IO,          /* a file is missing, unreadable or unwritable */
    FOV_ERR_FORMAT,      /* a file's content is malformed */
    FOV_ERR_MISMATCH,    /* files are well formed but disagree (config and weights, vocabulary and embeddings) */
    FOV_ERR_UNSUPPORTED, /* valid, but not something this library (or this model, or this processor) can do */
    FOV_ERR_INTERNAL     /* a broken invariant: a bug in foveate */
} fov_status;

/* Short name of a status, e.g. "argument". Static storage; never NULL. */
FOV_API const char *fov_status_name(fov_status status);

/* One line of what went wrong, where, and how to mend it. Always NUL-terminated. */
typedef struct fov_error {
    fov_status status;
    char message[400]; /* what, and how to mend it */
    char where[200];   /* file, tensor, parameter, or "" */
} fov_error;

/* ---- memory ---- */

/* All memory of models and sessions comes from here. NULL stands for the C library. `alloc` returns `bytes` bytes aligned to
 * `align` (a power of two, at most 4096) or NULL; `release` accepts NULL. Must be callable from any thread that uses it. */
typedef struct fov_allocator {
    void *(*alloc)(void *context, size_t bytes, size_t align);
    void (*release)(void *context, void *block);
    void *context;
} fov_allocator;

/* ---- machine ---- */

typedef struct fov_machine {
    char cpu[64];       /* the processor's own name */
    const char *tier;   /* kernels in use: "ref", "avx2", "avx512" (environment FOV_CPU can only lower it) */
    unsigned threads;   /* default thread count: affinity mask, cgroup quota and core count, the least of them */
    char features[128]; /* instruction sets found, separated by blanks */
} fov_machine;

/* Describe this machine. FOV_ERR_UNSUPPORTED when FOV_CPU names a tier that is unknown or absent. */
FOV_API fov_status fov_machine_query(fov_machine *machine, fov_error *error);

/* Multiply-adds per second x 2 (FLOP/s) that `threads` threads (0: default) sustain on a register-only f32 FMA loop run for
 * about `seconds` (0: 0.2) with the tier in use. Allocates nothing. Yardstick of the benchmarks. */
FOV_API double fov_machine_peak_f32(unsigned threads, double seconds);

/* ---- methods ---- */

typedef enum fov_place { FOV_PLACE_ATTENTION, FOV_PLACE_VALUES, FOV_PLACE_FFN } fov_place;

typedef enum fov_param_type { FOV_PARAM_FLOAT, FOV_PARAM_INT, FOV_PARAM_CHOICE, FOV_PARAM_LENGTH } fov_param_type;

/* One parameter of a method. `choices` (for CHOICE) is a '|' separated list and values are indices into it. LENGTH is
 * "real" (0) or "padded:N" (N). */
typedef struct fov_param_info {
    const char *name;
    fov_param_type type;
    double low, high; /* inclusive bounds, except that low is exclusive when low_open is not 0 */
    int low_open;
    double value; /* default */
    const char *choices;
    const char *help; /* one line */
} fov_param_info;

enum {
    FOV_METHOD_EXACT_LIMIT = 1,      /* some setting gives the exact result */
    FOV_METHOD_NEEDS_IMPORTANCE = 2, /* needs a softmax-family attention */
    FOV_METHOD_HAS_IMPORTANCE = 4,   /* is a softmax-family attention */
    FOV_METHOD_HAS_BACKWARD = 8,
    FOV_METHOD_RANDOM = 16, /* draws; reproducible from the seed */
    FOV_METHOD_CAUSAL = 32, /* can keep a query from the keys after it */
    FOV_METHOD_MODEL = 64   /* makes projections of a model anew: not for raw buffers */
};

typedef struct fov_method_info {
    const char *name;
    fov_place place;
    const char *help;     /* one line */
    const char *citation; /* paper, or "" */
    unsigned flags;
    size_t param_count;
    const fov_param_info *params;
} fov_method_info;

/* The methods of a place. `index` from 0; NULL past the end. Static storage. */
FOV_API const fov_method_info *fov_method_at(fov_place place, size_t index);

/* ---- models ---- */

typedef struct fov_model fov_model;

typedef enum fov_head {
    FOV_HEAD_NONE,         /* encoder only: embeddings */
    FOV_HEAD_SINGLE_LABEL, /* softmax over labels */
    FOV_HEAD_MULTI_LABEL,  /* sigmoid per label */
    FOV_HEAD_REGRESSION,   /* one value, no label */
    FOV_HEAD_MASKED_LM,    /* vocabulary logits */
    FOV_HEAD_TOKENS        /* softmax over labels, per token */
} fov_head;

typedef enum fov_pooling { FOV_POOLING_DEFAULT, FOV_POOLING_MEAN, FOV_POOLING_CLS } fov_pooling;

typedef struct fov_model_info {
    const char *name;         /* last component of the folder (when packed, of that), or the name given */
    const char *architecture; /* "bert", "distilbert", "roberta" */
    fov_head head;
    size_t layers, heads, width, ffn_width, vocabulary, labels;
    size_t max_length; /* most tokens of one text, [CLS] and [SEP] included */
    uint64_t parameters;
    size_t weight_bytes;   /* bytes of weights in memory, or mapped */
    const char *stored;    /* dtype of the weights in the file: "F32", "F16", "BF16" */
    const char *dtype;     /* of the layers' weights in memory: "f32", "bf16", "int8" */
    const char *attention; /* default method strings, from config.json */
    fov_pooling pooling;   /* default for fov_embed */
    int normalize;         /* default for fov_embed */
} fov_model_info;

/* Options; all zero = defaults. */
typedef struct fov_model_options {
    const fov_allocator *allocator; /* NULL: C library; copied */
    unsigned threads;               /* 1..256, for packing the weights; 0: default of the machine */
    const char *name;               /* NULL: last component of the folder */
    const char *dtype;              /* what the layers' weights are held and multiplied in: "f32", "bf16", "int8"; NULL: "f32", or
                                       what a packed file holds, which cannot be had in another.
                                       Sums, softmax, norms, embeddings and heads are f32 always. With bf16 and int8, dense
                                       attention over more than 64 tokens multiplies in bf16 where the processor has
                                       instructions for it */
} fov_model_options;

/* Load a Hugging Face folder (config.json; model.safetensors or its sharded index; vocab.txt or tokenizer.json), or a
 * sentence-transformers folder (modules.json). Weights are packed once; no file stays open, and what becomes
 * of them later does not touch the model. A file that is written to while it is being loaded is refused: FOV_ERR_IO. The caller
 * frees *model with fov_model_free, after every session that uses it.
 *
 * Or load a file that fov_model_pack made. It is mapped and stays in use as long as the model: processes share one copy, and a
 * start need not read it all. It must not be changed meanwhile, only replaced by renaming or removed: a process whose mapped file
 * is shortened is ended by SIGBUS. Results, hash and name are those of the checkpoint, bit for bit, in every tier. */
FOV_API fov_status fov_model_load(const char *path, const fov_model_options *options, fov_model **model, fov_error *error);

/* The same from memory; buffers are borrowed for the life of the model. tokenizer_config may be NULL. */
typedef struct fov_model_files {
    const char *config, *vocab, *tokenizer_config;
    size_t config_size, vocab_size, tokenizer_config_size;
    const void *weights; /* safetensors, 8-byte aligned */
    size_t weights_size;
    const void *profile; /* calibration profile, 8-byte aligned; or NULL. Read when a session's method needs one */
    size_t profile_size;
} fov_model_files;
FOV_API fov_status fov_model_load_memory(const fov_model_files *files, const fov_model_options *options, fov_model **model,
                                         fov_error *error);

FOV_API void fov_model_free(fov_model *model); /* NULL is allowed */

/* Receives the next `size` bytes of a file; anything but 0 stops the writing with FOV_ERR_IO. */
typedef int (*fov_writer)(void *context, const void *data, size_t size);
/* Load a folder as fov_model_load does and write it as one packed file: all that a model needs, its weights as memory holds them in
 * options->dtype. The bytes depend on checkpoint and dtype alone. Write to another name and rename. */
FOV_API fov_status fov_model_pack(const char *folder, const fov_model_options *options, fov_writer write, void *context,
                                  fov_error *error);
/* Read every byte of the packed file behind a model and compare with the checksum in it, which opening does not. FOV_ERR_FORMAT:
 * damaged; FOV_ERR_ARGUMENT: the model is not from a packed file. */
FOV_API fov_status fov_model_verify(const fov_model *model, fov_error *error);

/* Facts about a model. Owned by the model. */
FOV_API const fov_model_info *fov_model_get_info(const fov_model *model);

/* A hash of all that decides the model's results: configuration, vocabulary, weights; not of names, places or times. Tells whether
 * stored results are still this model's. */
FOV_API uint64_t fov_model_hash(const fov_model *model);

/* Name of label `index` (config's id2label, else "LABEL_i"), or NULL past the end. Owned by the model. */
FOV_API const char *fov_model_label(const fov_model *model, size_t index);

/* The text of a token id as the vocabulary has it, or NULL when out of range. Owned by the model. */
FOV_API const char *fov_model_token(const fov_model *model, int32_t id);

/* ---- sessions ----
 *
 * After an error of a call on texts, what its outputs hold is not to be used: some texts are done, the longest first, others are
 * not, and which is not told. Statistics count what was done. The session can be used again, without the text that was refused. */

typedef struct fov_session fov_session;

/* A model's calibration profile, in its folder; that of a packed model in the folder where the file lies. */
#define FOV_PROFILE_NAME "foveate-profile.safetensors"

/* Options; all zero (or NULL) = defaults. */
typedef struct fov_session_options {
    unsigned threads;      /* 1..256; 0: default of the machine */
    uint64_t seed;         /* of random methods */
    const char *attention; /* "dense", ...; NULL: the checkpoint's own */
    const char *values;    /* "exact", "mca:alpha=.2", ...; NULL: "exact" */
    const char *ffn;       /* "exact", ...; NULL: "exact" */
    size_t batch_tokens;   /* tokens in flight; 0: 512 a thread, 1024 at least, 4096 at most. Never changes a result */
    size_t max_length;     /* tokens kept of one text; 0: the model's limit. At least 3 (pairs 4, RoBERTa's 5), at most the limit */
    fov_pooling pooling;   /* for fov_embed; 0: the model's */
    int normalize;         /* for fov_embed: 1 yes, -1 no, 0: the model's */
    int all_rows;          /* 1: compute every row of the last layer even where the head does not read it */
    const char *profile;   /* calibration profile; NULL: FOLDER/FOV_PROFILE_NAME, read only where a method needs one */
} fov_session_options;

/* A session: settings, scratch memory and thread count. Method strings are parsed here: FOV_ERR_ARGUMENT names an unknown
 * method or parameter and the nearest known one; FOV_ERR_UNSUPPORTED a combination that cannot be. */
FOV_API fov_status fov_session_create(const fov_model *model, const fov_session_options *options, fov_session **session,
                                      fov_error *error);
FOV_API void fov_session_free(fov_session *session); /* NULL is allowed */

/* The settings in force, with every parameter written out, e.g. "mca:alpha=0.2,length=real,draws=shared,p=weights". */
FOV_API const char *fov_session_method(const fov_session *session, fov_place place);

/* The attention of the path that fov_stats calls exact: the checkpoint's own in its exact form, e.g. "window:w=256"; "dense" where
 * the checkpoint names a method that this library lacks. Whatever the session's own attention. */
FOV_API const char *fov_session_baseline(const fov_session *session);

/* One text, or a pair when b is not NULL. UTF-8; need not be NUL-terminated. Invalid bytes count as U+FFFD. */
typedef struct fov_text {
    const char *a, *b;
    size_t a_size, b_size; /* bytes */
} fov_text;

/* What became of one text. */
typedef struct fov_text_info {
    size_t tokens;    /* ids used, special tokens included */
    size_t truncated; /* ids cut off by max_length */
    size_t invalid;   /* invalid UTF-8 sequences replaced */
} fov_text_info;

/* The texts behind a session's calibration profile. Those held out took no part in the fits of value projections and
 * feed-forwards; the errors of the fits are measured on them. */
typedef struct fov_profile_info {
    uint64_t texts, tokens; /* all */
    uint64_t held_texts, held_tokens;
    uint64_t max_length; /* tokens kept of one text */
    uint64_t hash;       /* of model, texts, max_length, levels, and whether it is compact: another profile has another */
} fov_profile_info;
/* 1, or 0 when the session's methods read none. */
FOV_API int fov_session_profile(const fov_session *session, fov_profile_info *info);

/* What a calibrated method leaves out at one of its levels: mean squared error of the layer's values over their mean square about
 * the mean (regress, lowrank), or of the feed-forward's output over that of x + f(x) (narrow, guided). Of attention: root mean
 * squared error of the scores, rms over heads. NaN: not measured. */
typedef struct fov_certificate {
    size_t level;  /* features of a head (regress), rank (lowrank; of queries and keys: narrow attention), hidden units (narrow,
                      guided) */
    double fitted; /* over the tokens of the fit */
    double held;   /* over tokens of texts held out */
} fov_certificate;
/* 1, or 0 past the last layer or level, or where the method at `place` has none. */
FOV_API int fov_session_certificate(const fov_session *session, fov_place place, size_t layer, size_t level,
                                    fov_certificate *certificate);

/* Multiply-adds and seconds of the calls since the last fov_session_reset_stats. "values" is the value projection X Wv.
 * done: what was computed. exact: the exact ragged path with every row computed and the attention that fov_session_baseline names
 * (real), or with every text padded to 128 tokens, or the N of padded:N (padded: the papers' convention, where padding is part of
 * the baseline). */
typedef struct fov_stats {
    uint64_t texts, tokens, truncated_texts, invalid_texts;
    double values_done_real, values_exact_real;
    double values_done_padded, values_exact_padded; /* both 0 when the longest text exceeds the padded length */
    double total_done_real, total_exact_real;
    double seconds_tokenize, seconds_values, seconds_total; /* total: ids to logits, tokenising apart */
} fov_stats;
FOV_API void fov_session_get_stats(const fov_session *session, fov_stats *stats);
FOV_API void fov_session_reset_stats(fov_session *session);

/* Called between batches from the calling thread: texts done of total. Return non-zero to stop: the call then returns
 * FOV_ERR_ARGUMENT with message "stopped by the caller". */
typedef int (*fov_progress)(void *context, size_t done, size_t total);
FOV_API void fov_session_set_progress(fov_session *session, fov_progress progress, void *context);

/* Logits [count, labels] of texts; info [count] or NULL. The model needs a classification or regression head. Texts are
 * sorted by length and batched inside; a text's logits do not depend on the others, bit for bit. */
FOV_API fov_status fov_classify(fov_session *session, const fov_text *texts, size_t count, float *logits, fov_text_info *info,
                                fov_error *error);

/* Vectors [count, C] of texts, pooled and perhaps normalised as the session says; info [count] or NULL. */
FOV_API fov_status fov_embed(fov_session *session, const fov_text *texts, size_t count, float *vectors, fov_text_info *info,
                             fov_error *error);

/* Turn logits [labels] into probabilities [labels] as the head says (softmax, sigmoid; regression: copied). */
FOV_API void fov_scores(const fov_model *model, const float *logits, float *scores);

/* One candidate for a masked position. */
typedef struct fov_candidate {
    int32_t id;
    float probability;
} fov_candidate;

/* For each [MASK] of the text, in order, the `top` likeliest ids: candidates [*masks, top]. *masks holds the capacity in masks
 * on entry, the number found on return (FOV_ERR_ARGUMENT when there is none or more than the capacity). Needs FOV_HEAD_MASKED_LM.
 */
FOV_API fov_status fov_fill_mask(fov_session *session, const fov_text *text, size_t top, fov_candidate *candidates, size_t *masks,
                                 fov_error *error);

/* Token classification: logits [*tokens, labels] of a text's ids as fov_tokenize gives them, special tokens included. *tokens holds
 * the capacity on entry, the number of ids on return (FOV_ERR_ARGUMENT when the capacity is too small; the session's max_length
 * always does). Needs FOV_HEAD_TOKENS. */
FOV_API fov_status fov_tag(fov_session *session, const fov_text *text, float *logits, size_t *tokens, fov_error *error);

/* Ids of a text as the model would see it (special tokens and truncation included). Up to `capacity` ids are written to ids
 * and, when types is not NULL, segments to types; *count is the number needed. */
FOV_API fov_status fov_tokenize(fov_session *session, const fov_text *text, int32_t *ids, uint8_t *types, size_t capacity,
                                size_t *count, fov_text_info *info, fov_error *error);

/* ---- calibration ---- */

/* Gathers the statistics of the inputs of a model's layers over texts, without labels, and makes a profile of them, which
 * calibrated methods need. A calibration belongs to one thread at a time. The sums are exact: neither the order of the texts, nor
 * how they are divided among calls and batches, nor the number of threads changes a bit of the profile; the instruction tier may.
 */
typedef struct fov_calibration fov_calibration;

/* Options; all zero = defaults. */
typedef struct fov_calibration_options {
    unsigned threads;    /* 1..256; 0: default of the machine */
    size_t max_length;   /* tokens kept of one text; 0: the model's limit */
    size_t batch_tokens; /* tokens in flight; 0: as of a session. Never changes the profile */
    int compact;         /* 1: a small profile: few levels, weights in f16 */
} fov_calibration_options;

/* The model must outlive the calibration; free it with fov_calibration_free. */
FOV_API fov_status fov_calibration_create(const fov_model *model, const fov_calibration_options *options,
                                          fov_calibration **calibration, fov_error *error);
FOV_API void fov_calibration_free(fov_calibration *calibration); /* NULL is allowed */
/* Told of texts during fov_calibration_add, of fits during fov_calibration_write (which may take minutes). */
FOV_API void fov_calibration_set_progress(fov_calibration *calibration, fov_progress progress, void *context);

/* Add texts; may be called any number of times. Blank texts are counted alone: a profile is the same without them. After an error
 * the calibration can only be freed. */
FOV_API fov_status fov_calibration_add(fov_calibration *calibration, const fov_text *texts, size_t count, fov_error *error);

typedef struct fov_calibration_counts {
    uint64_t texts, tokens, truncated_texts; /* all that were added */
    uint64_t tokens_needed;                  /* least tokens of a profile of this model, those of blank texts apart */
} fov_calibration_counts;
FOV_API void fov_calibration_get_counts(const fov_calibration *calibration, fov_calibration_counts *counts);

/* Fit and write the profile, a safetensors file with its provenance: hashes of model and texts, counts. FOV_ERR_ARGUMENT: too few
 * texts; the message says how many are needed. */
FOV_API fov_status fov_calibration_write(fov_calibration *calibration, fov_writer write, void *context, fov_error *error);

/* Where a text's work went. Arrays are owned by the session and valid until its next call.
 * importance [L, T]: mean over heads of each token's column maximum of the attention weights (dense query rows).
 * work [L, T]: mean over heads of the share of the value projection spent on the token (1: exact).
 * head_importance, head_work [L, H]: the same two, mean over tokens, head by head. */
typedef struct fov_explanation {
    size_t tokens, layers, heads;
    const int32_t *ids;
    const float *importance, *work;
    const float *head_importance, *head_work;
    const float *logits; /* [labels], or NULL without a head */
} fov_explanation;
FOV_API fov_status fov_explain(fov_session *session, const fov_text *text, fov_explanation *explanation, fov_error *error);

#ifdef __cplusplus
}
#endif
#endif
