/* Estimated clocks of a layer: AI85 14.1, without element-wise operations and streaming. */
#include "layer.h"

/* Clocks of fetching one pixel, for padding and for data. */
struct fetch_clocks {
    int64_t padding, data;
};

/* The four documented times of AI84 (appendix D) fit the formulas for AI85, if a pooled pixel takes two clocks more. */
static struct fetch_clocks fetch_clocks84(const struct layer *layer)
{
    int64_t window = (int64_t)layer->rows.window * layer->columns.window;

    return (struct fetch_clocks){.padding = 2, .data = window > 1 ? window + 3 : 2};
}

static struct fetch_clocks fetch_clocks85(const struct layer *layer, int64_t passes)
{
    int64_t window = (int64_t)layer->rows.window * layer->columns.window;

    return (struct fetch_clocks){.padding = 2 * passes, .data = passes * (window + 1)};
}

static uint64_t pass_through_cycles(const struct layer *layer)
{
    int64_t pixels = (int64_t)layer->rows.pooled * layer->columns.pooled;
    int64_t pooling = layer->rows.window > 1 || layer->columns.window > 1;
    int64_t passes = layer->passes > 1 && pooling ? 2 * (int64_t)layer->passes - 1 : (int64_t)layer->passes;

    return (uint64_t)(pixels * (fetch_clocks85(layer, passes).data + passes * (int64_t)layer->time_slots));
}

/* A row that costs `clocks` per column that the kernel reaches. */
static int64_t output_row(const struct layer *layer, int64_t padding, int64_t first, int64_t clocks)
{
    int64_t pad = layer->columns.pad, kernel = layer->columns.kernel, columns = layer->columns.output;

    return pad * padding + (kernel - 1 - pad) * first + (columns - pad) * clocks + pad * (padding - 1);
}

static uint64_t convolution_cycles(const struct layer *layer, struct fetch_clocks fetch)
{
    const struct axis *rows = &layer->rows, *columns = &layer->columns;
    int64_t p = fetch.padding, d = fetch.data, hidden = (int64_t)rows->kernel - 1 - rows->pad;
    int64_t slots = layer->slots, passes = layer->passes, pad = rows->pad;
    int64_t top = 2 * (int64_t)columns->pad * (p + 1) + columns->pooled * (p + 1);
    int64_t first = 2 * (int64_t)columns->pad * (p + 1) + columns->pooled * (d + 1);
    int64_t data = output_row(layer, p + 1, d + 1, d), bottom = output_row(layer, p + 1, p + 1, p);
    int64_t output = passes * columns->output * slots + (slots == 1 && passes == 1 ? slots : 0);

    return (uint64_t)(pad * top + hidden * first + (data + output) * ((int64_t)rows->pooled - hidden)
                      + pad * (bottom + output));
}

uint64_t cycles84(const struct layer *layer)
{
    return convolution_cycles(layer, fetch_clocks84(layer));
}

/* A flattened layer is one pixel with many passes here, which gives the same number, except that its rows are not
 * known: with a single output channel the model counts one more clock for each of them. */
uint64_t cycles85(const struct layer *layer)
{
    if (!layer->kernels)
        return pass_through_cycles(layer);
    return layer->flattened + convolution_cycles(layer, fetch_clocks85(layer, layer->passes));
}
