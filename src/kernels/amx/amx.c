/* amx.c: the tier amx: avx512bf16 with tile registers for bf16 and int8 (Intel Xeon from 2023). A register tile of 32 rows x 32
 * columns is four tiles of sums; per 16 words of K two tiles of X and two of W are loaded for four products. Rows are what the
 * tile's configuration says, so no row is computed or written that is not there. */
#include <immintrin.h>
#include <string.h>

#include "core/memory.h"
#include "kernels/avx512/finish_avx512.h"
#include "kernels/tiers.h"

enum {
    ROWS = 32,
    BLOCK = 640, /* rows packed at a time: W comes from L3, at some 10 GB/s a core */
    TILE_ROWS = 16,
    TILE_WORDS = 16,
    STRIDE_X = FOV_TILE_STRIDE * sizeof(float),
    STRIDE_PANEL = FOV_PANEL * sizeof(float)
};

/* What ldtilecfg reads (palette 1). */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles 0 1 2 3: sums of upper left, upper right, lower left, lower right; 4 5: X, upper and lower; 6 7: W, left and right. */
static void configure(size_t rows) {
    const uint8_t upper = (uint8_t)(rows < TILE_ROWS ? rows : TILE_ROWS), lower = (uint8_t)(rows - upper);
    const uint8_t low = lower ? lower : 1;
    const tile_config config = {.palette = 1,
                                .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                .rows = {upper, upper, low, low, upper, low, TILE_WORDS, TILE_WORDS}};
    __asm__ volatile("" ::"r"(&config) : "memory"); /* gcc 12 says that the load reads 8 bytes and drops the other stores */
    _tile_loadconfig(&config);
}

/* W two steps ahead: tile loads miss what the processor's prefetchers fetch. On a busy 64-core Xeon 1.1 to 2.4 times faster, median
 * 1.5, over bf16 and int8 and four shapes; one, four and eight steps gain less. */
__attribute__((always_inline)) static inline void prefetch_w(const float *b) {
    const char *from = (const char *)(b + 2 * TILE_WORDS * FOV_PANEL);
    for (size_t i = 0; i < TILE_WORDS * FOV_PANEL * sizeof(float); i += 64) _mm_prefetch(from + i, _MM_HINT_T0);
}

/* W that the block meets next, into L2: a text of 23 tokens in bf16 1.2 to 1.3 times as fast. */
__attribute__((always_inline)) static inline void prefetch_next(const fov_tile *t, size_t step) {
    const size_t lines = TILE_WORDS * t->lines;
    for (size_t i = 0; i < lines; i++) _mm_prefetch((const char *)(t->ask + (step * lines + i) * 16), _MM_HINT_T1);
}

#define MULTIPLY(kind, sums, x, w)                                                                                                 \
    do {                                                                                                                           \
        if ((kind) == FOV_FINISH_BF16)                                                                                             \
            _tile_dpbf16ps(sums, x, w);                                                                                            \
        else                                                                                                                       \
            _tile_dpbusd(sums, x, w);                                                                                              \
    } while (0)

/* Four products of 16 words of K; two where the tile has no lower rows. */
__attribute__((always_inline)) static inline void multiply_step(const fov_finish_kind kind, bool lower, const float *a,
                                                                const float *b) {
    _tile_loadd(4, a, STRIDE_X);
    _tile_loadd(6, b, STRIDE_PANEL);
    _tile_loadd(7, b + TILE_WORDS, STRIDE_PANEL);
    MULTIPLY(kind, 0, 4, 6);
    MULTIPLY(kind, 1, 4, 7);
    if (!lower) return;
    _tile_loadd(5, a + TILE_ROWS * FOV_TILE_STRIDE, STRIDE_X);
    MULTIPLY(kind, 2, 5, 6);
    MULTIPLY(kind, 3, 5, 7);
}

/* The last words of K, fewer than a tile has: copies padded with zeros. */
typedef struct tail {
    _Alignas(64) float x[ROWS * FOV_TILE_STRIDE], w[TILE_WORDS * FOV_PANEL];
} tail;

static void make_tail(tail *t, const fov_tile *tile, size_t whole) {
    const size_t left = tile->k - whole;
    memset(t->w, 0, sizeof t->w);
    memcpy(t->w, tile->b + whole * FOV_PANEL, left * FOV_PANEL * sizeof(float));
    for (size_t i = 0; i < tile->rows; i++) {
        memset(t->x + i * FOV_TILE_STRIDE, 0, TILE_WORDS * sizeof(float));
        memcpy(t->x + i * FOV_TILE_STRIDE, tile->a + i * FOV_TILE_STRIDE + whole, left * sizeof(float));
    }
    __asm__ volatile("" ::: "memory"); /* gcc's tile loads do not say that they read */
}

static inline void load_sums(const fov_tile *t, bool lower) {
    if (t->first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, t->sum, STRIDE_PANEL);
    _tile_loadd(1, t->sum + TILE_WORDS, STRIDE_PANEL);
    if (!lower) return;
    _tile_loadd(2, t->sum + TILE_ROWS * FOV_PANEL, STRIDE_PANEL);
    _tile_loadd(3, t->sum + TILE_ROWS * FOV_PANEL + TILE_WORDS, STRIDE_PANEL);
}

