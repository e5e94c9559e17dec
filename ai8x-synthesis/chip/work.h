/* The intermediate results of one layer, shared by the steps that compute it. */
#ifndef WORK_H
#define WORK_H

#include "layer.h"

/* One enabled processor's input in one pass, pooled and padded. unknown tells the pixels that depend on a byte without
 * a value; state and origin are those of the first such byte (state VALID: there is none). */
struct channel {
    uint32_t processor, pass; /* processor: through all groups */
    uint32_t first;           /* word of data memory, through all instances */
    int16_t *plane;           /* [padded rows][padded columns] */
    uint8_t *unknown;         /* the same shape; 1: unknown */
    uint8_t state;
    struct origin origin;
};

/* What is missing for a slot: kernels or a bias that were never written; state VALID: nothing. */
struct missing {
    uint8_t state;
    struct origin origin;
};

struct work {
    struct channel *channel;
    uint32_t channels, size, taps; /* size: weights of a kernel; taps: size * channels, rounded up to VECTOR */
    uint32_t height, width;        /* padded */
    int16_t *planes;               /* all channels */
    uint8_t *unknown;              /* all channels */
    int16_t *weights;              /* [slot][taps]; room for BLOCK slots more */
    int16_t *patches;              /* [output column][taps] of one output row */
    int32_t *bias;                 /* [slot] */
    struct missing *missing;       /* [slot] */
    uint32_t any_unknown;          /* 1: a channel has unknown pixels */
    int32_t *results;              /* [slot][output row][output column] */
};

enum { VECTOR = 8, BLOCK = 4 };

/* fetch.c: lists the channels; reads, pools and pads their input. */
int32_t list_channels(struct chip *chip, const struct layer *layer, struct work *work);
int32_t fetch(struct chip *chip, const struct layer *layer, struct work *work);

/* kernels.c: reads kernels and biases. */
void fetch_kernels(const struct chip *chip, const struct layer *layer, struct work *work);
int32_t fetch_biases(struct chip *chip, const struct layer *layer, struct work *work);

/* convolve.c: sums, scaled unless the output is wide. */
void convolve(const struct layer *layer, struct work *work);

/* store.c */
int32_t check_writing(struct chip *chip, const struct layer *layer);
void store_results(struct chip *chip, const struct layer *layer, const struct work *work);
void store_planes(struct chip *chip, const struct layer *layer, const struct work *work);

#endif
