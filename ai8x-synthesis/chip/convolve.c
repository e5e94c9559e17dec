/* The sums of products, scaled (AI84 1.4, AI85 1.4). A dot product of 16-bit integers per output value, which compilers turn into vector code. */
#include "work.h"

#include <string.h>

/* A kernel has one column or three; copies of a constant size become single instructions. */
static void copy_window(const struct layer *layer, const int16_t *restrict window, size_t width,
                        int16_t *restrict patch)
{
    if (layer->columns.kernel == 3)
        for (uint32_t i = 0; i < 3; i++)
            memcpy(patch + 3 * i, window + i * width, 3 * sizeof *patch);
    else
        for (uint32_t i = 0; i < layer->rows.kernel; i++)
            patch[i] = window[i * width];
}

/* The windows of all channels for every pixel of output row y. */
static void fetch_patches(const struct layer *layer, struct work *work, uint32_t y)
{
    for (uint32_t x = 0; x < layer->columns.output; x++)
        for (uint32_t c = 0; c < work->channels; c++)
            copy_window(layer, work->channel[c].plane + (size_t)y * work->width + x, work->width,
                        work->patches + (size_t)x * work->taps + c * work->size);
}

/* The sum needs 25 bits at most on AI84 (AI84 1.3), 29 on AI85 (AI85 1.4). */
static int32_t dot(const int16_t *restrict a, const int16_t *restrict b, uint32_t count)
{
    int32_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Times 2**shift / 128, rounding halves up, once; then saturation and activation. Sums that a left shift would lead out
 * of 32 bits saturate anyway. All compilers used shift negative values arithmetically. */
static void scale(const struct layer *layer, int32_t *restrict values, size_t count)
{
    uint32_t left = layer->shift > 0 ? (uint32_t)layer->shift : 0;
    uint32_t right = layer->shift < 0 ? (uint32_t)(7 - layer->shift) : 7;
    int32_t limit = left ? 1 << 15 : INT32_MAX, half = 1 << (right - 1), low = layer->relu ? 0 : -128;

    for (size_t i = 0; i < count; i++)
        values[i] = clip((clip(values[i], -limit, limit) * (1 << left) + half) >> right, low, 127);
    for (size_t i = 0; layer->absolute && i < count; i++)
        values[i] = clip(values[i] < 0 ? -values[i] : values[i], 0, 127);
}

/* All products of output row y. */
static void convolve_row(const struct layer *layer, const struct work *work, uint32_t y)
{
    uint32_t columns = layer->columns.output;

    for (uint32_t slot = 0; slot < layer->slots; slot++) {
        const int16_t *weights = work->weights + (size_t)slot * work->taps;
        int32_t *results = work->results + ((size_t)slot * layer->rows.output + y) * columns;

        for (uint32_t x = 0; x < columns; x++)
            results[x] = work->bias[slot] + dot(weights, work->patches + (size_t)x * work->taps, work->taps);
        if (!layer->wide)
            scale(layer, results, columns);
    }
}

void convolve(const struct layer *layer, struct work *work)
{
    for (uint32_t y = 0; y < layer->rows.output; y++) {
        fetch_patches(layer, work, y);
        convolve_row(layer, work, y);
    }
}
