/* The bus: address decoder, registers and memories as software sees them (2, 3, 4.2, 5, 6). */
#include "model.h"

enum region { NOWHERE, GLOBAL_REGISTER, LAYER_REGISTER, TRAM, MASK_RAM, BIAS_RAM, DATA_MEMORY };

/* What an address means. unit: register, or processor through all groups; entry: layer, column, entry, or global word
 * address. */
struct place {
    enum region region;
    uint32_t group, unit, entry, word;
};

enum { CTL_OFFSET = 0x0, SRAM_CONTROL_OFFSET = 0x4, LAYERS_MAX_OFFSET = 0x8, GLOBAL_END = 0xC, NOT_IMPLEMENTED = 2 };

static int within(uint32_t offset, uint32_t start, uint32_t size)
{
    return offset >= start && offset - start < size;
}

static struct place locate_memory(const struct device *d, uint32_t group, uint32_t offset)
{
    uint32_t first = group * d->group_processors, instances = d->group_processors / LANES;

    if (within(offset, d->tram, d->group_processors * d->tram_stride)) {
        offset -= d->tram;
        return (struct place){TRAM, group, first + offset / d->tram_stride, offset % d->tram_stride / 4, 0};
    }
    if (within(offset, d->mask_ram, d->group_processors * d->mask_ram_stride)) {
        offset -= d->mask_ram;
        return (struct place){MASK_RAM, group, first + offset / d->mask_ram_stride,
                              offset % d->mask_ram_stride / (4 * KERNEL_WORDS), offset / 4 % KERNEL_WORDS};
    }
    if (within(offset, d->bias_ram, 4 * d->bias_entries))
        return (struct place){BIAS_RAM, group, 0, (offset - d->bias_ram) / 4, 0};
    if (within(offset, d->data_memory, instances * d->instance_stride)) {
        offset -= d->data_memory;
        return (struct place){DATA_MEMORY, group, 0,
                              (group * instances + offset / d->instance_stride) * d->instance_words
                                  + offset % d->instance_stride / 4, 0};
    }
    return (struct place){NOWHERE, 0, 0, 0, 0};
}

static struct place locate(const struct device *d, uint32_t address)
{
    uint32_t group = (address - d->base) / d->group_stride, offset = (address - d->base) % d->group_stride, reg;

    if (address < d->base || group >= d->groups)
        return (struct place){NOWHERE, 0, 0, 0, 0};
    if (offset < GLOBAL_END)
        return (struct place){GLOBAL_REGISTER, group, offset, 0, 0};
    reg = (offset - d->layer_registers) / d->register_stride;
    if (within(offset, d->layer_registers, REGISTERS * d->register_stride) && reg != NOT_IMPLEMENTED)
        return (struct place){LAYER_REGISTER, group, reg, (offset - d->layer_registers) % d->register_stride / 4, 0};
    return locate_memory(d, group, offset);
}

static int32_t write_global(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    struct group *group = &chip->group[at.group];

    if (check_global_register(chip, address, at.unit, value))
        return chip->fault.code;
    if (at.unit == SRAM_CONTROL_OFFSET) {
        group->sram_control = value;
    } else if (at.unit == LAYERS_MAX_OFFSET) {
        group->layers_max = value;
        group->layers_max_written = 1;
    } else {
        group->ctl = value; /* bit 12 is 0 here: this clears the completion flag (7.3) */
        if (!(value & CTL_ENABLE))
            group->has_run = 0;
        else if (!(value & CTL_SLAVE))
            return start(chip, at.group);
    }
    return CHIP_OK;
}

static int32_t write_layer_register(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    if (check_layer_register(chip, address, at.unit, value))
        return chip->fault.code;
    chip->group[at.group].reg[at.unit][at.entry] = value;
    chip->group[at.group].configured |= 1u << at.entry;
    return CHIP_OK;
}

static int32_t check_width(struct chip *chip, uint32_t address, const char *name, uint32_t bits, uint32_t value)
{
    if (value >> bits)
        return fault(chip, CHIP_FIELD, address, "%s entry = 0x%08X: only bits %u:0 exist, the others must be 0", name,
                     value, (bits - 1));
    return CHIP_OK;
}

/* Word 0 holds k0 in its low byte, words 1 and 2 hold four bytes each, the first in the high byte (4.2). */
static void commit_kernel(struct chip *chip, const struct staging *staging)
{
    int8_t *kernel = chip->kernel + (size_t)staging->entry * KERNEL;

    kernel[0] = (int8_t)staging->word[0];
    for (uint32_t i = 0; i < 8; i++)
        kernel[1 + i] = (int8_t)(staging->word[1 + i / 4] >> (24 - 8 * (i % 4)));
    chip->committed[staging->entry] = 1;
}

