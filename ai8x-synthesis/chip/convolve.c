/* The sums of products, scaled (AI84 1.4, AI85 1.4). Dot products of 16-bit integers, which compilers turn into vector
 * code. */
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

/* Products of BLOCK kernels with one patch, which saves loads. A sum needs 25 bits at most on AI84 (AI84 1.3), 29 on
 * AI85 (AI85 1.4). */
static void multiply(const int16_t *restrict weights, const int16_t *restrict patch, uint32_t taps,
                     int32_t *restrict sums)
{
    const int16_t *second = weights + taps, *third = second + taps, *fourth = third + taps;
    int32_t a = 0, b = 0, c = 0, d = 0;

    for (uint32_t i = 0; i < taps; i++) {
        a += weights[i] * patch[i];
        b += second[i] * patch[i];
        c += third[i] * patch[i];
        d += fourth[i] * patch[i];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
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
    int32_t limit = 1 << 15, half = 1 << (right - 1), low = layer->relu ? 0 : -128;

    for (size_t i = 0; left && i < count; i++)
        values[i] = clip(values[i], -limit, limit) * (1 << left);
    for (size_t i = 0; i < count; i++)
        values[i] = clip((values[i] + half) >> right, low, 127);
    for (size_t i = 0; layer->absolute && i < count; i++)
        values[i] = clip(values[i] < 0 ? -values[i] : values[i], 0, 127);
}

/* Output row y of slots first to first + BLOCK - 1; those behind the last slot have kernels of zeros. */
static void convolve_block(const struct layer *layer, const struct work *work, uint32_t y, uint32_t first)
{
    uint32_t columns = layer->columns.output;
    size_t row = ((size_t)first * layer->rows.output + y) * columns, plane = (size_t)layer->rows.output * columns;

    for (uint32_t x = 0; x < columns; x++) {
        int32_t sums[BLOCK];

        multiply(work->weights + (size_t)first * work->taps, work->patches + (size_t)x * work->taps, work->taps, sums);
        for (uint32_t i = 0; i < BLOCK && first + i < layer->slots; i++)
            work->results[row + i * plane + x] = work->bias[first + i] + sums[i];
    }
    for (uint32_t i = 0; !layer->wide && i < BLOCK && first + i < layer->slots; i++)
        scale(layer, work->results + row + i * plane, columns);
}

void convolve(const struct layer *layer, struct work *work)
{
    for (uint32_t y = 0; y < layer->rows.output; y++) {
        fetch_patches(layer, work, y);
        for (uint32_t slot = 0; slot < layer->slots; slot += BLOCK)
            convolve_block(layer, work, y, slot);
    }
}