static inline void store_sums(const fov_tile *t, bool lower) {
    _tile_stored(0, t->sum, STRIDE_PANEL);
    _tile_stored(1, t->sum + TILE_WORDS, STRIDE_PANEL);
    if (!lower) return;
    _tile_stored(2, t->sum + TILE_ROWS * FOV_PANEL, STRIDE_PANEL);
    _tile_stored(3, t->sum + TILE_ROWS * FOV_PANEL + TILE_WORDS, STRIDE_PANEL);
}

/* The products of a tile, and between them, a few rows a step, the epilogue of the tile before: the vector units would idle beside
 * the tile unit, and the tile unit while they work. Lines of Y are asked for in int8 alone: in bf16 that costs 4 to 12 %. */
__attribute__((always_inline)) static inline void run_tile(const fov_finish_kind kind, const fov_tile *t) {
    const bool lower = t->rows > TILE_ROWS, int8 = kind != FOV_FINISH_BF16;
    const size_t steps = t->k / TILE_WORDS, whole = steps * TILE_WORDS, rest = t->before ? t->before->rows : 0;
    const size_t share = steps ? (rest + steps - 1) / steps : 0,
                 y_share = int8 && steps && t->last ? (t->rows + steps - 1) / steps : 0;
    size_t done = 0;
    const float *a = t->a, *b = t->b;
    if (t->rows < ROWS) configure(t->rows);
    load_sums(t, lower);
    for (size_t s = 0; s < steps; s++) {
        if (t->cold) prefetch_w(b);
        if (t->ask) prefetch_next(t, s);
        multiply_step(kind, lower, a, b);
        if (done < rest) fov_finish_rows(kind, t->before, done, fov_least(done + share, rest));
        done += share;
        if (y_share) fov_prefetch_y(t, fov_least(s * y_share, t->rows), fov_least((s + 1) * y_share, t->rows));
        a += TILE_WORDS;
        b += TILE_WORDS * FOV_PANEL;
    }
    if (done < rest) fov_finish_rows(kind, t->before, done, rest);
    if (whole < t->k) {
        tail last;
        make_tail(&last, t, whole);
        multiply_step(kind, lower, last.x, last.w);
    }
    store_sums(t, lower);
    if (t->rows < ROWS) configure(ROWS); /* as the next tile expects; it costs hundreds of cycles */
    __asm__ volatile("" ::: "memory");   /* nor do its tile stores say that they write */
}

static void tile_bf16(const fov_tile *t) {
    run_tile(FOV_FINISH_BF16, t);
}

static void tile_int8(const fov_tile *t) {
    run_tile(FOV_FINISH_INT8_VNNI, t);
}

static void begin(void) {
    configure(ROWS);
}

static void end(void) {
    _tile_release();
}

static const fov_tiles tiles_bf16 = {.mr = ROWS,
                                     .rows = BLOCK,
                                     .full = true,
                                     .begin = begin,
                                     .end = end,
                                     .tile = tile_bf16,
                                     .stores_bf16 = true,
                                     .finish = fov_finish_bf16_native,
                                     .pack = fov_pack_bf16_native};
static const fov_tiles tiles_int8 = {.mr = ROWS,
                                     .rows = BLOCK / 2,
                                     .full = true,
                                     .begin = begin,
                                     .end = end,
                                     .tile = tile_int8,
                                     .finish = fov_finish_int8_vnni,
                                     .measure = fov_measure_int8_avx512,
                                     .pack = fov_pack_int8_avx512};

/* Small numbers of both signs: on zeros the tile unit is some 10 % faster, and a busy sibling thread does not slow it. */
static void load_operands(void) {
    uint16_t values[2 * TILE_ROWS * TILE_WORDS];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = (uint16_t)(0x3b00 | (i * 40503 >> 3 & 0x80ff));
    __asm__ volatile("" ::"r"(values) : "memory");
    _tile_loadd(4, values, TILE_WORDS * sizeof(float));
    _tile_loadd(5, values, TILE_WORDS * sizeof(float));
    _tile_loadd(6, values, TILE_WORDS * sizeof(float));
    _tile_loadd(7, values, TILE_WORDS * sizeof(float));
}

/* Four independent sums: what the tile unit needs to be busy. */
#define LOOP(name, product, values)                                                                                                \
    static float name(uint64_t iterations, uint64_t *flops_per_iteration) {                                                        \
        configure(ROWS);                                                                                                           \
        load_operands();                                                                                                           \
        for (uint64_t n = 0; n < iterations; n++) {                                                                                \
            product(0, 4, 6);                                                                                                      \
            product(1, 4, 7);                                                                                                      \
            product(2, 5, 6);                                                                                                      \
            product(3, 5, 7);                                                                                                      \
        }                                                                                                                          \
        float sums[TILE_ROWS * TILE_WORDS];                                                                                        \
        _tile_stored(0, sums, TILE_WORDS * sizeof(float));                                                                         \
        _tile_release();                                                                                                           \
        *flops_per_iteration = 2 * 4 * TILE_ROWS * TILE_WORDS * TILE_WORDS * (values);                                             \
        return sums[0];                                                                                                            \
    }
LOOP(loop_bf16, _tile_dpbf16ps, 2)
LOOP(loop_int8, _tile_dpbusd, 4)

const fov_kernels fov_tier_amx = {
    .name = "amx",
    FOV_AVX512_SLOTS,
    .tiles = {&fov_tiles_f32_avx512, &tiles_bf16, &tiles_int8},
    .score_i8 = fov_score_i8_vnni,
    .fma_loop = {fov_fma_loop_avx512, loop_bf16, loop_int8},
};
