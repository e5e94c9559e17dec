/* The registers: names, fields and the values that the model supports (3.1 and 3.2). */
#include "model.h"

#define ANY 0xFFFFFFFFu /* every value of the field */
#define ZERO 0x1u       /* only 0: reserved for future use, or a mode without a proven meaning (appendix E 11) */

/* Bit v of allowed: value v is supported. */
struct field {
    const char *name;
    uint8_t high, low;
    uint32_t allowed;
};

struct description {
    const char *name;
    struct field fields[12];
};

static const struct description GLOBAL[] = {
    {"CTL", {{"cnn_ena", 0, 0, ANY}, {"rdy_sel", 2, 1, ANY}, {"calcmax", 4, 4, ZERO}, {"poolena", 5, 5, ZERO},
             {"bigdata", 6, 6, ZERO}, {"actena", 7, 7, ZERO}, {"oneshot", 8, 8, ZERO}, {"ext_sync", 11, 9, ANY},
             {"cnn_irq", 12, 12, ZERO}}},
    {"SRAM control", {{"tuning", 14, 0, ANY}}},
    {"LCNT_MAX", {{"layers - 1", 4, 0, ANY}}},
};

/* Pads 0 to 2 (3.3); pooling windows and strides of 1, 2 and 4, stored less one (1.4, 3.4). */
static const struct description LAYER[REGISTERS] = {
    [RCNT] = {"RCNT", {{"rcnt_pad", 9, 8, 0x7}, {"rcnt_max", 7, 0, ANY}}},
    [CCNT] = {"CCNT", {{"ccnt_pad", 9, 8, 0x7}, {"ccnt_max", 7, 0, ANY}}},
    [PRCNT] = {"PRCNT", {{"pooling rows - 1", 3, 0, 0xB}}},
    [PCCNT] = {"PCCNT", {{"pooling columns - 1", 3, 0, 0xB}}},
    [STRIDE] = {"STRIDE", {{"pooling stride - 1", 3, 0, 0xB}}},
    [WPTR_BASE] = {"WPTR_BASE", {{"write pointer", 15, 0, ANY}}},
    [WPTR_OFF] = {"WPTR_OFF", {{"mask offset", 31, 16, ANY}, {"time-slot offset", 15, 0, ZERO}}},
    [RPTR_BASE] = {"RPTR_BASE", {{"read pointer", 15, 0, ANY}}},
    [LCTL] = {"LCTL", {{"sslave", 3, 0, ZERO}, {"mslave", 4, 4, ZERO}, {"master", 5, 5, ANY}, {"parallel", 6, 6, ANY},
                       {"poolena", 7, 7, ANY}, {"maxpl_ena", 8, 8, ANY}, {"act_ena", 9, 9, ANY},
                       {"cpad_only", 10, 10, ZERO}, {"sramlsrc", 11, 11, ANY}, {"cnnsiena", 15, 12, ANY}}},
    [MCNT] = {"MCNT", {{"mask count - 1", 6, 0, ANY}, {"mask start", 14, 8, ANY}, {"bias start", 23, 16, ANY},
                       {"bias enable", 24, 24, ANY}}},
    [TPTR] = {"TPTR", {{"TRAM pointer maximum", 7, 0, ANY}}},
    [ENA] = {"ENA", {{"processor enable", 15, 0, ANY}, {"mask enable", 31, 16, ANY}}},
};

static uint32_t field_mask(const struct field *field)
{
    return (0xFFFFFFFFu >> (31 - (field->high - field->low))) << field->low;
}

static int supported(const struct field *field, uint32_t value)
{
    uint32_t content = (value & field_mask(field)) >> field->low;

    return field->allowed == ANY || (content < 32 && field->allowed >> content & 1);
}

static int32_t check(struct chip *chip, uint32_t address, const struct description *reg, uint32_t value)
{
    uint32_t reserved = value;

    for (const struct field *field = reg->fields; field->name; field++) {
        if (!supported(field, value))
            return fault(chip, CHIP_FIELD, address, "%s = 0x%08X: field %s (bits %u:%u) does not support %u", reg->name,
                         value, field->name, field->high, field->low,
                         ((value & field_mask(field)) >> field->low));
        reserved &= ~field_mask(field);
    }
    if (reserved)
        return fault(chip, CHIP_FIELD, address, "%s = 0x%08X: reserved bits 0x%08X must be 0", reg->name,
                     value, reserved);
    return CHIP_OK;
}

const char *layer_register_name(uint32_t reg)
{
    return LAYER[reg].name;
}

int32_t check_global_register(struct chip *chip, uint32_t address, uint32_t offset, uint32_t value)
{
    return check(chip, address, &GLOBAL[offset / 4], value);
}

int32_t check_layer_register(struct chip *chip, uint32_t address, uint32_t reg, uint32_t value)
{
    return check(chip, address, &LAYER[reg], value);
}
