/* yoso_rows.c: the parts of YOSO that both forms and the gradients share: views, masks, normalisation, convolution, weights. */
#include <math.h>
#include <string.h>

#include "attention/yoso.h"

static const double least_norm = 1e-12; /* as torch.nn.functional.normalize */

fov_yoso_head fov_yoso_view(const fov_attention *p, size_t text, size_t head) {
    size_t q = p->q_offsets[text], k = p->k_offsets[text], y = p->y_offsets[text], d = p->head_size;
    return (fov_yoso_head){
        .text = text,
        .head = head,
        .queries = p->q_offsets[text + 1] - q,
        .outputs = p->y_offsets[text + 1] - y,
        .all_keys = p->k_offsets[text + 1] - k,
        .q_start = fov_attention_start(p->q_strides, text, q, p->ldq, head, d),
        .k_start = fov_attention_start(p->k_strides, text, k, p->ldk, head, d),
        .v_start = fov_attention_start(p->v_strides, text, k, p->ldv, head, d),
        .y_start = fov_attention_start(p->y_strides, text, y, p->ldy, head, d),
        .y_query = p->y_query ? p->y_query + y : NULL,
        .position = p->q_position ? p->q_position + q : NULL,
        .key_mask = p->key_mask ? p->key_mask + k : NULL,
    };
}

size_t fov_yoso_longest(const fov_attention *p) {
    const size_t keys = fov_longest(p->k_offsets, p->texts), queries = fov_longest(p->q_offsets, p->texts);
    return keys > queries ? keys : queries;
}

/* In eight chains: additions of one would wait for each other. */
static double norm_of(const float *x, size_t d) {
    double part[8] = {0}, sum = 0;
    size_t c = 0;
    for (; c + 8 <= d; c += 8)
        for (size_t l = 0; l < 8; l++) part[l] += (double)x[c + l] * (double)x[c + l];
    for (; c < d; c++) sum += (double)x[c] * (double)x[c];
    for (size_t l = 0; l < 8; l++) sum += part[l];
    return sqrt(sum);
}

void fov_yoso_normalize(const float *x, size_t ldx, size_t n, size_t d, float *to, float *norms) {
    for (size_t i = 0; i < n; i++) {
        double norm = norm_of(x + i * ldx, d), factor = 1 / (norm < least_norm ? least_norm : norm);
        for (size_t c = 0; c < d; c++) to[i * d + c] = (float)((double)x[i * ldx + c] * factor);
        if (norms) norms[i] = (float)norm;
    }
}

void fov_yoso_copy(const fov_attention *p, fov_yoso_head *h, const fov_yoso_copies *to) {
    size_t n = 0, d = p->head_size;
    for (size_t j = 0; j < h->all_keys; j++) {
        if (h->key_mask && !h->key_mask[j]) continue;
        to->present[n] = (uint32_t)j;
        fov_yoso_normalize(p->k + h->k_start + j * p->ldk, p->ldk, 1, d, to->k + n * d, to->k_norm ? to->k_norm + n : NULL);
        memcpy(to->v + n * d, p->v + h->v_start + j * p->ldv, d * sizeof(float));
        n++;
    }
    h->keys = n;
    h->present = to->present;
    h->k = to->k;
    h->v = to->v;
}

/* Keys that are there with a number below `end`. */
static size_t below(const fov_yoso_head *h, size_t end) {
    size_t low = 0, high = h->keys;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->present[middle] < end)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t fov_yoso_sees(const fov_attention *p, const fov_yoso_head *h, size_t query) {
    if (!p->causal) return h->all_keys;
    if (!h->position && query + h->all_keys < h->queries) return 0;
    const size_t end = h->position ? (size_t)h->position[query] + 1 : query + 1 + h->all_keys - h->queries;
    return end < h->all_keys ? end : h->all_keys;
}

size_t fov_yoso_visible(const fov_attention *p, const fov_yoso_head *h, size_t query) {
    return p->causal ? below(h, fov_yoso_sees(p, h, query)) : h->keys;
}

float fov_yoso_unit(float *y, size_t d, double least) {
    double norm = norm_of(y, d), factor = 1 / (norm < least ? least : norm);
    for (size_t c = 0; c < d; c++) y[c] = (float)((double)y[c] * factor);
    return (float)norm;
}

