/* One layer: fetch, pool, pad, convolve, scale and store (1.4 and 1.5). The whole input is read before anything is
 * written. Convolution is a dot product of 16-bit integers per output value, which compilers turn into vector code. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

/* One enabled processor's pooled and padded input. */
struct channel {
    uint32_t processor; /* through all groups */
    int16_t *plane;     /* [padded rows][padded columns] */
};

struct work {
    struct channel channel[64];
    uint32_t channels, taps;  /* taps: KERNEL * channels, a multiple of VECTOR */
    uint32_t height, width;   /* padded */
    int16_t *planes;          /* all channels */
    int16_t *weights;         /* [mask][taps] */
    int16_t *patches;         /* [output column][taps] of one output row */
    int8_t *result;           /* [mask][output row][output column] */
    struct origin origin[128];
    uint8_t unwritten[128];   /* mask m has no kernel in at least one processor: see origin[m] */
};

enum { VECTOR = 8 };

static uint32_t padded(const struct axis *axis)
{
    return axis->pooled + 2 * axis->pad;
}

/* The byte of data memory that holds pixel k of a processor's input channel (1.5.2.2). */
static uint32_t input_byte(const struct chip *chip, const struct layer *layer, uint32_t processor, uint32_t k)
{
    uint32_t start = processor / LANES * chip->device->instance_words + layer->read_pointer;

    return layer->chw ? start * LANES + k : (start + k) * LANES + processor % LANES;
}

static int32_t fault_input(struct chip *chip, const struct layer *layer, uint32_t processor, uint32_t byte)
{
    uint32_t address = data_address(chip->device, byte / LANES) + byte % LANES;
    const struct origin *origin = &chip->origin[byte];

    if (chip->state[byte] == NEVER_WRITTEN)
        return fault(chip, CHIP_UNINITIALISED, address,
                     "layer %u: processor %u reads data memory at 0x%08X, which was never written",
                     layer->index, processor, address);
    return fault(chip, CHIP_UNINITIALISED, address,
                 "layer %u: processor %u reads data memory at 0x%08X, which layer %u computed with column %u of "
                 "processor %u, a kernel that was never written", layer->index, processor, address,
                 origin->layer, origin->column, origin->processor);
}

static int32_t check_input_range(struct chip *chip, const struct layer *layer, uint32_t processor)
{
    uint32_t pixels = layer->rows.input * layer->columns.input;
    uint32_t words = layer->chw ? (pixels + LANES - 1) / LANES : pixels;

    if (layer->read_pointer + words > chip->device->instance_words)
        return fault(chip, CHIP_START, data_address(chip->device, processor / LANES * chip->device->instance_words),
                     "layer %u reads %u words from word %u of instance %u, which has %u words", layer->index,
                     words, layer->read_pointer, (processor / LANES),
                     chip->device->instance_words);
    return CHIP_OK;
}

/* One pooling window (or single pixel) from its top left corner; average pooling truncates toward zero (1.4). */
static int32_t pool_window(struct chip *chip, const struct layer *layer, uint32_t processor, uint32_t y, uint32_t x,
                           int16_t *result)
{
    uint32_t size = layer->pool ? layer->pool : 1;
    int32_t sum = 0, maximum = -128;

    for (uint32_t i = 0; i < size * size; i++) {
        uint32_t k = (y + i / size) * layer->columns.input + x + i % size;
        uint32_t byte = input_byte(chip, layer, processor, k);
        int32_t pixel = (int8_t)chip->data[byte];

        if (chip->state[byte] != VALID)
            return fault_input(chip, layer, processor, byte);
        sum += pixel;
        maximum = pixel > maximum ? pixel : maximum;
    }
    *result = (int16_t)(layer->pool && layer->max_pool ? maximum : sum / (int32_t)(size * size));
    return CHIP_OK;
}

static int32_t fetch(struct chip *chip, const struct layer *layer, const struct work *work,
                     const struct channel *channel)
{
    if (check_input_range(chip, layer, channel->processor))
        return chip->fault.code;
    for (uint32_t y = 0; y < layer->rows.pooled; y++)
        for (uint32_t x = 0; x < layer->columns.pooled; x++) {
            uint32_t at = (y + layer->rows.pad) * work->width + x + layer->columns.pad;

            if (pool_window(chip, layer, channel->processor, y * layer->stride, x * layer->stride, &channel->plane[at]))
                return chip->fault.code;
        }
    return CHIP_OK;
}

