/* What must hold when the master is started (1.5, 3, 7.3), and the loop over the layers. */
#include "model.h"

enum { LCTL_MASTER = 1u << 5, LCTL_CHW = 1u << 6, LCTL_POOL = 1u << 7, LCTL_MAX = 1u << 8, LCTL_RELU = 1u << 9,
       LCTL_GLOBAL = 1u << 11, MCNT_BIAS = 1u << 24 };

static uint32_t reg(const struct chip *chip, uint32_t group, uint32_t number, uint32_t layer)
{
    return chip->group[group].reg[number][layer];
}

static uint32_t ctl_address(const struct chip *chip, uint32_t group)
{
    return group_address(chip->device, group);
}

static uint32_t reg_address(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t number)
{
    return layer_register_address(chip->device, group, number, layer->index);
}

/* Bits that may differ between groups: group summing, bias, and the enables (1.5). */
static uint32_t common_bits(uint32_t number)
{
    switch (number) {
    case LCTL:
        return 0xFFFF0FFF;
    case MCNT:
        return 0xFE00FFFF;
    case ENA:
        return 0;
    default:
        return 0xFFFFFFFF;
    }
}

static int32_t check_group(struct chip *chip, uint32_t master, uint32_t g)
{
    const struct group *group = &chip->group[g];
    uint32_t address = ctl_address(chip, g), source = group->ctl >> 9 & 3, slave = (group->ctl & CTL_SLAVE) != 0;

    if (g != master && (!slave || source != master))
        return fault(chip, CHIP_START, address,
                     "group %u was started as master, but the enabled group %u is not slaved to it: CTL = 0x%08X",
                     master, g, group->ctl);
    if (group->has_run)
        return fault(chip, CHIP_START, address,
                     "group %u was not stopped after the last run: write CTL = 0x06 to all used groups first",
                     g);
    if (group->staging.words)
        return fault(chip, CHIP_START, address, "group %u started while a kernel is staged and not committed",
                     g);
    if (!group->layers_max_written)
        return fault(chip, CHIP_START, address, "group %u started but LCNT_MAX is not configured", g);
    if (group->layers_max != chip->group[master].layers_max)
        return fault(chip, CHIP_START, address, "LCNT_MAX differs: %u in group %u, %u in group %u",
                     chip->group[master].layers_max, master, group->layers_max, g);
    for (uint32_t l = 0; l <= group->layers_max; l++)
        if (!(group->configured >> l & 1))
            return fault(chip, CHIP_START, address, "group %u started but layer %u is not configured", g,
                         l);
    return CHIP_OK;
}

static int32_t check_equal(struct chip *chip, uint32_t master, uint32_t group, uint32_t l)
{
    for (uint32_t r = 0; r < REGISTERS; r++) {
        uint32_t a = reg(chip, master, r, l), b = reg(chip, group, r, l);

        if ((a ^ b) & common_bits(r))
            return fault(chip, CHIP_START, layer_register_address(chip->device, group, r, l),
                         "%s of layer %u differs: 0x%08X in group %u, 0x%08X in group %u", layer_register_name(r),
                         l, a, master, b, group);
    }
    return CHIP_OK;
}

static int32_t participants(struct chip *chip, uint32_t master, uint32_t *mask)
{
    *mask = 0;
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        if (!(chip->group[g].ctl & CTL_ENABLE))
            continue;
        *mask |= 1u << g;
        if (check_group(chip, master, g))
            return chip->fault.code;
    }
    for (uint32_t g = 0; g < chip->device->groups; g++)
        for (uint32_t l = 0; (*mask >> g & 1) && l <= chip->group[master].layers_max; l++)
            if (check_equal(chip, master, g, l))
                return chip->fault.code;
    return CHIP_OK;
}

/* Input size (3.3), pooled and output size (1.4) in one direction; 0 if no output pixel is left. */
static int decode_axis(uint32_t counter, const struct layer *layer, struct axis *axis)
{
    int32_t pad = counter >> 8 & 3, input = (int32_t)(counter & 0xFF) + 1 - 2 * pad;
    int32_t pool = (int32_t)layer->pool, stride = (int32_t)layer->stride;
    int32_t pooled = pool ? (input + stride - pool) / stride : input;

    if (input < 1 || input < pool || pooled + 2 * pad < 3)
        return 0;
    *axis = (struct axis){(uint32_t)input, (uint32_t)pooled, (uint32_t)pad, (uint32_t)(pooled + 2 * pad - 2)};
    return 1;
}

