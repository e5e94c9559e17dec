/* The layer registers of AI85 (4.5, 5.12, 7, 18.3). */
#include "layer.h"

enum { RCNT = 0, CCNT = 1, ONED = 2, PRCNT = 3, PCCNT = 4, STRIDE = 5, WPTR_BASE = 6, WPTR_TOFFS = 7, WPTR_MOFFS = 8,
       WPTR_CHOFFS = 9, RPTR_BASE = 10, LCTL = 11, MCNT = 12, TPTR = 13, ENA = 14, POST = 15, LCTL2 = 20 };

enum { CTL_ROUND = 1u << 13, LCTL_MASTER = 1u << 5, LCTL_CHW = 1u << 6, LCTL_POOL = 1u << 7, LCTL_MAX = 1u << 8,
       LCTL_RELU = 1u << 9, LCTL_GLOBAL = 1u << 11, LCTL_WIDE = 1u << 16, ONED_1D = 1u << 12,
       POST_PASS_THROUGH = 3u << 24, POST_ABS = 1u << 26, POST_FLATTEN = 1u << 27 };

static uint32_t reg(const struct chip *chip, const struct layer *layer, uint32_t number)
{
    return layer_register(chip, layer, layer->master, number);
}

static uint32_t field(const struct chip *chip, const struct layer *layer, uint32_t number, uint32_t low, uint32_t bits)
{
    return reg(chip, layer, number) >> low & ((1u << bits) - 1);
}

static int32_t fault_at(struct chip *chip, const struct layer *layer, uint32_t number, const char *what)
{
    return fault(chip, CHIP_START, register_address(chip, layer, layer->master, number), "%s of layer %u = 0x%08X: %s",
                 chip->device->layer[number].name, layer->index, reg(chip, layer, number), what);
}

/* Whether there are kernels, and the units that every layer needs. Layers without kernels have neither a scale nor an
 * activation: what the hardware would do is unknown (19.4). */
static int32_t decode_control(struct chip *chip, struct layer *layer)
{
    uint32_t lctl = reg(chip, layer, LCTL), post = reg(chip, layer, POST);

    for (uint32_t g = 0; g < chip->device->groups; g++)
        if (layer->participants >> g & 1)
            layer->kernels |= layer_register(chip, layer, g, ENA) >> 16 != 0;
    if (!(lctl & LCTL_MASTER) || !(lctl & LCTL_GLOBAL))
        return fault_at(chip, layer, LCTL, "not modelled: master (bit 5) or sramlsrc (bit 11) = 0");
    if ((post & POST_PASS_THROUGH) != (layer->kernels ? 0 : POST_PASS_THROUGH))
        return fault_at(chip, layer, POST, "bits 25:24 must be 3 in a layer without kernels, and 0 in others");
    if (!layer->kernels && (post != POST_PASS_THROUGH || lctl & (LCTL_RELU | LCTL_WIDE)))
        return fault_at(chip, layer, POST, "a layer without kernels has no bias, scale, activation or wide output");
    layer->chw = (lctl & LCTL_CHW) != 0;
    layer->max_pool = (lctl & LCTL_MAX) != 0;
    return CHIP_OK;
}

static int32_t decode_output(struct chip *chip, struct layer *layer)
{
    uint32_t lctl = reg(chip, layer, LCTL), post = reg(chip, layer, POST);
    int32_t magnitude = (int32_t)field(chip, layer, POST, 13, 4);

    layer->relu = (lctl & LCTL_RELU) != 0;
    layer->absolute = (post & POST_ABS) != 0;
    layer->wide = (lctl & LCTL_WIDE) != 0;
    layer->shift = field(chip, layer, POST, 17, 1) ? -magnitude : magnitude;
    layer->bias_shift = 7;
    if (layer->relu + layer->absolute + layer->wide > 1)
        return fault_at(chip, layer, LCTL, "only one of ReLU (bit 9), wide output (bit 16) and Abs (POST bit 26) is "
                        "possible");
    return CHIP_OK;
}

/* 3x3, 1x1, or one column (3.4). Without kernels it counts as 1x1. */
static int32_t decode_kernel(struct chip *chip, struct layer *layer)
{
    uint32_t width = field(chip, layer, ONED, 8, 4), one_dimension = reg(chip, layer, ONED) & ONED_1D;

    layer->rows.kernel = width ? width : 3;
    layer->columns.kernel = width ? 1 : 3;
    if (one_dimension ? width == 0 : width > 1)
        return fault_at(chip, layer, ONED, "oned_width must be 1 to 9 in a layer with one dimension, else 0 or 1");
    if (!layer->kernels && (width != 1 || one_dimension))
        return fault_at(chip, layer, ONED, "a layer without kernels has oned_width 1 and oned_iena 0");
    return CHIP_OK;
}

