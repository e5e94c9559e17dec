/* Writes results to data memory (AI84 1.5.6, 1.5.7; AI85 7.3 to 7.5). */
#include "work.h"

/* Words from the first of a slot to output pixel (y, x). */
static uint32_t pixel_offset(const struct layer *layer, uint32_t y, uint32_t x)
{
    uint32_t gap = layer->writing.row_gap;

    return (y * (layer->columns.output + gap) + gap + x) * layer->writing.pixel_step;
}

/* Where a slot begins, through all instances. The pointers have as many bits as there are words. */
static uint32_t start_word(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t slot)
{
    const struct writing *writing = &layer->writing;

    return (writing->pointer[group] + slot % writing->per_expansion / LANES * writing->quad_step
            + slot / writing->per_expansion * writing->expansion_step) % data_words(chip->device);
}

/* A slot that leaves the instance it began in would overwrite the next one (AI85 18.5). */
static int32_t check_slot(struct chip *chip, const struct layer *layer, uint32_t group, uint32_t slot, uint32_t last)
{
    uint32_t size = chip->device->instance_words;
    uint32_t first = start_word(chip, layer, group, slot);

    if (first % size + last >= size)
        return fault(chip, CHIP_START, data_address(chip->device, first),
                     "layer %u writes %u words from word %u of instance %u, which has %u words", layer->index, last + 1,
                     first % size, first / size, size);
    return CHIP_OK;
}

/* Layers with kernels write from the master, others from every group. */
static uint32_t slots_of(const struct layer *layer, uint32_t group)
{
    if (layer->kernels)
        return group == layer->master ? layer->writing.stored : 0;
    return count_bits(layer->enabled[group]);
}

int32_t check_writing(struct chip *chip, const struct layer *layer)
{
    uint32_t last = pixel_offset(layer, layer->rows.output - 1, layer->columns.output - 1)
                    + (layer->passes - 1) * layer->writing.pass_step;

    for (uint32_t g = 0; g < chip->device->groups; g++)
        for (uint32_t slot = 0; slot < slots_of(layer, g); slot++)
            if (check_slot(chip, layer, g, slot, last + (layer->wide ? slot % LANES : 0)))
                return chip->fault.code;
    return CHIP_OK;
}

static void store_byte(struct chip *chip, uint32_t byte, int32_t value, const struct missing *missing)
{
    chip->data[byte] = (uint8_t)value;
    chip->state[byte] = missing->state;
    if (missing->state != VALID)
        chip->origin[byte] = missing->origin;
}

/* A group that is not started does not accept output (AI84 3.2): the empty quads of an output map may lie there. */
static int accepts(const struct chip *chip, const struct layer *layer, uint32_t word)
{
    return layer->participants >> (word / (data_words(chip->device) / chip->device->groups)) & 1;
}

/* The first channel whose unknown pixels an output value depends on; NULL if it depends on none. */
static const struct channel *unknown_input(const struct layer *layer, const struct work *work, uint32_t slot,
                                           uint32_t y, uint32_t x)
{
    for (uint32_t c = 0; c < work->channels; c++)
        for (uint32_t tap = 0; work->channel[c].state != VALID && tap < work->size; tap++) {
            uint32_t row = y + tap / layer->columns.kernel, column = x + tap % layer->columns.kernel;

            if (work->channel[c].unknown[row * work->width + column]
                && work->weights[(size_t)slot * work->taps + c * work->size + tap])
                return &work->channel[c];
        }
    return NULL;
}

static struct missing missing_for(const struct layer *layer, const struct work *work, uint32_t slot, uint32_t y,
                                  uint32_t x)
{
    const struct channel *channel = NULL;

    if (slot >= layer->slots)
        return (struct missing){VALID, {0, 0, 0}};
    if (work->any_unknown && work->missing[slot].state == VALID)
        channel = unknown_input(layer, work, slot, y, x);
    return channel ? (struct missing){channel->state, channel->origin} : work->missing[slot];
}

static void store_result(struct chip *chip, uint32_t word, uint32_t lane, uint32_t wide, int32_t value,
                         const struct missing *missing)
{
    if (!wide)
        store_byte(chip, word * LANES + lane, value, missing);
    for (uint32_t i = 0; wide && i < LANES; i++)
        store_byte(chip, word * LANES + i, (int32_t)((uint32_t)value >> (8 * i)), missing);
}

static void store_slot(struct chip *chip, const struct layer *layer, const struct work *work, uint32_t slot)
{
    uint32_t lane = slot % layer->writing.per_expansion % LANES;
    uint32_t first = start_word(chip, layer, layer->master, slot) + (layer->wide ? lane : 0);
    size_t at = (size_t)slot * layer->rows.output * layer->columns.output;

    if (!accepts(chip, layer, first))
        return;
    for (uint32_t y = 0; y < layer->rows.output; y++)
        for (uint32_t x = 0; x < layer->columns.output; x++, at++) {
            struct missing missing = missing_for(layer, work, slot, y, x);

            store_result(chip, first + pixel_offset(layer, y, x), lane, layer->wide,
                         slot < layer->slots ? work->results[at] : 0, &missing);
        }
}

void store_results(struct chip *chip, const struct layer *layer, const struct work *work)
{
    for (uint32_t slot = 0; slot < layer->writing.stored; slot++)
        store_slot(chip, layer, work, slot);
}

/* The v-th enabled processor of a group writes lane v % 4 in time slot v / 4. */
static void store_plane(struct chip *chip, const struct layer *layer, const struct channel *channel)
{
    static const struct missing nothing = {VALID, {0, 0, 0}};
    struct missing missing = {channel->state, channel->origin};
    uint32_t group = channel->processor / chip->device->group_processors;
    uint32_t v = count_bits(layer->enabled[group] & ((1u << channel->processor % chip->device->group_processors) - 1));
    uint32_t first = start_word(chip, layer, group, v) + channel->pass * layer->writing.pass_step;

    if (!accepts(chip, layer, first))
        return;
    for (uint32_t pixel = 0; pixel < layer->rows.output * layer->columns.output; pixel++)
        store_byte(chip, (first + pixel * layer->writing.pixel_step) * LANES + v % LANES, channel->plane[pixel],
                   channel->unknown[pixel] ? &missing : &nothing);
}

void store_planes(struct chip *chip, const struct layer *layer, const struct work *work)
{
    for (uint32_t c = 0; c < work->channels; c++)
        store_plane(chip, layer, &work->channel[c]);
}
