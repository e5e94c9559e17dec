/* Packed loading of mask RAM (AI85 5.8): a byte write selects the first column of a run, then words follow at rising
 * addresses, and their bytes, the most significant first, fill column after column. The last word of a run is filled up
 * with zero bytes. */
#include "model.h"

#include <string.h>

static struct packed *packed_of(struct chip *chip, struct place at)
{
    return &chip->group[at.group].packed;
}

/* What is left of a run must be the filling of its last word. */
int32_t end_packed(struct chip *chip, uint32_t group)
{
    struct packed *packed = &chip->group[group].packed;
    uint32_t filled = packed->count < 4;

    for (uint32_t i = 0; i < packed->count; i++)
        filled &= packed->bytes[i] == 0;
    if (packed->active && !filled)
        return fault(chip, CHIP_ORDER, column_address(chip->device, packed->processor, packed->column),
                     "a run of packed columns ended inside column %u of processor %u: %u of its %u bytes were written",
                     packed->column, packed->processor, packed->count, COLUMN);
    packed->active = 0;
    packed->count = 0;
    return CHIP_OK;
}

/* The address is that of the window of the processor + 4 * column + 1, and the value is 1. */
int32_t begin_packed(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    uint32_t column = at.entry * KERNEL_WORDS + at.word; /* the window counts 4 address bytes per column */

    if (end_packed(chip, at.group))
        return chip->fault.code;
    if (column >= chip->device->mask_columns || value != 1)
        return fault(chip, CHIP_ORDER, address,
                     "a run of packed columns begins with an 8-bit write of 1 to a column below %u, not of %u to "
                     "column %u", chip->device->mask_columns, value, column);
    *packed_of(chip, at) = (struct packed){
        .active = 1, .processor = at.unit, .column = column, .address = address - 1};
    return CHIP_OK;
}

static void store_column(struct chip *chip, struct packed *packed)
{
    size_t entry = (size_t)packed->processor * chip->device->mask_columns + packed->column++;

    memcpy(chip->kernel + entry * COLUMN, packed->bytes, COLUMN);
    chip->committed[entry] = 1;
    packed->count -= COLUMN;
    memmove(packed->bytes, packed->bytes + COLUMN, packed->count);
}

int32_t write_packed(struct chip *chip, uint32_t address, struct place at, uint32_t value)
{
    struct packed *packed = packed_of(chip, at);

    if (!packed->active || packed->address != address)
        return fault(chip, CHIP_ORDER, address,
                     "packed loading is on (CTL bit 20): words follow the 8-bit write that begins their run, at rising "
                     "addresses");
    if (packed->column >= chip->device->mask_columns)
        return fault(chip, CHIP_ORDER, address, "a run of packed columns goes on behind the last column of processor "
                     "%u", packed->processor);
    for (uint32_t i = 0; i < 4; i++)
        packed->bytes[packed->count++] = (uint8_t)(value >> (24 - 8 * i));
    packed->address += 4;
    if (packed->count >= COLUMN)
        store_column(chip, packed);
    return CHIP_OK;
}
