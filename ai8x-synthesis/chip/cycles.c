/* Estimated clocks of a layer. */
#include "layer.h"

/* AI84 appendix D: one clock per mask and output pixel, two per padded input pixel, one per pooling read. It is 85,152
 * for the documented CIFAR-10 network, 0.6 % less than the 85,664 clocks of the RTL simulation. */
uint64_t cycles84(const struct layer *layer)
{
    const struct axis *rows = &layer->rows, *columns = &layer->columns;
    uint64_t outputs = (uint64_t)rows->output * columns->output;
    uint64_t inputs = (uint64_t)(rows->pooled + 2 * rows->pad) * (columns->pooled + 2 * columns->pad);
    uint64_t window = rows->window > 1 ? (uint64_t)rows->window * columns->window : 0;

    return outputs * layer->slots + 2 * inputs + rows->pooled * columns->pooled * window;
}

/* AI85 14.1, without element-wise operations and streaming: clocks of fetching one pixel, for padding and for data. */
struct fetch_clocks {
    int64_t padding, data;
};

static struct fetch_clocks fetch_clocks(const struct layer *layer, int64_t passes)
{
    int64_t window = (int64_t)layer->rows.window * layer->columns.window;

    return (struct fetch_clocks){.padding = 2 * passes, .data = passes * (window + 1)};
}

static uint64_t pass_through_cycles(const struct layer *layer)
{
    int64_t pixels = (int64_t)layer->rows.pooled * layer->columns.pooled;
    int64_t pooling = layer->rows.window > 1 || layer->columns.window > 1;
    int64_t passes = layer->passes > 1 && pooling ? 2 * (int64_t)layer->passes - 1 : (int64_t)layer->passes;

    return (uint64_t)(pixels * (fetch_clocks(layer, passes).data + passes * (int64_t)layer->time_slots));
}

/* A row that costs `clocks` per column that the kernel reaches. */
static int64_t output_row(const struct layer *layer, int64_t padding, int64_t first, int64_t clocks)
{
    int64_t pad = layer->columns.pad, kernel = layer->columns.kernel, columns = layer->columns.output;

    return pad * padding + (kernel - 1 - pad) * first + (columns - pad) * clocks + pad * (padding - 1);
}

/* AI85 14.1. A flattened layer is one pixel with many passes here, which gives the same number, except that its rows
 * are not known: with a single output channel the model counts one more clock for each of them. */
uint64_t cycles85(const struct layer *layer)
{
    const struct axis *rows = &layer->rows, *columns = &layer->columns;
    struct fetch_clocks fetch = fetch_clocks(layer, layer->passes);
    int64_t p = fetch.padding, d = fetch.data, hidden = (int64_t)rows->kernel - 1 - rows->pad;
    int64_t slots = layer->slots, passes = layer->passes, pad = rows->pad;
    int64_t top = 2 * (int64_t)columns->pad * (p + 1) + columns->pooled * (p + 1);
    int64_t first = 2 * (int64_t)columns->pad * (p + 1) + columns->pooled * (d + 1);
    int64_t data = output_row(layer, p + 1, d + 1, d), bottom = output_row(layer, p + 1, p + 1, p);
    int64_t output = passes * columns->output * slots + (slots == 1 && passes == 1 ? slots : 0);

    if (!layer->kernels)
        return pass_through_cycles(layer);
    return (uint64_t)((int64_t)layer->flattened + pad * top + hidden * first
                      + (data + output) * ((int64_t)rows->pooled - hidden) + pad * (bottom + output));
}