static int32_t decode_size(struct chip *chip, uint32_t master, struct layer *layer)
{
    uint32_t l = layer->index, tptr = reg(chip, master, TPTR, l);

    if (!decode_axis(reg(chip, master, RCNT, l), layer, &layer->rows))
        return fault(chip, CHIP_START, reg_address(chip, layer, master, RCNT),
                     "RCNT of layer %u = 0x%08X leaves no output row", l, reg(chip, master, RCNT, l));
    if (!decode_axis(reg(chip, master, CCNT, l), layer, &layer->columns))
        return fault(chip, CHIP_START, reg_address(chip, layer, master, CCNT),
                     "CCNT of layer %u = 0x%08X leaves no output column", l, reg(chip, master, CCNT, l));
    if (tptr != layer->columns.output - 1)
        return fault(chip, CHIP_START, reg_address(chip, layer, master, TPTR),
                     "TPTR of layer %u is %u, but must be output columns - 1 = %u", l, tptr,
                     (layer->columns.output - 1));
    return CHIP_OK;
}

/* Square windows of 2 or 4 and strides of 1, 2 or 4 (1.4). */
static int32_t decode_pooling(struct chip *chip, uint32_t master, struct layer *layer)
{
    uint32_t l = layer->index, rows = reg(chip, master, PRCNT, l) + 1, columns = reg(chip, master, PCCNT, l) + 1;

    layer->stride = 1;
    layer->max_pool = (reg(chip, master, LCTL, l) & LCTL_MAX) != 0;
    if (!(reg(chip, master, LCTL, l) & LCTL_POOL))
        return CHIP_OK;
    if (rows != columns || rows == 1)
        return fault(chip, CHIP_START, reg_address(chip, layer, master, PRCNT),
                     "layer %u pools windows of %u rows and %u columns: PRCNT and PCCNT must be equal, and 1 or 3",
                     l, rows, columns);
    layer->pool = rows;
    layer->stride = reg(chip, master, STRIDE, l) + 1;
    return CHIP_OK;
}

static int32_t decode_masks(struct chip *chip, uint32_t master, struct layer *layer)
{
    uint32_t mcnt = reg(chip, master, MCNT, layer->index);

    layer->masks = (mcnt & 0x7F) + 1;
    layer->first_column = mcnt >> 8 & 0x7F;
    if (layer->first_column % LANES || layer->first_column + layer->masks > chip->device->mask_columns)
        return fault(chip, CHIP_START, reg_address(chip, layer, master, MCNT),
                     "MCNT of layer %u = 0x%08X: %u masks from column %u; the first column must be a multiple of 4, "
                     "the last below %u", layer->index, mcnt, layer->masks,
                     layer->first_column, chip->device->mask_columns);
    return CHIP_OK;
}

/* The groups whose sums the master adds: itself and those of cnnsiena (3.5.4). */
static int32_t decode_contributors(struct chip *chip, uint32_t master, struct layer *layer)
{
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t sum = reg(chip, g, LCTL, layer->index) >> 12, address = reg_address(chip, layer, g, LCTL);

        if (!(layer->participants >> g & 1) || !sum)
            continue;
        if (g != master || sum >> g & 1)
            return fault(chip, CHIP_START, address,
                         "cnnsiena of layer %u in group %u is 0x%X: only the master (group %u) sums, and other groups",
                         layer->index, g, sum, master);
        if (sum & ~layer->participants)
            return fault(chip, CHIP_START, address,
                         "cnnsiena of layer %u is 0x%X: it names a group that is not started (started: 0x%X)",
                         layer->index, sum, layer->participants);
    }
    layer->contributors = 1u << master | reg(chip, master, LCTL, layer->index) >> 12;
    return CHIP_OK;
}

