/* One layer as decoded from the registers: the same for all devices. */
#ifndef LAYER_H
#define LAYER_H

#include "model.h"

/* Pixels of a layer in one direction: pooling, then padding, then the kernel. Without pooling the window is 1. */
struct axis {
    uint32_t input, window, pooled, pad, kernel, output;
};

/* Where results go, in words: slot c (see per_expansion), row y and column x of the output are written to
 * pointer + c % per_expansion / 4 * quad_step + c / per_expansion * expansion_step + pixel * pixel_step, where pixel
 * counts row_gap words in front of every row; without kernels, the pass times pass_step is added. */
struct writing {
    uint32_t pointer[MAX_GROUPS]; /* with kernels, only that of the master */
    uint32_t quad_step, expansion_step, pixel_step, pass_step, row_gap;
    uint32_t per_expansion, stored; /* stored: slots; those behind the last output are 0 */
};

struct layer {
    uint32_t index, master;
    uint32_t participants, contributors; /* bit g: group g */
    uint32_t enabled[MAX_GROUPS];        /* bit p: processor p of the group */
    uint32_t kernels;                    /* 0: the pooled input is the output */
    struct axis rows, columns;
    uint32_t stride, max_pool, round_average;
    uint32_t chw, passes, read_pointer;
    uint32_t strict;     /* 1: an input byte without a value is a fault even if no output depends on it */
    uint32_t slots;      /* output channels, with dummies */
    uint32_t bits;       /* of a weight */
    uint32_t first_byte; /* of the kernels, in the byte stream of every processor (AI85 5.1) */
    uint32_t flattened;  /* more passes than the ordinary counter holds */
    uint32_t time_slots;
    int32_t bias_group;  /* -1: no bias */
    uint32_t first_bias, bias_shift;
    int32_t shift; /* results are sums * 2**shift / 128 */
    uint32_t relu, absolute, wide;
    struct writing writing;
};

/* decode84.c, decode85.c: the registers of layer->index, of the groups layer->participants. */
int32_t decode84(struct chip *chip, struct layer *layer);
int32_t decode85(struct chip *chip, struct layer *layer);

/* groups.c: what all devices decode alike. */
uint32_t layer_register(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t reg);
uint32_t register_address(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t reg);
int32_t decode_axis(struct chip *chip, const struct layer *layer, uint32_t reg, const char *direction, uint32_t maximum,
                    struct axis *axis);
int32_t decode_contributors(struct chip *chip, struct layer *layer);
int32_t decode_bias(struct chip *chip, struct layer *layer);
int32_t decode_enables(struct chip *chip, struct layer *layer);
uint32_t count_bits(uint32_t value);

/* run.c: computes one layer. */
int32_t run_layer(struct chip *chip, const struct layer *layer);

/* cycles.c: estimated clocks of one layer. */
uint64_t cycles84(const struct layer *layer);
uint64_t cycles85(const struct layer *layer);

#endif