static int32_t write_mask_ram(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    struct staging *staging = &chip->group[at.group].staging;
    uint32_t entry = at.unit * chip->device->mask_columns + at.entry;

    if (at.word != staging->words || (staging->words && entry != staging->entry))
        return fault(chip, CHIP_ORDER, address,
                     "word %u of the kernel in column %u of processor %u is out of order: write words 0, 1, 2, 3 of "
                     "one kernel, then the next; words staged in group %u: %u", at.word,
                     at.entry, at.unit, at.group, staging->words);
    if (at.word == 3) {
        if (value)
            return fault(chip, CHIP_FIELD, address, "the commit word of a kernel must be 0, not 0x%08X", value);
        commit_kernel(chip, staging);
        staging->words = 0;
        return CHIP_OK;
    }
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

static int32_t write_place(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    switch (at.region) {
    case GLOBAL_REGISTER:
        return write_global(chip, address, at, value);
    case LAYER_REGISTER:
        return write_layer_register(chip, address, at, value);
    case MASK_RAM:
        return write_mask_ram(chip, address, at, value);
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

/* During a run the flag reads 0 once, so that software that does not poll is found. */
static uint32_t poll(struct chip *chip)
{
    if (chip->running && ++chip->polls > 1) {
        chip->running = 0;
        chip->group[chip->master].ctl |= CTL_DONE;
        chip->cycles = chip->run_cycles;
        chip->total_cycles += chip->run_cycles;
    }
    return chip->group[chip->master].ctl;
}

static uint32_t read_global(struct chip *chip, struct place at)
{
    if (at.unit == SRAM_CONTROL_OFFSET)
        return chip->group[at.group].sram_control;
    if (at.unit == LAYERS_MAX_OFFSET)
        return chip->group[at.group].layers_max;
    return chip->group[at.group].ctl;
}

/* Reading back works for all processors; silicon limits it to some (4.2, appendix E 14). */
static int32_t read_mask_ram(struct chip *chip, uint32_t address, struct place at, uint32_t *value)
{
    uint32_t entry = at.unit * chip->device->mask_columns + at.entry, word = 0;
    const uint8_t *kernel = (const uint8_t *)chip->kernel + (size_t)entry * KERNEL;

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

static int32_t read_data(struct chip *chip, uint32_t address, uint32_t word, uint32_t *value)
{
    const uint8_t *bytes = chip->data + word * LANES, *state = chip->state + word * LANES;
    uint32_t valid = 0, content = 0;

    for (uint32_t lane = 0; lane < LANES; lane++) {
        valid |= state[lane] == VALID;
        content |= (uint32_t)bytes[lane] << (8 * lane);
    }
    if (!valid)
        return fault(chip, CHIP_UNINITIALISED, address,
                     "read of a data memory word of which no byte holds a value: written neither by the bus nor by a "
                     "layer with kernels");
    *value = content;
    return CHIP_OK;
}

static int32_t read_place(struct chip *chip, uint32_t address, struct place at, uint32_t *value)
{
    switch (at.region) {
    case GLOBAL_REGISTER:
        *value = read_global(chip, at);
        return CHIP_OK;
    case LAYER_REGISTER:
        *value = chip->group[at.group].reg[at.unit][at.entry];
        return CHIP_OK;
    case MASK_RAM:
        return read_mask_ram(chip, address, at, value);
    case BIAS_RAM:
        return read_bias(chip, address, at, value);
    case TRAM:
        *value = chip->tram[at.unit * chip->device->tram_entries + at.entry];
        return CHIP_OK;
    default:
        return read_data(chip, address, at.entry, value);
    }
}

static int32_t decode(struct chip *chip, uint32_t address, struct place *at)
{
    if (chip->fault.code)
        return chip->fault.code;
    if (address % 4)
        return fault(chip, CHIP_ADDRESS, address, "access is not aligned to 32 bits");
    *at = locate(chip->device, address);
    if (at->region == NOWHERE)
        return fault(chip, CHIP_ADDRESS, address, "address does not exist on the AI%u", chip->device->number);
    return CHIP_OK;
}

static int32_t fault_running(struct chip *chip, uint32_t address, const char *kind)
{
    return fault(chip, CHIP_RUNNING, address,
                 "%s while the accelerator runs: read CTL of group %u until bit 12 is 1 before any other access", kind,
                 chip->master);
}

int32_t chip_write32(struct chip *chip, uint32_t address, uint32_t value)
{
    struct place at;

    if (decode(chip, address, &at))
        return chip->fault.code;
    if (chip->running)
        return fault_running(chip, address, "write");
    return write_place(chip, address, at, value);
}

int32_t chip_read32(struct chip *chip, uint32_t address, uint32_t *value)
{
    struct place at;

    if (decode(chip, address, &at))
        return chip->fault.code;
    if (!chip->running)
        return read_place(chip, address, at, value);
    if (at.region != GLOBAL_REGISTER || at.unit != CTL_OFFSET || at.group != chip->master)
        return fault_running(chip, address, "read");
    *value = poll(chip);
    return CHIP_OK;
}

int32_t chip_write_many(struct chip *chip, size_t count, const uint32_t *addresses, const uint32_t *values)
{
    for (size_t i = 0; i < count; i++)
        if (chip_write32(chip, addresses[i], values[i]))
            return chip->fault.code;
    return CHIP_OK;
}

int32_t chip_read_many(struct chip *chip, size_t count, const uint32_t *addresses, uint32_t *values)
{
    for (size_t i = 0; i < count; i++)
        if (chip_read32(chip, addresses[i], &values[i]))
            return chip->fault.code;
    return CHIP_OK;
}

int32_t chip_irq(struct chip *chip)
{
    return (poll(chip) & CTL_DONE) != 0;
}
