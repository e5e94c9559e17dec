/* Reads a layer's kernels and biases (AI84 1.5.8, 4, 5; AI85 5.1, 5.12, 6). What was never written counts as zero, and
 * the results that it makes worthless are remembered. */
#include "work.h"

/* The signed integer of `bits` bits from bit `low` of a byte. */
static int16_t extend(uint8_t byte, uint32_t low, uint32_t bits)
{
    return (int16_t)((int8_t)(byte << (8 - bits - low)) >> (8 - bits));
}

static void note_column(const struct layer *layer, struct missing *missing, uint32_t processor, uint32_t column)
{
    if (missing->state == VALID)
        *missing = (struct missing){FROM_UNWRITTEN_KERNEL, {(uint8_t)layer->index, (uint8_t)processor,
                                                            (uint16_t)column}};
}

/* Kernels lie in the byte stream of the processor with the last weight first; weights of fewer than 8 bits share bytes,
 * the first in the low bits. The stream starts at the end of each column. */
static void fetch_kernel(const struct chip *chip, const struct layer *layer, struct work *work, uint32_t slot,
                         uint32_t c)
{
    uint32_t processor = work->channel[c].processor;
    uint32_t position = (slot * layer->passes + work->channel[c].pass) * layer->bits;
    uint32_t n = layer->first_byte + position / 8 * work->size, column = n / COLUMN, byte = n % COLUMN;
    int16_t *weights = work->weights + (size_t)slot * work->taps + c * work->size;

    for (uint32_t tap = work->size; tap-- > 0;) {
        size_t entry = (size_t)processor * chip->device->mask_columns + column;

        if (chip->committed[entry])
            weights[tap] = extend((uint8_t)chip->kernel[entry * COLUMN + COLUMN - 1 - byte], position % 8, layer->bits);
        else
            note_column(layer, &work->missing[slot], processor, column);
        if (++byte == COLUMN) {
            byte = 0;
            column++;
        }
    }
}

void fetch_kernels(const struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t slot = 0; slot < layer->slots; slot++) {
        work->missing[slot].state = VALID;
        for (uint32_t c = 0; c < work->channels; c++)
            fetch_kernel(chip, layer, work, slot, c);
    }
}

static int32_t fault_bias(struct chip *chip, const struct layer *layer, uint32_t entry)
{
    uint32_t group = (uint32_t)layer->bias_group;

    return fault(chip, CHIP_UNINITIALISED, bias_address(chip->device, group, entry),
                 "layer %u: bias entry %u of group %u was never written", layer->index, entry, group);
}

/* Slots behind the last output channel may lie behind the layer's biases, or behind all (AI85 5.5, 6). */
int32_t fetch_biases(struct chip *chip, const struct layer *layer, struct work *work)
{
    for (uint32_t slot = 0; layer->bias_group >= 0 && slot < layer->slots; slot++) {
        uint32_t group = (uint32_t)layer->bias_group, entry = layer->first_bias + slot;
        size_t at = (size_t)group * chip->device->bias_entries + entry;

        if (entry < chip->device->bias_entries && chip->bias_written[at])
            work->bias[slot] = (int32_t)((uint32_t)chip->bias[at] << layer->bias_shift);
        else if (layer->strict)
            return fault_bias(chip, layer, entry);
        else if (work->missing[slot].state == VALID)
            work->missing[slot] = (struct missing){FROM_UNWRITTEN_BIAS, {(uint8_t)layer->index, (uint8_t)group,
                                                                         (uint16_t)entry}};
    }
    return CHIP_OK;
}