/* Keys from *first on, below the result, are in the window of the query's token; tap t stands on key token + t - width / 2. */
static size_t window_of(const fov_attention *p, const fov_yoso_head *h, size_t query, size_t *first, size_t *token) {
    size_t half = p->layer.conv_width / 2, sees = fov_yoso_sees(p, h, query);
    *token = h->position ? h->position[query] : query;
    if (!h->position && p->causal) *token = query + h->all_keys - h->queries; /* wraps only where nothing is visible */
    *first = *token > half ? *token - half : 0;
    size_t end = *token + (p->layer.conv_width - half);
    return end < sees ? end : sees;
}

void fov_yoso_convolve(const fov_attention *p, const fov_yoso_head *h, size_t query, float *to, float sign) {
    if (!p->layer.conv) return;
    size_t first, token, d = p->head_size, width = p->layer.conv_width, end = window_of(p, h, query, &first, &token);
    for (size_t j = first; j < end; j++) {
        if (h->key_mask && !h->key_mask[j]) continue;
        float w = sign * p->layer.conv[h->head * width + (j + width / 2 - token)];
        const float *v = p->v + h->v_start + j * p->ldv;
        for (size_t c = 0; c < d; c++) to[c] += w * v[c];
    }
}

void fov_yoso_convolve_back(const fov_attention *p, const fov_yoso_head *h, size_t query, const float *dy, float *dv) {
    if (!p->layer.conv) return;
    size_t first, token, d = p->head_size, width = p->layer.conv_width, end = window_of(p, h, query, &first, &token);
    for (size_t j = below(h, first); j < h->keys && h->present[j] < end; j++) {
        float w = p->layer.conv[h->head * width + (h->present[j] + width / 2 - token)];
        for (size_t c = 0; c < d; c++) dv[j * d + c] += w * dy[c];
    }
}

/* acos(x) = sqrt(1 - x) P(x) on [0, 1] (Abramowitz & Stegun 4.4.46, |error| <= 2e-8), acos(-x) = pi - acos(x). Without the
 * subtraction for x < 0 small probabilities keep their relative accuracy. */
static void agreement(const float *s, size_t n, float *p, float *slope_of_p) {
    static const float over_pi = 0.318309886F;
    for (size_t i = 0; i < n; i++) {
        float x = s[i] > 1 ? 1 : s[i];
        x = x < -1 ? -1 : x;
        float a = fabsf(x);
        float poly = -0.0012624911F * a + 0.0066700901F;
        poly = poly * a - 0.0170881256F;
        poly = poly * a + 0.0308918810F;
        poly = poly * a - 0.0501743046F;
        poly = poly * a + 0.0889789874F;
        poly = poly * a - 0.2145988016F;
        poly = poly * a + 1.5707963050F;
        float part = sqrtf(1 - a) * poly * over_pi;
        p[i] = x < 0 ? part : 1 - part;
        if (!slope_of_p) continue;
        float rest = (1 - a) * (1 + a);
        slope_of_p[i] = over_pi / sqrtf(rest < 1e-6F ? 1e-6F : rest);
    }
}

/* w = p^tau by squaring; before = p^(tau - 1). */
static void power(const float *p, size_t n, unsigned tau, float *w) {
    float square[64];
    memcpy(square, p, n * sizeof *p);
    for (size_t i = 0; i < n; i++) w[i] = tau & 1 ? p[i] : 1;
    for (unsigned rest = tau >> 1; rest; rest >>= 1) {
        for (size_t i = 0; i < n; i++) square[i] *= square[i];
        for (size_t i = 0; rest & 1 && i < n; i++) w[i] *= square[i];
    }
}

void fov_yoso_weights(float *s, size_t count, unsigned tau, float *slopes, bool surrogate) {
    float p[64];
    for (size_t at = 0; at < count; at += 64) {
        size_t n = count - at < 64 ? count - at : 64;
        float *slope = slopes ? slopes + at : NULL;
        agreement(s + at, n, p, surrogate ? NULL : slope);
        if (slope && !surrogate) {
            float before[64];
            power(p, n, tau - 1, before);
            for (size_t i = 0; i < n; i++) slope[i] *= (float)tau * before[i];
        }
        power(p, n, tau, s + at);
        if (slope && surrogate)
            for (size_t i = 0; i < n; i++) slope[i] = (float)tau / 2 * s[at + i];
    }
}