/* The stride holds without pooling too (1.4). Pooling in front of a Conv1d never rounds. */
static int32_t decode_pooling(struct chip *chip, struct layer *layer)
{
    uint32_t pool = reg(chip, layer, LCTL) & LCTL_POOL, ctl = chip->group[layer->master].ctl;

    layer->stride = field(chip, layer, STRIDE, 0, 4) + 1;
    layer->rows.window = pool ? field(chip, layer, PRCNT, 0, 4) + 1 : 1;
    layer->columns.window = pool ? field(chip, layer, PCCNT, 0, 4) + 1 : 1;
    layer->round_average = (ctl & CTL_ROUND) && !(reg(chip, layer, ONED) & ONED_1D);
    for (uint32_t g = 0; g < chip->device->groups; g++)
        if ((layer->participants >> g & 1) && (chip->group[g].ctl ^ ctl) & CTL_ROUND)
            return fault(chip, CHIP_START, group_address(chip->device, g),
                         "pool_rnd (CTL bit 13) differs between groups %u and %u", layer->master, g);
    return CHIP_OK;
}

static int32_t decode_direction(struct chip *chip, const struct layer *layer, uint32_t number, const char *direction,
                                struct axis *axis)
{
    axis->pad = field(chip, layer, number, 16, 2);
    if (axis->pad >= axis->kernel)
        return fault_at(chip, layer, number, "the padding must be smaller than the kernel");
    return decode_axis(chip, layer, number, direction, field(chip, layer, number, 0, 10), axis);
}

static int32_t decode_size(struct chip *chip, struct layer *layer)
{
    if (decode_direction(chip, layer, RCNT, "row", &layer->rows)
        || decode_direction(chip, layer, CCNT, "column", &layer->columns))
        return chip->fault.code;
    if (reg(chip, layer, ONED) & ONED_1D && layer->columns.input != 1)
        return fault_at(chip, layer, CCNT, "a layer with one dimension has one column");
    return CHIP_OK;
}

/* A flattened layer reads all pixels as passes of one pixel; only more than 16 passes need the flag (18.3). No
 * generator makes CHW data with several passes (7.2). */
static int32_t decode_passes(struct chip *chip, struct layer *layer)
{
    uint32_t upper = field(chip, layer, POST, 18, 4), pixels = layer->rows.input * layer->columns.input;

    layer->flattened = (reg(chip, layer, POST) & POST_FLATTEN) != 0;
    layer->passes = (upper << 4 | field(chip, layer, LCTL2, 0, 4)) + 1;
    if (layer->flattened ? pixels != 1 || layer->rows.kernel != 1 : upper != 0)
        return fault_at(chip, layer, POST, "flatten_ena (bit 27) and xpmp_cnt (bits 21:18) need 1x1 kernels and one "
                        "pixel, and xpmp_cnt needs flatten_ena");
    if (layer->chw && layer->passes > 1)
        return fault_at(chip, layer, LCTL2, "not modelled: CHW data (LCTL bit 6) with several passes");
    return CHIP_OK;
}

/* The row buffer holds the output columns of a 3x3 kernel, or two bytes per pass when flattening (4.5.8). */
static int32_t check_tptr(struct chip *chip, const struct layer *layer)
{
    uint32_t last = layer->passes - 1, expected = 0;

    if (layer->columns.kernel == 3)
        expected = layer->columns.output - 1;
    else if (layer->flattened)
        expected = last << 16 | (2 * last + 1);
    if (reg(chip, layer, TPTR) != expected)
        return fault(chip, CHIP_START, register_address(chip, layer, layer->master, TPTR),
                     "TPTR of layer %u is 0x%08X, but must be 0x%08X", layer->index, reg(chip, layer, TPTR), expected);
    return CHIP_OK;
}

