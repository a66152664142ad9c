/* A detector of @@NAME@@, by minirsed @@VERSION@@ (python -m minirsed.export).
 *
 *     static minirsed detector;                                  about @@RAM_KB@@ kB, so not on the stack
 *     minirsed_listener listener = {when_event, NULL, NULL};     functions of yours, see below
 *     minirsed_init(&detector);
 *     minirsed_push(&detector, samples, n, &listener);           as often as there is sound, any n
 *     minirsed_finish(&detector, &listener);                     where the sound has an end
 *
 * Samples are float in [-1, 1], mono, @@SAMPLE_RATE@@ Hz. Resample any other sound first: a detector that is given
 * another rate hears another sound.
 *
 * RAM    @@RAM@@ bytes, sizeof(minirsed); there is no other variable, and nothing is allocated
 * Flash  @@FLASH@@ bytes of constants: weights @@FLASH_WEIGHTS@@, tables @@FLASH_TABLES@@; and the code
 * Stack  at most @@STACK@@ bytes (all functions together, gcc -O2 -fstack-usage), without main and those of math.h
 *
 * @@HOW_IT_LISTENS@@
 *
 * It needs C99 and math.h. A program that reads raw PCM (16 bit, little endian, mono) from standard input is at the end:
 *
 *     cc -std=c99 -O2 -DMINIRSED_MAIN @@FILE@@ -lm -o detector
 *     ffmpeg -i recording.wav -f s16le -ac 1 -ar @@SAMPLE_RATE@@ - | ./detector
 *
 * @@HOW_TO_INCLUDE@@
 * Functions are `MINIRSED_API`: define it as `static` where two detectors are part of one program.
 *
@@ABOUT@@
 */

@@IMPLEMENTATION@@
#ifndef MINIRSED_H
#define MINIRSED_H

#include <stdint.h>

#ifndef MINIRSED_API
#define MINIRSED_API
#endif

/* ---- what it detects, and its sizes */

#define MINIRSED_LABEL "@@LABEL@@"
#define MINIRSED_SAMPLE_RATE @@SAMPLE_RATE@@
#define MINIRSED_THRES0 @@THRES0@@ /* an event if its p is above it: raise it for fewer false alarms */
#define MINIRSED_THRES1 @@THRES1@@ /* a frame is active if its p_t is above it */
#define MINIRSED_MIN_GAP_S @@MIN_GAP_S@@   /* seconds: events with a shorter pause between them are one */
#define MINIRSED_MIN_EVENT_S @@MIN_EVENT_S@@ /* shorter ones are none */

#define MR_JOINS @@JOINS@@ /* 1: an event waits for the next one, for MINIRSED_MIN_GAP_S at most */
#define MR_WIN @@WIN@@ /* samples in a frame */
#define MR_HOP @@HOP@@ /* samples from one frame to the next */
#define MR_N_FFT @@N_FFT@@
#define MR_HIGHEST_PEAK @@HIGHEST_PEAK@@ /* a sample beyond it, or none at all, counts as 0 */
#define MR_N_BANDS @@N_BANDS@@       /* mel bands that the network sees, the lowest of @@N_MELS@@ */
#define MR_POWER_FLOOR @@POWER_FLOOR@@ /* least power of a band */

#define MR_RELATIVE @@RELATIVE@@  /* inputs: 1: power of two frames relative to a running level; 0: log power */
#define MR_RATE @@RATE@@      /* frames in an input */
#define MR_STRONGEST @@STRONGEST@@ /* what becomes an event: 1: the segments whose evidence adds up; 0: runs of frames */

#define MR_AHEAD @@AHEAD@@    /* 1: the network looks ahead as well, in windows of 30 s; 0: frame by frame */
#define MR_POOLED @@POOLED@@   /* 1: neighbouring states are averaged after each layer (multires) */
#define MR_N_NETWORKS @@N_NETWORKS@@
#define MR_N_LAYERS @@N_LAYERS@@
#define MR_N_UNITS @@N_UNITS@@
#define MR_N_DIRECTIONS (1 + MR_AHEAD)
#define MR_N_STATES (MR_N_DIRECTIONS * MR_N_UNITS)

#define MR_CONTEXT @@CONTEXT@@ /* frames of 30 s */
#if MR_AHEAD
#define MR_CAPACITY @@CAPACITY@@ /* frames that are kept: those of a window, and some more at the end of a recording */
#else
#define MR_CAPACITY MR_RATE
#endif
#define MR_N_INPUTS (MR_CAPACITY / MR_RATE)

typedef struct {
    double onset_s, offset_s; /* from the first sample on */
    float probability;        /* p, above MINIRSED_THRES0 */
} minirsed_event;

typedef struct { /* any of the functions may be NULL */
    void (*on_event)(void *user, const minirsed_event *event);
    void (*on_frame)(void *user, int64_t frame, float p_t); /* frame t covers samples from t * MR_HOP on */
    void *user;                                             /* is handed on to both */
} minirsed_listener;