/* The enabled processors of the groups that the master sums (appendix E 13). */
static void list_channels(const struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t p = 0; p < processors(chip->device); p++) {
        uint32_t group = p / chip->device->group_processors;

        if (layer->contributors >> group & 1 && layer->enabled[group] >> p % chip->device->group_processors & 1)
            work->channel[work->channels++].processor = p;
    }
}

static int32_t prepare(struct chip *chip, const struct layer *layer, struct work *work)
{
    size_t plane;

    list_channels(chip, layer, work);
    work->taps = (work->channels * KERNEL + VECTOR - 1) / VECTOR * VECTOR;
    work->height = padded(&layer->rows);
    work->width = padded(&layer->columns);
    plane = (size_t)work->height * work->width;
    work->planes = calloc(work->channels * plane + 1, sizeof *work->planes);
    work->weights = calloc((size_t)layer->masks * work->taps + 1, sizeof *work->weights);
    work->patches = calloc((size_t)layer->columns.output * work->taps + 1, sizeof *work->patches);
    work->result = calloc((size_t)layer->masks * layer->rows.output * layer->columns.output, 1);
    if (!work->planes || !work->weights || !work->patches || !work->result)
        return fault(chip, CHIP_MEMORY, 0, "out of memory");
    for (uint32_t c = 0; c < work->channels; c++)
        work->channel[c].plane = work->planes + c * plane;
    return CHIP_OK;
}

static void release(const struct work *work)
{
    free(work->planes);
    free(work->weights);
    free(work->patches);
    free(work->result);
}

/* Kernels that were never written count as zero; the bytes computed with them are remembered (1.5.8, 4.4). */
static void fetch_weights(const struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t m = 0; m < layer->masks; m++)
        for (uint32_t c = 0; c < work->channels; c++) {
            uint32_t processor = work->channel[c].processor, column = layer->first_column + m;
            size_t entry = (size_t)processor * chip->device->mask_columns + column;

            for (uint32_t k = 0; k < KERNEL; k++)
                work->weights[(size_t)m * work->taps + c * KERNEL + k] = chip->kernel[entry * KERNEL + k];
            if (!chip->committed[entry] && !work->unwritten[m]) {
                work->unwritten[m] = 1;
                work->origin[m] = (struct origin){(uint8_t)layer->index, (uint8_t)processor, (uint8_t)column};
            }
        }
}

/* The 3x3 windows of all channels for every pixel of output row y. */
static void fetch_patches(const struct layer *layer, struct work *work, uint32_t y)
{
    for (uint32_t x = 0; x < layer->columns.output; x++)
        for (uint32_t c = 0; c < work->channels; c++) {
            int16_t *patch = work->patches + (size_t)x * work->taps + c * KERNEL;
            const int16_t *window = work->channel[c].plane + (size_t)y * work->width + x;

            for (uint32_t i = 0; i < 3; i++)
                memcpy(patch + 3 * i, window + (size_t)i * work->width, 3 * sizeof *patch);
        }
}