/* The masks of all output channels and passes, as bits of bytes of the kernel stream (5.12). */
static int32_t decode_masks(struct chip *chip, struct layer *layer)
{
    static const uint32_t BITS[] = {8, 1, 2, 4};
    uint32_t first = field(chip, layer, MCNT, 16, 16), last = field(chip, layer, MCNT, 0, 16);
    uint32_t size = layer->rows.kernel * layer->columns.kernel, start = field(chip, layer, ONED, 4, 4), masks, end;

    layer->bits = BITS[field(chip, layer, POST, 22, 2)];
    masks = (last - first) / layer->bits + 1;
    if (first % 8 || last < first || (last - first) % layer->bits || start >= size)
        return fault_at(chip, layer, MCNT, "masks must start at bit 0 of a byte of the first kernel (oned_sad in ONED) "
                        "and end at a weight");
    if (masks % layer->passes)
        return fault_at(chip, layer, MCNT, "the number of masks is not a multiple of the passes");
    layer->slots = masks / layer->passes;
    layer->first_byte = first / 8 * size + start;
    end = layer->first_byte + ((last - first) / 8 + 1) * size;
    if (end > chip->device->mask_columns * COLUMN)
        return fault_at(chip, layer, MCNT, "the kernels end behind the last column");
    return CHIP_OK;
}

static void decode_convolution_writing(const struct chip *chip, struct layer *layer)
{
    struct writing *writing = &layer->writing;

    writing->pointer[layer->master] = reg(chip, layer, WPTR_BASE);
    writing->quad_step = reg(chip, layer, WPTR_MOFFS);
    writing->expansion_step = reg(chip, layer, WPTR_CHOFFS);
    writing->pixel_step = (field(chip, layer, LCTL2, 4, 4) + 1) * (layer->wide ? LANES : 1);
    writing->per_expansion = field(chip, layer, LCTL2, 8, 9) / layer->bits + 1;
    writing->stored = layer->slots;
}

/* Masks and bias; only here the groups must agree on the write pointer (4.5.3). */
static int32_t decode_convolution(struct chip *chip, struct layer *layer)
{
    if (decode_masks(chip, layer) || decode_bias(chip, layer))
        return chip->fault.code;
    if (field(chip, layer, ONED, 0, 4))
        return fault_at(chip, layer, ONED, "tscnt_max must be 0 in a layer with kernels");
    if (field(chip, layer, LCTL2, 8, 9) % layer->bits)
        return fault_at(chip, layer, LCTL2, "xpch_max is not a multiple of the bits of a weight");
    for (uint32_t g = 0; g < chip->device->groups; g++)
        if ((layer->participants >> g & 1) && layer_register(chip, layer, g, WPTR_BASE) != reg(chip, layer, WPTR_BASE))
            return fault(chip, CHIP_START, register_address(chip, layer, g, WPTR_BASE),
                         "WPTR_BASE of layer %u differs between groups %u and %u", layer->index, layer->master, g);
    decode_convolution_writing(chip, layer);
    return CHIP_OK;
}

/* Every group writes for itself: four processors per time slot (7.5). */
static int32_t decode_pass_through(struct chip *chip, struct layer *layer)
{
    struct writing *writing = &layer->writing;
    uint32_t most = 1;

    layer->bias_group = -1;
    layer->contributors = layer->participants;
    layer->time_slots = field(chip, layer, ONED, 0, 4) + 1;
    writing->quad_step = reg(chip, layer, WPTR_TOFFS);
    writing->pass_step = field(chip, layer, LCTL2, 4, 4) + 1;
    writing->pixel_step = layer->passes * writing->pass_step;
    writing->per_expansion = chip->device->group_processors;
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t count = count_bits(layer->enabled[g]);

        writing->pointer[g] = layer_register(chip, layer, g, WPTR_BASE);
        most = count > most ? count : most;
    }
    if (layer->time_slots != (most + LANES - 1) / LANES)
        return fault_at(chip, layer, ONED, "tscnt_max must be the time slots of four processors that a group needs, "
                        "less one");
    if (reg(chip, layer, MCNT) != 8 * (layer->passes - 1))
        return fault_at(chip, layer, MCNT, "must be 8 * (passes - 1) in a layer without kernels");
    return CHIP_OK;
}

int32_t decode85(struct chip *chip, struct layer *layer)
{
    layer->read_pointer = reg(chip, layer, RPTR_BASE);
    if (decode_control(chip, layer) || decode_output(chip, layer) || decode_kernel(chip, layer)
        || decode_pooling(chip, layer) || decode_size(chip, layer) || decode_passes(chip, layer)
        || check_tptr(chip, layer) || decode_contributors(chip, layer) || decode_enables(chip, layer))
        return chip->fault.code;
    return layer->kernels ? decode_convolution(chip, layer) : decode_pass_through(chip, layer);
}
