/* Reads a layer's input: data memory, pooling, padding (AI84 1.4, 1.5.2; AI85 1.4, 7.1, 7.2, 18.3). */
#include "work.h"

#include <stdlib.h>

/* The enabled processors of the groups whose results count, with all passes of each. */
int32_t list_channels(struct chip *chip, const struct layer *layer, struct work *work)
{
    work->channel = calloc((size_t)MAX_PROCESSORS * layer->passes, sizeof *work->channel);
    if (!work->channel)
        return fault(chip, CHIP_MEMORY, 0, "out of memory");
    for (uint32_t p = 0; p < processors(chip->device); p++) {
        uint32_t group = p / chip->device->group_processors;

        if (!(layer->contributors >> group & 1 && layer->enabled[group] >> p % chip->device->group_processors & 1))
            continue;
        for (uint32_t pass = 0; pass < layer->passes; pass++)
            work->channel[work->channels++] = (struct channel){
                .processor = p, .pass = pass, .state = VALID,
                .first = p / LANES * chip->device->instance_words + layer->read_pointer + pass};
    }
    return CHIP_OK;
}

/* The byte of data memory that holds pixel k of a channel. */
static uint32_t input_byte(const struct layer *layer, const struct channel *channel, uint32_t k)
{
    if (layer->chw)
        return channel->first * LANES + k;
    return (channel->first + k * layer->passes) * LANES + channel->processor % LANES;
}

static int32_t fault_input(struct chip *chip, const struct layer *layer, uint32_t processor, uint32_t byte)
{
    uint32_t address = data_address(chip->device, byte / LANES) + byte % LANES;
    char text[128];

    describe_unknown(chip, byte, text, sizeof text);
    return fault(chip, CHIP_UNINITIALISED, address, "layer %u: processor %u reads data memory at 0x%08X, %s",
                 layer->index, processor, address, text);
}

static int32_t check_range(struct chip *chip, const struct layer *layer, uint32_t processor)
{
    uint32_t pixels = layer->rows.input * layer->columns.input;
    uint32_t words = layer->chw ? (pixels + LANES - 1) / LANES : pixels * layer->passes;

    if (layer->read_pointer + words > chip->device->instance_words)
        return fault(chip, CHIP_START, data_address(chip->device, processor / LANES * chip->device->instance_words),
                     "layer %u reads %u words from word %u of instance %u, which has %u words", layer->index, words,
                     layer->read_pointer, processor / LANES, chip->device->instance_words);
    return CHIP_OK;
}

/* Remembers why a channel has unknown pixels: the root cause, if a layer computed the byte. */
static int32_t note_unknown(struct chip *chip, const struct layer *layer, struct channel *channel, uint32_t byte)
{
    uint32_t reader = channel->processor / LANES * LANES + byte % LANES; /* with CHW, lanes are pixels */

    if (layer->strict)
        return fault_input(chip, layer, channel->processor, byte);
    if (channel->state != VALID)
        return CHIP_OK;
    channel->state = chip->state[byte];
    channel->origin = chip->origin[byte];
    if (channel->state == NEVER_WRITTEN) {
        channel->state = FROM_UNWRITTEN_DATA;
        channel->origin = (struct origin){(uint8_t)layer->index, (uint8_t)reader,
                                          (uint16_t)(byte / LANES % chip->device->instance_words)};
    }
    return CHIP_OK;
}

/* Truncates toward zero, or rounds halves away from zero (AI84 1.4, AI85 1.4). */
static int32_t average(int32_t sum, int32_t count, uint32_t round)
{
    int32_t magnitude = sum < 0 ? -sum : sum;
    int32_t quotient = round ? (2 * magnitude + count) / (2 * count) : magnitude / count;

    return sum < 0 ? -quotient : quotient;
}

/* One pooling window, or a single pixel; k is its first pixel, `at` its place in the plane. */
static int32_t fetch_window(struct chip *chip, const struct layer *layer, struct channel *channel, uint32_t k,
                            uint32_t at)
{
    int32_t sum = 0, maximum = -128, count = (int32_t)(layer->rows.window * layer->columns.window);

    for (uint32_t i = 0; i < layer->rows.window; i++)
        for (uint32_t j = 0; j < layer->columns.window; j++) {
            uint32_t byte = input_byte(layer, channel, k + i * layer->columns.input + j);
            int32_t pixel = (int8_t)chip->data[byte];

            if (chip->state[byte] != VALID) {
                channel->unknown[at] = 1;
                if (note_unknown(chip, layer, channel, byte))
                    return chip->fault.code;
            }
            sum += pixel;
            maximum = pixel > maximum ? pixel : maximum;
        }
    if (count > 1)
        sum = layer->max_pool ? maximum : average(sum, count, layer->round_average);
    channel->plane[at] = (int16_t)sum;
    return CHIP_OK;
}

static int32_t fetch_channel(struct chip *chip, const struct layer *layer, const struct work *work,
                             struct channel *channel)
{
    for (uint32_t y = 0; y < layer->rows.pooled; y++)
        for (uint32_t x = 0; x < layer->columns.pooled; x++) {
            uint32_t at = (y + layer->rows.pad) * work->width + x + layer->columns.pad;

            if (fetch_window(chip, layer, channel, (y * layer->columns.input + x) * layer->stride, at))
                return chip->fault.code;
        }
    return CHIP_OK;
}

int32_t fetch(struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t c = 0; c < work->channels; c++) {
        if (check_range(chip, layer, work->channel[c].processor)
            || fetch_channel(chip, layer, work, &work->channel[c]))
            return chip->fault.code;
        work->any_unknown |= work->channel[c].state != VALID;
    }
    return CHIP_OK;
}