typedef struct { /* nothing in it is yours to change; one for each stream of sound */
    double level_above, level_below; /* running level of the inputs, MR_AHEAD 0 */
    double total, peak;              /* evidence of the segment in work, MR_STRONGEST 1 */
    double fading, strength;         /* the same, but it fades; and its peak */
#if MR_JOINS
    double waiting_onset_s, waiting_offset_s, waiting_p; /* the event that waits; p 0: none does */
#endif
    int64_t n_frames, n_settled;     /* frames heard; frames with a p_t */
    int64_t start, end;              /* frames of the segment in work; MR_STRONGEST 0: those that wait, are decided */
    int64_t last;                    /* frame where the segment before has ended, MR_STRONGEST 1 */
    int64_t window, logits_of;       /* first frame of the next window; that of the last one */
    int64_t history_of;              /* first frame of `history` */
    int32_t n_samples, n_logits;     /* in `samples`; frames of the last window */
    float samples[MR_WIN];
    float spectrum[MR_N_FFT];
    float bands[MR_N_BANDS], x[MR_N_BANDS]; /* of one frame */
    float held[MR_N_BANDS], alone[MR_N_BANDS]; /* first frame of a pair; the one without another in a window */
    float inputs[MR_N_INPUTS][MR_N_BANDS]; /* a ring */
    float level[MR_N_INPUTS], logits[MR_N_INPUTS];
    float gates[3 * MR_N_UNITS], sums[3 * MR_N_UNITS];
#if MR_AHEAD /* states of a layer, of the next layer, and of the unit in work */
    float states[(MR_N_INPUTS + MR_POOLED) / (1 + MR_POOLED)][MR_N_STATES];
    float next_states[(MR_N_INPUTS + 3 * MR_POOLED) / (1 + 3 * MR_POOLED)][MR_N_STATES];
    float h[MR_N_UNITS];
#else
    float states[MR_N_NETWORKS][MR_N_LAYERS][MR_N_UNITS];
#endif
#if !MR_STRONGEST
    float history[3 * MR_CONTEXT]; /* logits of the last frames */
#endif
} minirsed;

#define MINIRSED_RAM @@RAM@@
typedef char minirsed_ram_is_as_stated[sizeof(minirsed) == MINIRSED_RAM ? 1 : -1];

MINIRSED_API void minirsed_init(minirsed *d);
MINIRSED_API void minirsed_push(minirsed *d, const float *samples, int32_t n, const minirsed_listener *listener);
MINIRSED_API void minirsed_finish(minirsed *d, const minirsed_listener *listener); /* then `minirsed_init` again */

#endif /* MINIRSED_H */

#ifdef MINIRSED_IMPLEMENTATION

#include <math.h>

/* MINIRSED_LIVE 1: a window every 1.1 s, and events 2 to 4 s after their end; 0: a window every 15 s, a thirteenth of
 * the work, the same p_t as `minirsed.detect FILE`. Of no effect where MR_AHEAD is 0. */
#ifndef MINIRSED_LIVE
#define MINIRSED_LIVE 0
#endif

/* ---- constants */

static const float mr_window[MR_WIN] = {@@WINDOW@@};
static const float mr_cosine[MR_N_FFT] = {@@COSINE@@}; /* of 2 pi k / MR_N_FFT */
static const int16_t mr_first_bin[MR_N_BANDS] = {@@FIRST_BIN@@};
static const int16_t mr_n_bins[MR_N_BANDS] = {@@N_BINS@@};
static const float mr_bank[@@N_BANK@@] = {@@BANK@@}; /* weights of the bins of one band after another */
#if MR_RELATIVE
static const float mr_width[MR_N_BANDS] = {@@WIDTH@@}; /* of each band; their sum is 1 */
#endif
static const float mr_mean[MR_N_BANDS] = {@@MEAN@@};
static const float mr_std[MR_N_BANDS] = {@@STD@@};

/* Of each network, each of its layers, each direction: W (inputs, 3 units), then U (units, 3 units), row by row;
 * columns are [update gate z | reset gate r | candidate c]. */
#define MR_INT8 @@INT8@@
#if MR_INT8
typedef int8_t mr_weight;
#else
typedef float mr_weight;
#endif
#define MR_N_FIRST (3 * MR_N_UNITS * (MR_N_BANDS + MR_N_UNITS))  /* numbers of the first layer, a direction */
#define MR_N_LATER (3 * MR_N_UNITS * (MR_N_STATES + MR_N_UNITS)) /* those of the others */
#define MR_N_NETWORK (MR_N_DIRECTIONS * (MR_N_FIRST + (MR_N_LAYERS - 1) * MR_N_LATER))
#define MR_N_GRUS (MR_N_NETWORKS * MR_N_LAYERS * MR_N_DIRECTIONS)
static const mr_weight mr_weights[MR_N_NETWORKS * MR_N_NETWORK] = {@@WEIGHTS@@};
static const float mr_biases[MR_N_GRUS][3 * MR_N_UNITS] = {@@BIASES@@};
#if MR_INT8 /* what the columns of W, then those of U are multiplied by */
static const float mr_scales[2 * MR_N_GRUS][3 * MR_N_UNITS] = {@@SCALES@@};
#endif
static const float mr_head[MR_N_NETWORKS][MR_N_STATES] = {@@HEAD@@};