/* The single group that adds the bias (5). */
static int32_t decode_bias(struct chip *chip, struct layer *layer)
{
    layer->bias_group = -1;
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t mcnt = reg(chip, g, MCNT, layer->index), address = reg_address(chip, layer, g, MCNT);

        if (!(layer->participants >> g & 1) || !(mcnt & MCNT_BIAS))
            continue;
        if (layer->bias_group >= 0)
            return fault(chip, CHIP_START, address, "groups %d and %u both add a bias in layer %u",
                         (int)layer->bias_group, g, layer->index);
        if (!(layer->contributors >> g & 1))
            return fault(chip, CHIP_START, address, "group %u has the bias of layer %u, but is not part of the sum",
                         g, layer->index);
        layer->bias_group = (int32_t)g;
        layer->first_bias = mcnt >> 16 & 0xFF;
    }
    if (layer->bias_group >= 0 && layer->first_bias + layer->masks > chip->device->bias_entries)
        return fault(chip, CHIP_START, reg_address(chip, layer, (uint32_t)layer->bias_group, MCNT),
                     "the bias of layer %u ends behind the last entry: %u values from entry %u", layer->index,
                     layer->masks, layer->first_bias);
    return CHIP_OK;
}

static int32_t decode_enables(struct chip *chip, struct layer *layer)
{
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t ena = layer->participants >> g & 1 ? reg(chip, g, ENA, layer->index) : 0, p = ena & 0xFFFF;

        if (ena >> 16 != p)
            return fault(chip, CHIP_START, reg_address(chip, layer, g, ENA),
                         "ENA of layer %u in group %u = 0x%08X: mask and processor enables must be equal",
                         layer->index, g, ena);
        if (layer->chw && p & 0xEEEE)
            return fault(chip, CHIP_START, reg_address(chip, layer, g, ENA),
                         "layer %u reads CHW data with processors 0x%04X of group %u: only the first processor of an "
                         "instance may", layer->index, p, g);
        layer->enabled[g] = p;
    }
    return CHIP_OK;
}

static int32_t decode_control(struct chip *chip, uint32_t master, struct layer *layer)
{
    uint32_t lctl = reg(chip, master, LCTL, layer->index);

    if (!(lctl & LCTL_MASTER) || !(lctl & LCTL_GLOBAL))
        return fault(chip, CHIP_START, reg_address(chip, layer, master, LCTL),
                     "LCTL of layer %u = 0x%08X: master (bit 5) and sramlsrc (bit 11) must be 1; other modes are not "
                     "supported",
                     layer->index, lctl);
    layer->chw = (lctl & LCTL_CHW) != 0;
    layer->relu = (lctl & LCTL_RELU) != 0;
    return CHIP_OK;
}

static int32_t decode_layer(struct chip *chip, uint32_t master, struct layer *layer)
{
    layer->read_pointer = reg(chip, master, RPTR_BASE, layer->index);
    layer->write_pointer = reg(chip, master, WPTR_BASE, layer->index);
    layer->write_step = reg(chip, master, WPTR_OFF, layer->index) >> 16;
    if (decode_control(chip, master, layer) || decode_pooling(chip, master, layer) || decode_size(chip, master, layer)
        || decode_masks(chip, master, layer) || decode_contributors(chip, master, layer) || decode_bias(chip, layer)
        || decode_enables(chip, layer))
        return chip->fault.code;
    return CHIP_OK;
}

static int32_t run(struct chip *chip, uint32_t master, uint32_t groups)
{
    chip->run_cycles = 0;
    for (uint32_t l = 0; l <= chip->group[master].layers_max; l++) {
        struct layer layer = {.index = l, .participants = groups};

        if (decode_layer(chip, master, &layer) || run_layer(chip, &layer))
            return chip->fault.code;
        chip->run_cycles += layer_cycles(&layer);
    }
    return CHIP_OK;
}

int32_t start(struct chip *chip, uint32_t master)
{
    uint32_t groups;

    if (participants(chip, master, &groups) || run(chip, master, groups))
        return chip->fault.code;
    for (uint32_t g = 0; g < chip->device->groups; g++)
        chip->group[g].has_run |= groups >> g & 1;
    chip->master = master;
    chip->running = 1;
    chip->polls = 0;
    return CHIP_OK;
}
