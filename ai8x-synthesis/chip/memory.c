/* The memories as software sees them (AI84 4.2, 5, 6; AI85 2, 5.9, 5.11, 6). */
#include "model.h"

#include <stdio.h>

/* Word 0 holds the first byte in its low byte, words 1 and 2 hold four bytes each, the first in the high byte. */
static void commit_column(struct chip *chip, const struct staging *staging)
{
    int8_t *kernel = chip->kernel + (size_t)staging->entry * COLUMN;

    kernel[0] = (int8_t)staging->word[0];
    for (uint32_t i = 0; i < 8; i++)
        kernel[1 + i] = (int8_t)(staging->word[1 + i / 4] >> (24 - 8 * (i % 4)));
    chip->committed[staging->entry] = 1;
}

static int32_t write_commit(struct chip *chip, uint32_t address, struct staging *staging, uint32_t value)
{
    if (value & chip->device->commit_bits)
        return fault(chip, CHIP_FIELD, address, "the commit word of a kernel must be 0, not 0x%08X", value);
    commit_column(chip, staging);
    staging->words = 0;
    return CHIP_OK;
}

static int32_t write_column(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    struct staging *staging = &chip->group[at.group].staging;
    uint32_t entry = at.unit * chip->device->mask_columns + at.entry;

    if (at.word != staging->words || (staging->words && entry != staging->entry))
        return fault(chip, CHIP_ORDER, address,
                     "word %u of the kernel in column %u of processor %u is out of order: write words 0, 1, 2, 3 of "
                     "one kernel, then the next; words staged in group %u: %u", at.word, at.entry, at.unit, at.group,
                     staging->words);
    if (at.word == 3)
        return write_commit(chip, address, staging, value);
    if (at.word == 0 && check_width(chip, address, "word 0 of a mask RAM", 8, value))
        return chip->fault.code;
    staging->entry = entry;
    staging->word[staging->words++] = value;
    return CHIP_OK;
}

static int32_t write_bias(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    uint32_t entry = at.group * chip->device->bias_entries + at.entry;

    if (check_width(chip, address, "bias RAM", 8, value))
        return chip->fault.code;
    chip->bias[entry] = (int8_t)value;
    chip->bias_written[entry] = 1;
    return CHIP_OK;
}

static void write_data(struct chip *chip, uint32_t word, uint32_t value)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        chip->data[word * LANES + lane] = (uint8_t)(value >> (8 * lane));
        chip->state[word * LANES + lane] = VALID;
    }
}

int32_t write_memory(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    switch (at.region) {
    case MASK_RAM:
        if (chip->group[at.group].ctl & chip->device->ctl_packed)
            return write_packed(chip, address, at, value);
        return write_column(chip, address, at, value);
    case BIAS_RAM:
        return write_bias(chip, address, at, value);
    case TRAM:
        if (check_width(chip, address, "TRAM", 16, value))
            return chip->fault.code;
        chip->tram[at.unit * chip->device->tram_entries + at.entry] = (uint16_t)value;
        return CHIP_OK;
    default:
        write_data(chip, at.entry, value);
        return CHIP_OK;
    }
}

/* Reading back works for all processors; the silicon of AI84 limits it to some (AI84 4.2, appendix E 14). */
static int32_t read_column(struct chip *chip, uint32_t address, struct place at, uint32_t *value)
{
    uint32_t entry = at.unit * chip->device->mask_columns + at.entry, word = 0;
    const uint8_t *kernel = (const uint8_t *)chip->kernel + (size_t)entry * COLUMN;

    if (!chip->committed[entry])
        return fault(chip, CHIP_UNINITIALISED, address, "read of column %u of processor %u, which was never written",
                     at.entry, at.unit);
    if (at.word == 0)
        word = kernel[0];
    else if (at.word < 3)
        for (uint32_t i = 0; i < 4; i++)
            word = word << 8 | kernel[4 * at.word - 3 + i];
    *value = word;
    return CHIP_OK;
}

static int32_t read_bias(struct chip *chip, uint32_t address, struct place at, uint32_t *value)
{
    uint32_t entry = at.group * chip->device->bias_entries + at.entry;

    if (!chip->bias_written[entry])
        return fault(chip, CHIP_UNINITIALISED, address, "read of bias entry %u of group %u, which was never written",
                     at.entry, at.group);
    *value = (uint8_t)chip->bias[entry];
    return CHIP_OK;
}

/* Where the byte came from that processor `unit` read from word `entry` of its instance. */
static uint32_t origin_address(const struct chip *chip, const struct origin *origin)
{
    uint32_t word = origin->unit / LANES * chip->device->instance_words + origin->entry;

    return data_address(chip->device, word) + origin->unit % LANES;
}

void describe_unknown(const struct chip *chip, uint32_t byte, char *text, size_t size)
{
    const struct origin *origin = &chip->origin[byte];

    switch (chip->state[byte]) {
    case FROM_UNWRITTEN_KERNEL:
        snprintf(text, size, "which layer %u computed with column %u of processor %u, a kernel that was never written",
                 origin->layer, origin->entry, origin->unit);
        break;
    case FROM_UNWRITTEN_BIAS:
        snprintf(text, size, "which layer %u computed with bias entry %u of group %u, which was never written",
                 origin->layer, origin->entry, origin->unit);
        break;
    case FROM_UNWRITTEN_DATA:
        snprintf(text, size, "which layer %u computed from data memory at 0x%08X, which was never written",
                 origin->layer, origin_address(chip, origin));
        break;
    default:
        snprintf(text, size, "which was never written");
    }
}

static int32_t fault_data(struct chip *chip, uint32_t address, uint32_t word)
{
    char text[128];

    for (uint32_t byte = word * LANES; byte < (word + 1) * LANES; byte++) {
        if (chip->state[byte] == NEVER_WRITTEN)
            continue;
        describe_unknown(chip, byte, text, sizeof text);
        return fault(chip, CHIP_UNINITIALISED, address,
                     "read of a data memory word of which no byte holds a value: byte %u is one %s", byte % LANES,
                     text);
    }
    return fault(chip, CHIP_UNINITIALISED, address,
                 "read of a data memory word of which no byte holds a value: written neither by the bus nor by a layer "
                 "with kernels");
}

static int32_t read_data(struct chip *chip, uint32_t address, uint32_t word, uint32_t *value)
{
    const uint8_t *bytes = chip->data + word * LANES, *state = chip->state + word * LANES;
    uint32_t valid = 0, content = 0;

    for (uint32_t lane = 0; lane < LANES; lane++) {
        valid |= state[lane] == VALID;
        content |= (uint32_t)bytes[lane] << (8 * lane);
    }
    if (!valid)
        return fault_data(chip, address, word);
    *value = content;
    return CHIP_OK;
}

int32_t read_memory(struct chip *chip, uint32_t address, struct place at, uint32_t *value)
{
    switch (at.region) {
    case MASK_RAM:
        return read_column(chip, address, at, value);
    case BIAS_RAM:
        return read_bias(chip, address, at, value);
    case TRAM:
        *value = chip->tram[at.unit * chip->device->tram_entries + at.entry];
        return CHIP_OK;
    default:
        return read_data(chip, address, at.entry, value);
    }
}