#define MINIRSED_FLASH @@FLASH@@
typedef char minirsed_flash_is_as_stated
    [sizeof mr_window + sizeof mr_cosine + sizeof mr_first_bin + sizeof mr_n_bins + sizeof mr_bank + sizeof mr_mean +
                     sizeof mr_std + sizeof mr_weights + sizeof mr_biases + sizeof mr_head
#if MR_RELATIVE
                     + sizeof mr_width
#endif
#if MR_INT8
                     + sizeof mr_scales
#endif
                 == MINIRSED_FLASH
         ? 1
         : -1];

/* ---- small things */

static void mr_zero(float *y, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        y[i] = 0.0f;
    }
}

static void mr_copy(float *to, const float *from, int32_t n) /* `to` may lie before `from` in one array */
{
    int32_t i;
    for (i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static float mr_sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* ---- features: minirsed/features.py */

/* Power of the bins of n real numbers s, n = MR_N_FFT, in place; that of bin k comes to lie in s[2 k].
 * They are the n / 2 complex numbers z_j = s_2j + i s_2j+1, whose FFT tells the spectra of even and odd samples apart. */
static void mr_power_spectrum(float *s)
{
    const int32_t n = MR_N_FFT, half_n = MR_N_FFT / 2, mask = MR_N_FFT - 1;
    int32_t i, j, k, size;
    for (i = 0, j = 0; i < half_n; i++) { /* numbers with reversed bits change places */
        int32_t bit = half_n >> 1;
        if (i < j) {
            const float re = s[2 * i], im = s[2 * i + 1];
            s[2 * i] = s[2 * j];
            s[2 * i + 1] = s[2 * j + 1];
            s[2 * j] = re;
            s[2 * j + 1] = im;
        }
        while (bit > 0 && (j & bit) != 0) {
            j &= ~bit;
            bit >>= 1;
        }
        j |= bit;
    }
    for (size = 2; size <= half_n; size *= 2) {
        const int32_t step = n / size;
        for (j = 0; j < size / 2; j++) {
            const float c = mr_cosine[j * step], minus_s = mr_cosine[(j * step + n / 4) & mask];
            for (i = j; i < half_n; i += size) {
                float *a = s + 2 * i, *b = s + 2 * i + size;
                const float re = b[0] * c - b[1] * minus_s, im = b[0] * minus_s + b[1] * c;
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
    s[0] = (s[0] + s[1]) * (s[0] + s[1]);
    for (k = 1; k <= half_n / 2; k++) {
        float *a = s + 2 * k, *b = s + 2 * (half_n - k);
        const float c = mr_cosine[k], minus_s = mr_cosine[k + n / 4];
        const float even_re = 0.5f * (a[0] + b[0]), even_im = 0.5f * (a[1] - b[1]);
        const float odd_re = 0.5f * (a[1] + b[1]), odd_im = 0.5f * (b[0] - a[0]);
        const float re = odd_re * c - odd_im * minus_s, im = odd_re * minus_s + odd_im * c;
        a[0] = (even_re + re) * (even_re + re) + (even_im + im) * (even_im + im);
        b[0] = (even_re - re) * (even_re - re) + (even_im - im) * (even_im - im);
    }
}

/* `bands` of the frame in `samples`: power, at least MR_POWER_FLOOR. */
static void mr_band_power(minirsed *d)
{
    const float *weight = mr_bank;
    float *s = d->spectrum;
    int32_t i, m, k;
    for (i = 0; i < MR_WIN; i++) {
        s[i] = mr_window[i] * d->samples[i];
    }
    mr_zero(s + MR_WIN, MR_N_FFT - MR_WIN);
    mr_power_spectrum(s);
    for (m = 0; m < MR_N_BANDS; m++) {
        float power = 0.0f;
        for (k = 0; k < mr_n_bins[m]; k++) {
            power += *weight++ * s[2 * (mr_first_bin[m] + k)];
        }
        d->bands[m] = power > MR_POWER_FLOOR ? power : MR_POWER_FLOOR;
    }
}

/* ---- inputs: minirsed/listening/inputs.py */

#if MR_RELATIVE
/* M_i, the running level after the power P of a frame; `above` and `below` are its numerator and denominator. */
static float mr_running_level(double *above, double *below, const float *P)
{
    double level = 0.0;
    int32_t m;
    for (m = 0; m < MR_N_BANDS; m++) {
        level += (double)(mr_width[m] * P[m]);
    }
    *above = level + @@FORGET@@ * *above;
    *below = 1.0 + @@FORGET@@ * *below;
    return (float)(*above / *below);
}
#endif

/* x, normalised, of the power P of a frame and the level M. */
static void mr_normalise(float *x, const float *P, float M)
{
    int32_t m;
    for (m = 0; m < MR_N_BANDS; m++) {
#if MR_RELATIVE
        x[m] = (logf(P[m] / M + @@RELATIVE_FLOOR@@) - mr_mean[m]) / mr_std[m];
#else
        (void)M;
        x[m] = (logf(P[m]) - mr_mean[m]) / mr_std[m];
#endif
    }
}

/* ---- the network: minirsed/gru.py, multires.py, attention.py */

typedef struct { /* one layer in one direction */
    int32_t n_inputs, number;
    const mr_weight *W, *U;
} mr_gru;

static mr_gru mr_gru_of(int32_t network, int32_t layer, int32_t direction)
{
    mr_gru gru;
    int32_t first = network * MR_N_NETWORK;
    gru.n_inputs = layer == 0 ? MR_N_BANDS : MR_N_STATES;
    gru.number = (network * MR_N_LAYERS + layer) * MR_N_DIRECTIONS + direction;
    first += layer == 0 ? direction * MR_N_FIRST
                        : MR_N_DIRECTIONS * (MR_N_FIRST + (layer - 1) * MR_N_LATER) + direction * MR_N_LATER;
    gru.W = mr_weights + first;
    gru.U = gru.W + 3 * MR_N_UNITS * gru.n_inputs;
    return gru;
}

/* y += x M for n_columns columns, from `first` on, of the matrix M of n rows; int8: `sums` is for those of its numbers,
 * and the columns are still to be multiplied by their scale. */
static void mr_add_product(float *restrict y, const float *restrict x, int32_t n, const mr_weight *restrict M,
                           int32_t first, int32_t n_columns, float *restrict sums, const float *restrict scale)
{
    float *to = MR_INT8 ? sums : y;
    int32_t i, j;
    if (MR_INT8) {
        mr_zero(sums, n_columns);
    }
    for (i = 0; i < n; i++) {
        const mr_weight *row = M + 3 * MR_N_UNITS * i + first;
        const float x_i = x[i];
        for (j = 0; j < n_columns; j++) {
            to[j] += x_i * (float)row[j];
        }
    }
    if (MR_INT8) {
        for (j = 0; j < n_columns; j++) {
            y[j] += scale[first + j] * sums[j];
        }
    }
}

/* h, after a frame x of the layer's inputs. */
static void mr_gru_step(minirsed *d, const mr_gru *gru, const float *x, float *h)
{
    float *z = d->gates, *r = z + MR_N_UNITS, *c = r + MR_N_UNITS;
#if MR_INT8
    const float *W_scale = mr_scales[2 * gru->number], *U_scale = W_scale + 3 * MR_N_UNITS;
#else
    const float *W_scale = mr_biases[0], *U_scale = mr_biases[0]; /* not used */
#endif
    int32_t j;
    mr_copy(z, mr_biases[gru->number], 3 * MR_N_UNITS);
    mr_add_product(z, x, gru->n_inputs, gru->W, 0, 3 * MR_N_UNITS, d->sums, W_scale);
    mr_add_product(z, h, MR_N_UNITS, gru->U, 0, 2 * MR_N_UNITS, d->sums, U_scale);
    for (j = 0; j < MR_N_UNITS; j++) {
        z[j] = mr_sigmoid(z[j]);
        r[j] = mr_sigmoid(r[j]) * h[j];
    }
    mr_add_product(c, r, MR_N_UNITS, gru->U, 2 * MR_N_UNITS, MR_N_UNITS, d->sums, U_scale);
    for (j = 0; j < MR_N_UNITS; j++) {
        h[j] = z[j] * h[j] + (1.0f - z[j]) * tanhf(c[j]);
    }
}

static float mr_head_logit(int32_t network, const float *h)
{
    float e = 0.0f;
    int32_t k;
    for (k = 0; k < MR_N_STATES; k++) {
        e += mr_head[network][k] * h[k];
    }
    return e;
}

/* ---- what becomes of events: minirsed/listening/operating.py */

#define MR_ROUNDING_S @@ROUNDING_S@@
#define MR_LONGEST_S @@LONGEST_S@@ /* of events that have been joined */

/* Seconds of the boundary before a frame: halfway between its middle and that of the frame before it. */
static double mr_seconds(int64_t frame)
{
    return ((double)frame * MR_HOP + 0.5 * (MR_WIN - MR_HOP)) / MINIRSED_SAMPLE_RATE;
}

static void mr_report(double onset_s, double offset_s, double p, const minirsed_listener *listener)
{
    if (offset_s - onset_s >= MINIRSED_MIN_EVENT_S - MR_ROUNDING_S && listener->on_event) {
        minirsed_event event;
        event.onset_s = onset_s;
        event.offset_s = offset_s;
        event.probability = (float)p; /* may round to 1 where p is above a threshold close to 1 */
        listener->on_event(listener->user, &event);
    }
}

#if MR_JOINS
static void mr_waiting_ends(minirsed *d, const minirsed_listener *listener)
{
    if (d->waiting_p > 0.0) {
        mr_report(d->waiting_onset_s, d->waiting_offset_s, d->waiting_p, listener);
        d->waiting_p = 0.0;
    }
}
#endif

/* No event to come begins before `frame`. */
static void mr_none_before(minirsed *d, int64_t frame, const minirsed_listener *listener)
{
#if MR_JOINS
    if (mr_seconds(frame) - d->waiting_offset_s >= MINIRSED_MIN_GAP_S - MR_ROUNDING_S) {
        mr_waiting_ends(d, listener);
    }
#else
    (void)d, (void)frame, (void)listener;
#endif
}

/* A candidate, in the order of time. */
static void mr_tell(minirsed *d, int64_t onset_frame, int64_t offset_frame, double p, const minirsed_listener *listener)
{
    const double onset_s = mr_seconds(onset_frame), offset_s = mr_seconds(offset_frame);
    if (!(p > MINIRSED_THRES0)) {
        return;
    }
#if MR_JOINS
    if (d->waiting_p > 0.0 && onset_s - d->waiting_offset_s < MINIRSED_MIN_GAP_S - MR_ROUNDING_S &&
        offset_s - d->waiting_onset_s <= MR_LONGEST_S) {
        d->waiting_offset_s = offset_s;
        d->waiting_p = p > d->waiting_p ? p : d->waiting_p;
    } else {
        mr_waiting_ends(d, listener);
        d->waiting_onset_s = onset_s;
        d->waiting_offset_s = offset_s;
        d->waiting_p = p;
    }
#else
    (void)d;
    mr_report(onset_s, offset_s, p, listener);
#endif
}

/* ---- events: minirsed/recordings/event_finder.py */

#if MR_STRONGEST
#define MR_EVIDENCE @@EVIDENCE@@
#define MR_MOST @@MOST_A_FRAME@@ /* of evidence, a frame */
#define MR_LEAD @@LEAD@@ /* frames that are reported before a segment */
#define MR_KEPT @@KEPT@@ /* of evidence from one frame to the next; 1: it does not fade */

static int64_t mr_first(const minirsed *d, int64_t frame)
{
    return frame - MR_LEAD > d->last ? frame - MR_LEAD : d->last;
}

static void mr_segment_ends(minirsed *d, const minirsed_listener *listener)
{
    mr_tell(d, mr_first(d, d->start), d->end, 1.0 - exp(-d->strength * @@LN2@@ / MR_EVIDENCE), listener);
    d->last = d->peak > 0.0 ? d->end : d->last;
    d->total = d->peak = d->fading = d->strength = 0.0;
    d->start = d->end = d->n_settled;
}

static void mr_find(minirsed *d, float logit, const minirsed_listener *listener)
{
    const double evidence = logit > MR_MOST ? MR_MOST : logit < -MR_MOST ? -MR_MOST : (double)logit;
    if (d->total <= 0.0 || d->total <= d->peak - MR_EVIDENCE || d->n_settled - d->start >= MR_CONTEXT) {
        mr_segment_ends(d, listener);
    }
    d->total += evidence - (@@BIAS@@);
    d->fading = MR_KEPT * (d->fading > 0.0 ? d->fading : 0.0) + evidence - (@@BIAS@@);
    d->strength = d->fading > d->strength ? d->fading : d->strength;
    d->n_settled++;
    if (d->total > d->peak) {
        d->peak = d->total;
        d->end = d->n_settled;
    }
    mr_none_before(d, mr_first(d, d->peak > 0.0 ? d->start : d->n_settled), listener);
}

static void mr_find_last(minirsed *d, const minirsed_listener *listener)
{
    mr_segment_ends(d, listener);
}
#else
#define MR_GAP @@GAP@@ /* inactive frames that end a candidate */
#if MR_AHEAD && !MINIRSED_LIVE
#define MR_WAITS 1 /* for the 15 s that follow a candidate */
#else
#define MR_WAITS 0
#endif

static int mr_is_active(const minirsed *d, int64_t frame)
{
    return mr_sigmoid(d->history[frame - d->history_of]) > MINIRSED_THRES1;
}

/* The first frame from `frame` on, before n_settled, that is active or, with is_active 0, is not. */
static int64_t mr_next(const minirsed *d, int64_t frame, int is_active)
{
    while (frame < d->n_settled && mr_is_active(d, frame) != is_active) {
        frame++;
    }
    return frame;
}

/* p of the 30 s before `end`, without the active frames outside of [first, last): sum p_t e_t / sum p_t as a logit. */
static double mr_probability(const minirsed *d, int64_t first, int64_t last, int64_t end)
{
    const int64_t begin = end - MR_CONTEXT > d->history_of ? end - MR_CONTEXT : d->history_of;
    double most = -HUGE_VAL, above = 0.0, below = 0.0;
    int64_t frame;
    int pass;
    for (pass = 0; pass < 2; pass++) { /* the first finds the largest log p_t, for sums that cannot underflow */
        for (frame = begin; frame < end; frame++) {
            const double e = (double)d->history[frame - d->history_of];
            const double log_p = e > 0.0 ? -log1p(exp(-e)) : e - log1p(exp(e));
            if ((frame < first || frame >= last) && mr_is_active(d, frame)) {
                continue;
            }
            if (pass == 0) {
                most = log_p > most ? log_p : most;
            } else {
                above += exp(log_p - most) * e;
                below += exp(log_p - most);
            }
        }
    }
    return 1.0 / (1.0 + exp(-above / below));
}

/* Candidates that have become certain. `start` is where the first undecided one may begin, `end` what is decided. */
static void mr_settle(minirsed *d, int is_last, const minirsed_listener *listener)
{
    for (;;) {
        const int64_t first = mr_next(d, d->start > d->end ? d->start : d->end, 1), cut = first + MR_CONTEXT;
        int64_t onset = first, offset = first, last = first, run = first, end;
        d->start = first;
        if (first == d->n_settled) {
            return;
        }
        for (;;) { /* runs that belong together; the longest is the event */
            const int64_t stop = mr_next(d, run, 0);
            last = stop < cut ? stop : cut;
            if (last - run > offset - onset) {
                onset = run;
                offset = last;
            }
            run = stop >= cut ? d->n_settled : mr_next(d, stop, 1);
            if (run == d->n_settled || run >= last + MR_GAP || run >= cut) {
                break;
            }
        }
        end = last + MR_GAP;
        if (MR_WAITS) {
            end = (onset + offset + MR_CONTEXT + 1) / 2;
            end = end > last ? end : last;
            end = end > MR_CONTEXT ? end : MR_CONTEXT;
        }
        if (!is_last && (d->n_settled < end || d->n_settled < last + MR_GAP)) {
            return;
        }
        d->end = last;
        mr_tell(d, onset, offset, mr_probability(d, first, last, end < d->n_settled ? end : d->n_settled), listener);
    }
}

static void mr_find(minirsed *d, float logit, const minirsed_listener *listener)
{
    const int32_t n = (int32_t)(d->n_settled - d->history_of);
    if (n == 3 * MR_CONTEXT) { /* 30 s before what is undecided are enough */
        const int32_t n_old = (int32_t)(d->start - MR_CONTEXT - d->history_of);
        mr_copy(d->history, d->history + n_old, n - n_old);
        d->history_of += n_old;
    }
    d->history[d->n_settled - d->history_of] = logit;
    d->n_settled++;
    mr_settle(d, 0, listener);
    mr_none_before(d, d->start, listener);
}

static void mr_find_last(minirsed *d, const minirsed_listener *listener)
{
    mr_settle(d, 1, listener);
}
#endif

/* The next frame has this logit. */
static void mr_frame_is(minirsed *d, float logit, const minirsed_listener *listener)
{
    if (listener->on_frame) {
        listener->on_frame(listener->user, d->n_settled, mr_sigmoid(logit));
    }
    mr_find(d, logit, listener);
}

/* ---- frames in order: minirsed/recordings/windows.py, streaming.py */

#if MR_AHEAD

static float *mr_input_at(minirsed *d, int64_t frame)
{
    return d->inputs[frame / MR_RATE % MR_N_INPUTS];
}

/* One layer over n frames. Input i of the first layer lies in the ring, from frame `window` on. */
static void mr_layer(minirsed *d, int32_t network, int32_t layer, int64_t window, int32_t n, float (*from)[MR_N_STATES],
                     float (*to)[MR_N_STATES])
{
    const int32_t pair = 1 + MR_POOLED;
    int32_t direction, i, j;
    for (i = 0; i < (n + pair - 1) / pair; i++) {
        mr_zero(to[i], MR_N_STATES);
    }
    for (direction = 0; direction < MR_N_DIRECTIONS; direction++) {
        const mr_gru gru = mr_gru_of(network, layer, direction);
        mr_zero(d->h, MR_N_UNITS);
        for (i = 0; i < n; i++) {
            const int32_t t = direction == 0 ? i : n - 1 - i;
            const float share = MR_POOLED && (t ^ 1) < n ? 0.5f : 1.0f; /* an odd last frame stands alone */
            float *s = to[t / pair] + direction * MR_N_UNITS;
            if (layer == 0) {
                mr_normalise(d->x, mr_input_at(d, window + (int64_t)t * MR_RATE), d->level[t]);
            }
            mr_gru_step(d, &gru, layer == 0 ? d->x : from[t], d->h);
            for (j = 0; j < MR_N_UNITS; j++) {
                s[j] += share * d->h[j];
            }
        }
    }
}

/* `logits` of the n_frames frames from `window` on. The logit is linear in the states, so that of h_t = sum_l s^l_t is
 * the sum of those of the s^l: no layer has to be kept. */
static void mr_run(minirsed *d, int64_t window, int32_t n_frames)
{
    const int32_t n_inputs = (n_frames + MR_RATE - 1) / MR_RATE;
    int32_t network, layer, t;
#if MR_RELATIVE
    double above = 0.0, below = 0.0;
    for (t = 0; t < n_inputs; t++) {
        d->level[t] = mr_running_level(&above, &below, mr_input_at(d, window + (int64_t)t * MR_RATE));
    }
#endif
    mr_zero(d->logits, n_inputs);
    for (network = 0; network < MR_N_NETWORKS; network++) {
        int32_t n = n_inputs;
        for (layer = 0; layer < MR_N_LAYERS; layer++) {
            float(*from)[MR_N_STATES] = layer % 2 ? d->states : d->next_states;
            float(*to)[MR_N_STATES] = layer % 2 ? d->next_states : d->states;
            const int32_t shift = MR_POOLED * (layer + 1);
            mr_layer(d, network, layer, window, n, from, to);
            n = MR_POOLED ? (n + 1) / 2 : n;
            if (MR_POOLED || layer == MR_N_LAYERS - 1) {
                for (t = 0; t < n_inputs; t++) {
                    d->logits[t] += mr_head_logit(network, to[t >> shift]);
                }
            }
        }
    }
    d->logits_of = window;
    d->n_logits = n_frames;
}

/* The frames before `frame` that have no p_t yet have it from the last window. */
static void mr_settle_until(minirsed *d, int64_t frame, const minirsed_listener *listener)
{
    while (d->n_settled < frame) {
        mr_frame_is(d, d->logits[(d->n_settled - d->logits_of) / MR_RATE], listener);
    }
}

#if MINIRSED_LIVE
#define MR_STEP @@LIVE_STEP@@   /* frames from one window to the next */
#define MR_DELAY @@LIVE_DELAY@@  /* frames that a p_t waits for what follows */
#define MR_LONGEST (MR_CONTEXT / MR_STEP * MR_STEP)

static void mr_after_frame(minirsed *d, const minirsed_listener *listener)
{
    if (d->n_frames % MR_STEP == 0) {
        const int64_t window = d->n_frames > MR_LONGEST ? d->n_frames - MR_LONGEST : 0;
        if (d->n_frames - MR_DELAY > d->n_settled) {
            mr_run(d, window, (int32_t)(d->n_frames - window));
            mr_settle_until(d, d->n_frames - MR_DELAY, listener);
        }
    }
}

static void mr_after_last_frame(minirsed *d, const minirsed_listener *listener)
{
    const int64_t window = d->n_frames / MR_STEP * MR_STEP - MR_LONGEST;
    if (d->n_frames > d->n_settled) {
        mr_run(d, window > 0 ? window : 0, (int32_t)(d->n_frames - (window > 0 ? window : 0)));
        mr_settle_until(d, d->n_frames, listener);
    }
}
#else
#define MR_STEP @@STEP@@      /* frames from one window to the next */
#define MR_ALIGNMENT @@ALIGNMENT@@  /* the last one, too, starts at a multiple of it */

/* A frame is taken from the window in whose middle it lies: seams are halfway through the overlaps. */
static void mr_next_window(minirsed *d, int64_t window, int32_t n_frames, const minirsed_listener *listener)
{
    if (d->n_logits > 0) {
        mr_settle_until(d, (window + d->logits_of + d->n_logits) / 2, listener);
    }
    mr_run(d, window, n_frames);
}

static void mr_exchange(float *a, float *b)
{
    int32_t m;
    for (m = 0; m < MR_N_BANDS; m++) {
        const float a_m = a[m];
        a[m] = b[m];
        b[m] = a_m;
    }
}

static void mr_after_frame(minirsed *d, const minirsed_listener *listener)
{
    float *last = mr_input_at(d, d->window + MR_CONTEXT - 1);
    if (d->n_frames == d->window + MR_CONTEXT) { /* the last frame of a window stands without the other of its pair */
        mr_copy(d->alone, d->bands, MR_N_BANDS);
    }
    if (d->n_frames < d->window + MR_CONTEXT + MR_ALIGNMENT) {
        return; /* it might be the last window, and longer */
    }
    mr_exchange(d->alone, last);
    mr_next_window(d, d->window, MR_CONTEXT, listener);
    mr_exchange(d->alone, last);
    d->window += MR_STEP;
}

static void mr_after_last_frame(minirsed *d, const minirsed_listener *listener)
{
    const int64_t too_many = d->n_frames > MR_CONTEXT ? d->n_frames - MR_CONTEXT : 0;
    const int64_t window = too_many / MR_ALIGNMENT * MR_ALIGNMENT;
    if (d->n_frames > 0) {
        mr_next_window(d, window, (int32_t)(d->n_frames - window), listener);
        mr_settle_until(d, d->n_frames, listener);
    }
}
#endif

static void mr_input(minirsed *d, const float *P)
{
    mr_copy(mr_input_at(d, d->n_frames - 1), P, MR_N_BANDS);
}

#else /* frame by frame */

/* Power P of the input that ends with the frame n_frames; states are handed on from one to the next. */
static void mr_input(minirsed *d, const float *P)
{
    mr_copy(d->inputs[0], P, MR_N_BANDS);
}

static void mr_step(minirsed *d, const minirsed_listener *listener)
{
    float level = 1.0f, logit = 0.0f;
    int32_t network, layer;
#if MR_RELATIVE
    level = mr_running_level(&d->level_above, &d->level_below, d->inputs[0]);
#endif
    mr_normalise(d->x, d->inputs[0], level);
    for (network = 0; network < MR_N_NETWORKS; network++) {
        const float *x = d->x;
        for (layer = 0; layer < MR_N_LAYERS; layer++) {
            const mr_gru gru = mr_gru_of(network, layer, 0);
            mr_gru_step(d, &gru, x, d->states[network][layer]);
            x = d->states[network][layer];
        }
        logit += mr_head_logit(network, x);
    }
    while (d->n_settled < d->n_frames) {
        mr_frame_is(d, logit, listener);
    }
}

static void mr_after_frame(minirsed *d, const minirsed_listener *listener)
{
    if (d->n_frames % MR_RATE == 0) {
        mr_step(d, listener);
    }
}

static void mr_after_last_frame(minirsed *d, const minirsed_listener *listener)
{
    if (d->n_frames > d->n_settled) {
        mr_step(d, listener);
    }
}
#endif

/* The frame in `samples`. Where an input is a pair of frames, its power is their mean; an odd last one stands alone. */
static void mr_frame(minirsed *d, const minirsed_listener *listener)
{
    const int is_second = MR_RATE == 2 && d->n_frames % 2 == 1;
    int32_t m;
    mr_band_power(d);
    d->n_frames++;
    for (m = 0; m < MR_N_BANDS; m++) {
        d->x[m] = is_second ? 0.5f * (d->held[m] + d->bands[m]) : d->bands[m];
    }
    mr_copy(d->held, d->bands, MR_N_BANDS);
    mr_input(d, d->x);
    mr_after_frame(d, listener);
}

/* ---- what others call */

MINIRSED_API void minirsed_init(minirsed *d)
{
    unsigned char *bytes = (unsigned char *)d;
    uint32_t i;
    for (i = 0; i < (uint32_t)sizeof *d; i++) {
        bytes[i] = 0;
    }
}

MINIRSED_API void minirsed_push(minirsed *d, const float *samples, int32_t n, const minirsed_listener *listener)
{
    int32_t i;
    for (i = 0; i < n; i++) {
        const int is_sound = samples[i] >= -MR_HIGHEST_PEAK && samples[i] <= MR_HIGHEST_PEAK; /* NaN is not */
        d->samples[d->n_samples++] = is_sound ? samples[i] : 0.0f;
        if (d->n_samples == MR_WIN) {
            mr_frame(d, listener);
            d->n_samples -= MR_HOP;
            mr_copy(d->samples, d->samples + MR_HOP, d->n_samples);
        }
    }
}

MINIRSED_API void minirsed_finish(minirsed *d, const minirsed_listener *listener)
{
    if (d->n_frames == 0 && d->n_samples > 0) { /* shorter than a frame: zeros follow */
        mr_zero(d->samples + d->n_samples, MR_WIN - d->n_samples);
        mr_frame(d, listener);
    }
    mr_after_last_frame(d, listener);
    mr_find_last(d, listener);
#if MR_JOINS
    mr_waiting_ends(d, listener);
#endif
}

/* ---- an example: raw PCM from standard input, a line for each event; with `-p` one for each frame as well */

#ifdef MINIRSED_MAIN

#include <stdio.h>

static void print_event(void *user, const minirsed_event *event)
{
    (void)user;
    printf("%.3f\t%.3f\t%s\t%.4f\n", event->onset_s, event->offset_s, MINIRSED_LABEL, (double)event->probability);
    fflush(stdout);
}

static void print_frame(void *user, int64_t frame, float p_t)
{
    (void)user;
    printf("frame %ld p_t %.7f\n", (long)frame, (double)p_t);
}

int main(int argc, char **argv)
{
    static minirsed detector;
    static unsigned char bytes[2 * 4096];
    static float samples[4096];
    minirsed_listener listener = {print_event, NULL, NULL};
    size_t n, i, n_left = 0;

    if (argc > 1 && argv[1][0] == '-' && argv[1][1] == 'p') {
        listener.on_frame = print_frame;
    }
    fprintf(stderr, "%s: RAM %lu bytes, flash %lu bytes of constants\n", MINIRSED_LABEL,
            (unsigned long)sizeof detector, (unsigned long)MINIRSED_FLASH);
    minirsed_init(&detector);
    while ((n = fread(bytes + n_left, 1, sizeof bytes - n_left, stdin)) > 0) {
        n += n_left;
        for (i = 0; i < n / 2; i++) {
            const int32_t value = bytes[2 * i] | bytes[2 * i + 1] << 8;
            samples[i] = (float)(value < 32768 ? value : value - 65536) / 32768.0f;
        }
        minirsed_push(&detector, samples, (int32_t)(n / 2), &listener);
        n_left = n % 2;
        bytes[0] = bytes[n - 1];
    }
    minirsed_finish(&detector, &listener);
    return 0;
}

#endif /* MINIRSED_MAIN */
#endif /* MINIRSED_IMPLEMENTATION */
