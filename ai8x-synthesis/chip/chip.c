/* Life cycle, faults and clocks of the model. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int allocate(struct chip *chip, const struct device *device)
{
    size_t columns = (size_t)processors(device) * device->mask_columns;
    size_t biases = (size_t)device->groups * device->bias_entries;
    size_t bytes = (size_t)data_words(device) * LANES;

    chip->tram = calloc((size_t)processors(device) * device->tram_entries, sizeof *chip->tram);
    chip->kernel = calloc(columns, COLUMN);
    chip->committed = calloc(columns, 1);
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

uint64_t chip_layer_cycles(const struct chip *chip, uint32_t layer)
{
    return chip->cycles && layer < MAX_LAYERS ? chip->layer_cycles[layer] : 0;
}

uint64_t chip_total_cycles(const struct chip *chip)
{
    return chip->total_cycles;
}

void chip_observe(struct chip *chip, chip_observer *after, void *context)
{
    chip->observer = after;
    chip->observer_context = context;
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
