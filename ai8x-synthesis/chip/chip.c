/* Devices, life cycle, faults and addresses of the model. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Sizes: 1.1; addresses: 2.1 and 2.2. */
static const struct device DEVICES[] = {
    {
        .number = 84,
        .base = 0x50100000, .group_stride = 0x100000, .groups = 4, .group_processors = 16,
        .layer_registers = 0x10, .register_stride = 0x80,
        .tram = 0x800, .tram_stride = 0x400, .tram_entries = 256,
        .mask_ram = 0x4800, .mask_ram_stride = 0x800, .mask_columns = 128,
        .bias_ram = 0xC800, .bias_entries = 256,
        .data_memory = 0x10000, .instance_stride = 0x4000, .instance_words = 4096,
    },
};

static const struct device *find_device(uint32_t number)
{
    for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++)
        if (DEVICES[i].number == number)
            return &DEVICES[i];
    return NULL;
}

static int allocate(struct chip *chip, const struct device *device)
{
    size_t kernels = (size_t)processors(device) * device->mask_columns;
    size_t biases = (size_t)device->groups * device->bias_entries;
    size_t bytes = (size_t)data_words(device) * LANES;

    chip->tram = calloc((size_t)processors(device) * device->tram_entries, sizeof *chip->tram);
    chip->kernel = calloc(kernels, KERNEL);
    chip->committed = calloc(kernels, 1);
    chip->bias = calloc(biases, 1);
    chip->bias_written = calloc(biases, 1);
    chip->data = calloc(bytes, 1);
    chip->state = calloc(bytes, 1);
    chip->origin = calloc(bytes, sizeof *chip->origin);
    return chip->tram && chip->kernel && chip->committed && chip->bias && chip->bias_written && chip->data
           && chip->state && chip->origin;
}

struct chip *chip_create(uint32_t number)
{
    const struct device *device = find_device(number);
    struct chip *chip = device ? calloc(1, sizeof *chip) : NULL;

    if (!chip)
        return NULL;
    chip->device = device;
    if (!allocate(chip, device)) {
        chip_destroy(chip);
        return NULL;
    }
    return chip;
}

void chip_destroy(struct chip *chip)
{
    if (!chip)
        return;
    free(chip->tram);
    free(chip->kernel);
    free(chip->committed);
    free(chip->bias);
    free(chip->bias_written);
    free(chip->data);
    free(chip->state);
    free(chip->origin);
    free(chip);
}

uint64_t chip_cycles(const struct chip *chip)
{
    return chip->cycles;
}

uint64_t chip_total_cycles(const struct chip *chip)
{
    return chip->total_cycles;
}

const struct chip_fault *chip_last_fault(const struct chip *chip)
{
    return &chip->fault;
}

int32_t fault(struct chip *chip, enum chip_fault_code code, uint32_t address, const char *format, ...)
{
    va_list arguments;

    chip->fault.code = code;
    chip->fault.address = address;
    va_start(arguments, format);
    vsnprintf(chip->fault.text, sizeof chip->fault.text, format, arguments);
    va_end(arguments);
    return code;
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
