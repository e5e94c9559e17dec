/* The layer registers of AI84 (1.4, 1.5, 3). All groups agree on them, except where participants() allows otherwise. */
#include "layer.h"

enum { RCNT = 0, CCNT = 1, PRCNT = 3, PCCNT = 4, STRIDE = 5, WPTR_BASE = 6, WPTR_OFF = 7, RPTR_BASE = 8, LCTL = 9,
       MCNT = 10, TPTR = 11 };

enum { LCTL_MASTER = 1u << 5, LCTL_CHW = 1u << 6, LCTL_POOL = 1u << 7, LCTL_MAX = 1u << 8, LCTL_RELU = 1u << 9,
       LCTL_GLOBAL = 1u << 11 };

static uint32_t reg(const struct chip *chip, const struct layer *layer, uint32_t number)
{
    return layer_register(chip, layer, layer->master, number);
}

static uint32_t reg_address(const struct chip *chip, const struct layer *layer, uint32_t number)
{
    return register_address(chip, layer, layer->master, number);
}

static int32_t decode_control(struct chip *chip, struct layer *layer)
{
    uint32_t lctl = reg(chip, layer, LCTL);

    if (!(lctl & LCTL_MASTER) || !(lctl & LCTL_GLOBAL))
        return fault(chip, CHIP_START, reg_address(chip, layer, LCTL),
                     "LCTL of layer %u = 0x%08X: master (bit 5) and sramlsrc (bit 11) must be 1; other modes are not "
                     "supported", layer->index, lctl);
    layer->chw = (lctl & LCTL_CHW) != 0;
    layer->relu = (lctl & LCTL_RELU) != 0;
    layer->max_pool = (lctl & LCTL_MAX) != 0;
    return CHIP_OK;
}

/* Square windows of 2 or 4 and strides of 1, 2 or 4 (1.4). */
static int32_t decode_pooling(struct chip *chip, struct layer *layer)
{
    uint32_t rows = reg(chip, layer, PRCNT) + 1, columns = reg(chip, layer, PCCNT) + 1;

    layer->stride = layer->rows.window = layer->columns.window = 1;
    if (!(reg(chip, layer, LCTL) & LCTL_POOL))
        return CHIP_OK;
    if (rows != columns || rows == 1)
        return fault(chip, CHIP_START, reg_address(chip, layer, PRCNT),
                     "layer %u pools windows of %u rows and %u columns: PRCNT and PCCNT must be equal, and 1 or 3",
                     layer->index, rows, columns);
    layer->rows.window = layer->columns.window = rows;
    layer->stride = reg(chip, layer, STRIDE) + 1;
    return CHIP_OK;
}

static int32_t decode_direction(struct chip *chip, const struct layer *layer, uint32_t number, const char *direction,
                                struct axis *axis)
{
    uint32_t value = reg(chip, layer, number);

    axis->pad = value >> 8 & 3;
    axis->kernel = 3;
    return decode_axis(chip, layer, number, direction, value & 0xFF, axis);
}

static int32_t decode_size(struct chip *chip, struct layer *layer)
{
    uint32_t tptr = reg(chip, layer, TPTR);

    if (decode_direction(chip, layer, RCNT, "row", &layer->rows)
        || decode_direction(chip, layer, CCNT, "column", &layer->columns))
        return chip->fault.code;
    if (tptr != layer->columns.output - 1)
        return fault(chip, CHIP_START, reg_address(chip, layer, TPTR),
                     "TPTR of layer %u is %u, but must be output columns - 1 = %u", layer->index, tptr,
                     layer->columns.output - 1);
    return CHIP_OK;
}

static int32_t decode_masks(struct chip *chip, struct layer *layer)
{
    uint32_t mcnt = reg(chip, layer, MCNT), column = mcnt >> 8 & 0x7F;

    layer->kernels = 1;
    layer->bits = 8;
    layer->slots = (mcnt & 0x7F) + 1;
    layer->first_byte = column * COLUMN;
    if (column % LANES || column + layer->slots > chip->device->mask_columns)
        return fault(chip, CHIP_START, reg_address(chip, layer, MCNT),
                     "MCNT of layer %u = 0x%08X: %u masks from column %u; the first column must be a multiple of 4, "
                     "the last below %u", layer->index, mcnt, layer->slots, column, chip->device->mask_columns);
    return CHIP_OK;
}

static int32_t check_bias(struct chip *chip, const struct layer *layer)
{
    if (layer->bias_group >= 0 && layer->first_bias + layer->slots > chip->device->bias_entries)
        return fault(chip, CHIP_START, register_address(chip, layer, (uint32_t)layer->bias_group, MCNT),
                     "the bias of layer %u ends behind the last entry: %u values from entry %u", layer->index,
                     layer->slots, layer->first_bias);
    return CHIP_OK;
}

/* Words are written whole: lanes behind the last mask become 0 (1.5.7). 4x4 pooling with stride 4 has two extra words
 * before each row, whose content is unknown: they are left alone (6.5, appendix E 3). */
static void decode_writing(const struct chip *chip, struct layer *layer)
{
    struct writing *writing = &layer->writing;

    writing->pointer[layer->master] = reg(chip, layer, WPTR_BASE);
    writing->quad_step = reg(chip, layer, WPTR_OFF) >> 16;
    writing->pixel_step = 1;
    writing->row_gap = layer->rows.window == 4 && layer->stride == 4 ? 2 : 0;
    writing->stored = writing->per_expansion = (layer->slots + LANES - 1) / LANES * LANES;
}

int32_t decode84(struct chip *chip, struct layer *layer)
{
    layer->read_pointer = reg(chip, layer, RPTR_BASE);
    layer->passes = layer->strict = 1;
    if (decode_control(chip, layer) || decode_pooling(chip, layer) || decode_size(chip, layer)
        || decode_masks(chip, layer) || decode_contributors(chip, layer) || decode_bias(chip, layer)
        || check_bias(chip, layer) || decode_enables(chip, layer))
        return chip->fault.code;
    decode_writing(chip, layer);
    return CHIP_OK;
}