/* The sum needs 25 bits at most (1.3). */
static int32_t dot(const int16_t *restrict a, const int16_t *restrict b, uint32_t count)
{
    int32_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Round half up, divide by 128, saturate, rectify (1.4). All compilers used shift negative values arithmetically. */
static int8_t scale(int32_t sum, uint32_t relu)
{
    int32_t value = (sum + 64) >> 7, lowest = relu ? 0 : -128;

    value = value > 127 ? 127 : value;
    return (int8_t)(value < lowest ? lowest : value);
}

static int32_t fetch_biases(struct chip *chip, const struct layer *layer, int32_t *bias)
{
    for (uint32_t m = 0; layer->bias_group >= 0 && m < layer->masks; m++) {
        uint32_t group = (uint32_t)layer->bias_group, entry = layer->first_bias + m;

        if (!chip->bias_written[group * chip->device->bias_entries + entry])
            return fault(chip, CHIP_UNINITIALISED, bias_address(chip->device, group, entry),
                         "layer %u: bias entry %u of group %u was never written", layer->index, entry,
                         group);
        bias[m] = chip->bias[group * chip->device->bias_entries + entry];
    }
    return CHIP_OK;
}

static int32_t convolve(struct chip *chip, const struct layer *layer, struct work *work)
{
    int32_t bias[128] = {0};
    uint32_t columns = layer->columns.output;

    if (fetch_biases(chip, layer, bias))
        return chip->fault.code;
    for (uint32_t y = 0; y < layer->rows.output; y++) {
        fetch_patches(layer, work, y);
        for (uint32_t m = 0; m < layer->masks; m++)
            for (uint32_t x = 0; x < columns; x++) {
                const int16_t *weights = work->weights + (size_t)m * work->taps;
                int32_t sum = bias[m] + dot(weights, work->patches + (size_t)x * work->taps, work->taps);

                work->result[((size_t)m * layer->rows.output + y) * columns + x] = scale(sum, layer->relu);
            }
    }
    return CHIP_OK;
}

/* Words from the first of a mask to output pixel (y, x). 4x4 pooling with stride 4 has two extra words before each row,
 * whose content is unknown: they are left alone (6.5, appendix E 3). */
static uint32_t output_word(const struct layer *layer, uint32_t y, uint32_t x)
{
    if (layer->pool == 4 && layer->stride == 4)
        return y * (layer->columns.output + 2) + 2 + x;
    return y * layer->columns.output + x;
}

static void store_byte(struct chip *chip, const struct layer *layer, const struct work *work, uint32_t m,
                       uint32_t pixel, uint32_t word)
{
    size_t pixels = (size_t)layer->rows.output * layer->columns.output;
    uint32_t byte = word * LANES + m % LANES;
    int exists = m < layer->masks; /* lanes behind the last mask are written as 0 (1.5.7) */

    chip->data[byte] = exists ? (uint8_t)work->result[m * pixels + pixel] : 0;
    chip->state[byte] = VALID;
    if (exists && work->unwritten[m]) {
        chip->state[byte] = FROM_UNWRITTEN_KERNEL;
        chip->origin[byte] = work->origin[m];
    }
}

/* Writes the words of masks first to first + 3. A group that is not started does not accept output (3.2): the empty
 * quads of an output map may lie there. */
static void store_quad(struct chip *chip, const struct layer *layer, const struct work *work, uint32_t first)
{
    for (uint32_t pixel = 0; pixel < layer->rows.output * layer->columns.output; pixel++) {
        uint32_t offset = output_word(layer, pixel / layer->columns.output, pixel % layer->columns.output);
        uint32_t word = (layer->write_pointer + first / LANES * layer->write_step + offset) % data_words(chip->device);
        uint32_t group = word / (data_words(chip->device) / chip->device->groups);

        if (!(layer->participants >> group & 1))
            continue;
        for (uint32_t lane = 0; lane < LANES; lane++)
            store_byte(chip, layer, work, first + lane, pixel, word);
    }
}

static void store(struct chip *chip, const struct layer *layer, const struct work *work)
{
    for (uint32_t m = 0; m < layer->masks; m += LANES)
        store_quad(chip, layer, work, m);
}

static int32_t fetch_all(struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t c = 0; c < work->channels; c++)
        if (fetch(chip, layer, work, &work->channel[c]))
            return chip->fault.code;
    fetch_weights(chip, layer, work);
    return CHIP_OK;
}

int32_t run_layer(struct chip *chip, const struct layer *layer)
{
    struct work work = {0};
    int32_t code;

    code = prepare(chip, layer, &work);
    if (!code)
        code = fetch_all(chip, layer, &work);
    if (!code)
        code = convolve(chip, layer, &work);
    if (!code)
        store(chip, layer, &work);
    release(&work);
    return code;
}

/* An estimate (appendix D): one clock per mask and output pixel, two per padded input pixel, one per pooling read. It
 * is 85,152 for the documented CIFAR-10 network, 0.6 % less than the 85,664 clocks of the RTL simulation. */
uint64_t layer_cycles(const struct layer *layer)
{
    uint64_t outputs = (uint64_t)layer->rows.output * layer->columns.output;
    uint64_t inputs = (uint64_t)padded(&layer->rows) * padded(&layer->columns);
    uint64_t reads = (uint64_t)layer->rows.pooled * layer->columns.pooled * layer->pool * layer->pool;

    return outputs * layer->masks + 2 * inputs + reads;
}
