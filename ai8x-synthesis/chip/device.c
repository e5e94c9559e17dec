/* The devices, and where their registers and memories are. */
#include "layer.h"
#include "model.h"

/* What AI85 has and the model leaves out (AI85 2.1, 3.2, 3.3, 3.6). */
static const struct window LEFT_OUT85[] = {
    {0x50000000, 0x18, "FIFO block"}, {0x400C0400, 0x18, "fast FIFO"}, {0x50101000, 4, "MLAT"},
    {0x50501000, 4, "MLAT"}, {0x50901000, 4, "MLAT"}, {0x50D01000, 4, "MLAT"}, {0, 0, NULL},
};

static const struct window NOTHING[] = {{0, 0, NULL}};

static const struct device DEVICES[] = {
    { /* sizes: AI84 1.1; addresses: AI84 2.1, 2.2 */
        .number = 84,
        .base = 0x50100000, .group_stride = 0x100000, .groups = 4, .group_processors = 16,
        .global_registers = 3,
        .layer_registers = 0x10, .register_stride = 0x80, .registers = 13,
        .tram = 0x800, .tram_stride = 0x400, .tram_entries = 256,
        .mask_ram = 0x4800, .mask_ram_stride = 0x800, .mask_columns = 128,
        .bias_ram = 0xC800, .bias_entries = 256,
        .data_memory = 0x10000, .instance_stride = 0x4000, .instance_words = 4096,
        .left_out = NOTHING,
        .global = GLOBAL84, .layer = LAYER84,
        .lctl = 9, .ena = 12, .chw_processors = 0x1111, .bias = {.reg = 10, .enable = 24, .first = 16, .mask = 0xFF},
        .commit_bits = 0xFFFFFFFF, .zeros_written = 1,
        .decode = decode84, .cycles = cycles84,
    },
    { /* sizes: AI85 1.1; addresses: AI85 2.1, 2.3, 3.1; the completion flag: AI85 18.2 */
        .number = 85,
        .base = 0x50100000, .group_stride = 0x400000, .groups = 4, .group_processors = 16,
        .global_registers = 4,
        .layer_registers = 0x10, .register_stride = 0x80, .registers = 21,
        .tram = 0x10000, .tram_stride = 0x4000, .tram_entries = 3072,
        .mask_ram = 0x80000, .mask_ram_stride = 0x4000, .mask_columns = 768,
        .bias_ram = 0x8000, .bias_entries = 512,
        .data_memory = 0x300000, .instance_stride = 0x8000, .instance_words = 8192,
        .always_on = 0x50001000, .left_out = LEFT_OUT85,
        .global = GLOBAL85, .layer = LAYER85, .always_on_register = &ALWAYS_ON85,
        .lctl = 11, .ena = 14, .chw_processors = 0xFFFF, .bias = {.reg = 15, .enable = 12, .first = 0, .mask = 0xFFF},
        .ctl_required = 1u << 3, .ctl_packed = 1u << 20, .all_done = 1,
        .decode = decode85, .cycles = cycles85, .startup_cycles = 1,
    },
};

const struct device *find_device(uint32_t number)
{
    for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++)
        if (DEVICES[i].number == number)
            return &DEVICES[i];
    return NULL;
}

uint32_t group_address(const struct device *device, uint32_t group)
{
    return device->base + device->group_stride * group;
}

uint32_t layer_register_address(const struct device *device, uint32_t group, uint32_t reg, uint32_t layer)
{
    return group_address(device, group) + device->layer_registers + device->register_stride * reg + 4 * layer;
}

uint32_t bias_address(const struct device *device, uint32_t group, uint32_t entry)
{
    return group_address(device, group) + device->bias_ram + 4 * entry;
}

uint32_t column_address(const struct device *device, uint32_t processor, uint32_t column)
{
    return group_address(device, processor / device->group_processors) + device->mask_ram
           + device->mask_ram_stride * (processor % device->group_processors) + 4 * KERNEL_WORDS * column;
}

uint32_t data_address(const struct device *device, uint32_t word)
{
    uint32_t instance = word / device->instance_words, instances = device->group_processors / LANES;

    return group_address(device, instance / instances) + device->data_memory
           + device->instance_stride * (instance % instances) + 4 * (word % device->instance_words);
}

uint32_t processors(const struct device *device)
{
    return device->groups * device->group_processors;
}

uint32_t data_words(const struct device *device)
{
    return processors(device) / LANES * device->instance_words;
}
