/* The bus: address decoder, registers, and the state of a run (AI84 2, 3, 7; AI85 2, 3, 8). */
#include "model.h"

static const struct place NO_PLACE = {NOWHERE, 0, 0, 0, 0};

enum { CTL_OFFSET = 0x0, SRAM_CONTROL_OFFSET = 0x4, LAYERS_MAX_OFFSET = 0x8 };

static int within(uint32_t offset, uint32_t start, uint32_t size)
{
    return offset >= start && offset - start < size;
}

/* An entry of a memory that every processor of the group has; entry_size is in address bytes. */
static struct place locate_processor(const struct device *d, enum region region, uint32_t group, uint32_t offset,
                                     uint32_t stride, uint32_t entry_size, uint32_t entries)
{
    uint32_t processor = group * d->group_processors + offset / stride, entry = offset % stride / entry_size;

    if (entry >= entries)
        return NO_PLACE;
    return (struct place){region, group, processor, entry, offset % entry_size / 4};
}

static struct place locate_memory(const struct device *d, uint32_t group, uint32_t offset)
{
    uint32_t instances = d->group_processors / LANES;

    if (within(offset, d->tram, d->group_processors * d->tram_stride))
        return locate_processor(d, TRAM, group, offset - d->tram, d->tram_stride, 4, d->tram_entries);
    if (within(offset, d->mask_ram, d->group_processors * d->mask_ram_stride))
        return locate_processor(d, MASK_RAM, group, offset - d->mask_ram, d->mask_ram_stride, 4 * KERNEL_WORDS,
                                d->mask_columns);
    if (within(offset, d->bias_ram, 4 * d->bias_entries))
        return (struct place){BIAS_RAM, group, 0, (offset - d->bias_ram) / 4, 0};
    if (within(offset, d->data_memory, instances * d->instance_stride))
        return (struct place){DATA_MEMORY, group, 0,
                              group * instances * d->instance_words + (offset - d->data_memory) / 4, 0};
    return NO_PLACE;
}

static struct place locate(const struct device *d, uint32_t address)
{
    uint32_t group = (address - d->base) / d->group_stride, offset = (address - d->base) % d->group_stride, reg, layer;

    if (d->always_on && address == d->always_on)
        return (struct place){ALWAYS_ON, 0, 0, 0, 0};
    if (address < d->base || group >= d->groups)
        return NO_PLACE;
    if (offset < 4 * d->global_registers)
        return (struct place){GLOBAL_REGISTER, group, offset, 0, 0};
    reg = (offset - d->layer_registers) / d->register_stride;
    layer = (offset - d->layer_registers) % d->register_stride / 4;
    if (within(offset, d->layer_registers, d->registers * d->register_stride) && layer < d->layer[reg].layers)
        return (struct place){LAYER_REGISTER, group, reg, layer, 0};
    return locate_memory(d, group, offset);
}

static int32_t write_ctl(struct chip *chip, uint32_t group, uint32_t value)
{
    if (end_packed(chip, group))
        return chip->fault.code;
    chip->group[group].ctl = value; /* bit 12 is 0 here: this clears the completion flag */
    if (!(value & CTL_ENABLE))
        chip->group[group].has_run = 0;
    else if (!(value & CTL_SLAVE))
        return start(chip, group);
    return CHIP_OK;
}

static int32_t write_global(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    struct group *group = &chip->group[at.group];

    if (check_register(chip, address, &chip->device->global[at.unit / 4], value))
        return chip->fault.code;
    if (at.unit == CTL_OFFSET)
        return write_ctl(chip, at.group, value);
    if (at.unit == SRAM_CONTROL_OFFSET) {
        group->sram_control = value;
    } else if (at.unit == LAYERS_MAX_OFFSET) {
        group->layers_max = value;
        group->layers_max_written = 1;
    } /* any other supports only 0 */
    return CHIP_OK;
}

static int32_t write_layer_register(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    if (check_register(chip, address, &chip->device->layer[at.unit], value))
        return chip->fault.code;
    chip->group[at.group].reg[at.unit][at.entry] = value;
    chip->group[at.group].configured |= 1u << at.entry;
    return CHIP_OK;
}

