/* certificates.c: the profile's texts, and a table of errors for each place with a calibrated method: a row per layer, a column per
 * level. */
#include "certificates.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    fov_place place;
    const char *name, *what, *of;
} tables[] = {{FOV_PLACE_ATTENTION, "attention", "root mean squared error", "of the scores"},
              {FOV_PLACE_VALUES, "values", "mean squared error", "share of the values' energy"},
              {FOV_PLACE_FFN, "ffn", "mean squared error", "share of the energy of x + f(x)"}};

static void print_table(const fov_session *session, size_t table, size_t layers) {
    fov_certificate c;
    const fov_place place = tables[table].place;
    if (!fov_session_certificate(session, place, 0, 0, &c)) return;
    printf("\n%s %s, %s on texts held out%s, %s\nlayer", tables[table].name, fov_session_method(session, place), tables[table].what,
           isnan(c.fitted) ? "" : " (on those of the fit)", tables[table].of);
    const int width = isnan(c.fitted) ? 9 : 18;
    for (size_t level = 0; fov_session_certificate(session, place, 0, level, &c); level++) printf("%*zu", width, c.level);
    putchar('\n');
    for (size_t l = 0; l < layers; l++) {
        printf("%5zu", l + 1);
        for (size_t level = 0; fov_session_certificate(session, place, l, level, &c); level++) {
            if (isnan(c.held))
                printf("%9s", "?");
            else
                printf("%9.4f", c.held);
            if (!isnan(c.fitted)) printf(" (%.4f)", c.fitted);
        }
        putchar('\n');
    }
}

void certificates_print(const fov_session *session, size_t layers) {
    fov_profile_info p;
    if (!session || !fov_session_profile(session, &p)) return;
    printf("\nprofile       %" PRIu64 " texts, %" PRIu64 " tokens; held out of the fits: %" PRIu64 " texts, %" PRIu64 " tokens\n",
           p.texts, p.tokens, p.held_texts, p.held_tokens);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) print_table(session, i, layers);
}

static json_t *pack_table(const fov_session *session, size_t table, size_t layers) {
    const fov_place place = tables[table].place;
    json_t *levels = json_array(), *fitted = json_array(), *held = json_array();
    fov_certificate c;
    for (size_t level = 0; fov_session_certificate(session, place, 0, level, &c); level++)
        json_array_append_new(levels, json_integer((json_int_t)c.level));
    for (size_t l = 0; l < layers; l++) {
        json_t *row[2] = {json_array(), json_array()};
        for (size_t level = 0; fov_session_certificate(session, place, l, level, &c); level++) {
            json_array_append_new(row[0], isnan(c.fitted) ? json_null() : json_real(c.fitted));
            json_array_append_new(row[1], isnan(c.held) ? json_null() : json_real(c.held));
        }
        json_array_append_new(fitted, row[0]);
        json_array_append_new(held, row[1]);
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "method", fov_session_method(session, place), "levels", levels, "fitted", fitted,
                     "held", held);
}

json_t *certificates_pack(const fov_session *session, size_t layers) {
    fov_profile_info p;
    fov_certificate c;
    if (!session || !fov_session_profile(session, &p)) return NULL;
    json_t *out = json_pack("{s:I, s:I, s:I, s:I}", "texts", (json_int_t)p.texts, "tokens", (json_int_t)p.tokens, "held_texts",
                            (json_int_t)p.held_texts, "held_tokens", (json_int_t)p.held_tokens);
    for (size_t i = 0; out && i < sizeof tables / sizeof *tables; i++)
        if (fov_session_certificate(session, tables[i].place, 0, 0, &c))
            json_object_set_new(out, tables[i].name, pack_table(session, i, layers));
    return out;
}
