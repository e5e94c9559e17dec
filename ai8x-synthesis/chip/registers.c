/* Checks values against the fields of registers and memory entries. */
#include "model.h"

static uint32_t field_mask(const struct field *field)
{
    return (0xFFFFFFFFu >> (31 - (field->high - field->low))) << field->low;
}

static int supported(const struct field *field, uint32_t content)
{
    return field->allowed == ANY || content == 0 || (content < 32 && field->allowed >> content & 1);
}

static int32_t fault_field(struct chip *chip, uint32_t address, const struct description *reg, uint32_t value,
                           const struct field *field, uint32_t content)
{
    if (field->allowed == NOT_MODELLED)
        return fault(chip, CHIP_NOT_MODELLED, address, "%s = 0x%08X: not modelled: %s (bits %u:%u) = %u", reg->name,
                     value, field->name, field->high, field->low, content);
    return fault(chip, CHIP_FIELD, address, "%s = 0x%08X: field %s (bits %u:%u) does not support %u", reg->name, value,
                 field->name, field->high, field->low, content);
}

int32_t check_register(struct chip *chip, uint32_t address, const struct description *reg, uint32_t value)
{
    uint32_t reserved = value;

    for (const struct field *field = reg->fields; field->name; field++) {
        uint32_t content = (value & field_mask(field)) >> field->low;

        if (!supported(field, content))
            return fault_field(chip, address, reg, value, field, content);
        reserved &= ~field_mask(field);
    }
    if (reserved)
        return fault(chip, CHIP_FIELD, address, "%s = 0x%08X: reserved bits 0x%08X must be 0", reg->name,
                     value, reserved);
    return CHIP_OK;
}

int32_t check_width(struct chip *chip, uint32_t address, const char *name, uint32_t bits, uint32_t value)
{
    if (value >> bits)
        return fault(chip, CHIP_FIELD, address, "%s entry = 0x%08X: only bits %u:0 exist, the others must be 0", name,
                     value, bits - 1);
    return CHIP_OK;
}