/* Mask RAM without power forgets its content (AI85 3.2). */
static int32_t write_always_on(struct chip *chip, uint32_t address, uint32_t value)
{
    size_t columns = (size_t)chip->device->group_processors * chip->device->mask_columns;

    if (check_register(chip, address, chip->device->always_on_register, value))
        return chip->fault.code;
    chip->always_on = value;
    for (uint32_t g = 0; g < chip->device->groups; g++)
        for (size_t i = 0; value >> (12 + g) & 1 && i < columns; i++)
            chip->committed[g * columns + i] = 0;
    return CHIP_OK;
}

static int32_t write_place(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    switch (at.region) {
    case GLOBAL_REGISTER:
        return write_global(chip, address, at, value);
    case LAYER_REGISTER:
        return write_layer_register(chip, address, at, value);
    case ALWAYS_ON:
        return write_always_on(chip, address, value);
    default:
        return write_memory(chip, address, at, value);
    }
}

static uint32_t flags(const struct chip *chip)
{
    uint32_t all = 0;

    for (uint32_t g = 0; g < chip->device->groups; g++)
        all |= chip->group[g].ctl & CTL_DONE;
    return all;
}

static void complete(struct chip *chip)
{
    uint32_t done = chip->device->all_done ? chip->participants : 1u << chip->master;

    chip->running = 0;
    for (uint32_t g = 0; g < chip->device->groups; g++)
        if (done >> g & 1)
            chip->group[g].ctl |= CTL_DONE;
    chip->cycles = chip->run_cycles;
    chip->total_cycles += chip->run_cycles;
}

/* During a run the flag reads 0 once, so that software that does not poll is found. */
static void poll(struct chip *chip)
{
    if (chip->running && ++chip->polls > 1)
        complete(chip);
}

static uint32_t read_global(const struct chip *chip, struct place at)
{
    const struct group *group = &chip->group[at.group];

    switch (at.unit) {
    case CTL_OFFSET:
        return group->ctl;
    case SRAM_CONTROL_OFFSET:
        return group->sram_control;
    case LAYERS_MAX_OFFSET:
        return group->layers_max;
    default:
        return 0;
    }
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
    case ALWAYS_ON:
        *value = chip->always_on;
        return CHIP_OK;
    default:
        return read_memory(chip, address, at, value);
    }
}

static int32_t fault_nowhere(struct chip *chip, uint32_t address)
{
    for (const struct window *w = chip->device->left_out; w->size; w++)
        if (within(address, w->address, w->size))
            return fault(chip, CHIP_NOT_MODELLED, address, "not modelled: %s", w->name);
    return fault(chip, CHIP_ADDRESS, address, "address does not exist on the AI%u", chip->device->number);
}

static int32_t decode(struct chip *chip, uint32_t address, struct place *at)
{
    if (chip->fault.code)
        return chip->fault.code;
    if (address % 4)
        return fault(chip, CHIP_ADDRESS, address, "access is not aligned to 32 bits");
    *at = locate(chip->device, address);
    return at->region == NOWHERE ? fault_nowhere(chip, address) : CHIP_OK;
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

int32_t chip_write8(struct chip *chip, uint32_t address, uint32_t value)
{
    struct place at = locate(chip->device, address - 1);

    if (chip->fault.code)
        return chip->fault.code;
    if (chip->running)
        return fault_running(chip, address, "8-bit write");
    if (address % 4 != 1 || at.region != MASK_RAM || !(chip->group[at.group].ctl & chip->device->ctl_packed))
        return fault(chip, CHIP_ADDRESS, address, "8-bit write: only 32 bits are possible, except to begin a run of "
                     "packed columns at an address code + 1 (AI85, CTL bit 20 set)");
    return begin_packed(chip, address, at, value);
}

int32_t chip_read32(struct chip *chip, uint32_t address, uint32_t *value)
{
    struct place at;

    if (decode(chip, address, &at))
        return chip->fault.code;
    if (chip->running && (at.region != GLOBAL_REGISTER || at.unit != CTL_OFFSET || at.group != chip->master))
        return fault_running(chip, address, "read");
    poll(chip);
    return read_place(chip, address, at, value);
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
    poll(chip);
    return flags(chip) != 0;
}

int32_t chip_peek(const struct chip *chip, size_t count, const uint32_t *addresses, uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        struct place at = locate(chip->device, addresses[i] & ~3u);

        if (at.region != DATA_MEMORY)
            return CHIP_ADDRESS;
        bytes[i] = chip->data[at.entry * LANES + addresses[i] % LANES];
    }
    return CHIP_OK;
}
