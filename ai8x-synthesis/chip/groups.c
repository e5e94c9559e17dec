/* What all devices decode alike: sizes, and which groups and processors take part in a layer. */
#include "layer.h"

uint32_t layer_register(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t reg)
{
    return chip->group[group].reg[reg][layer->index];
}

uint32_t register_address(const struct chip *chip, const struct layer *layer, uint32_t group, uint32_t reg)
{
    return layer_register_address(chip->device, group, reg, layer->index);
}

/* Input (maximum: its pixels with padding, less one), pooled and output size in one direction (AI84 1.4, 3.3; AI85 4.1,
 * 4.5.1). The axis brings its window, pad and kernel. */
int32_t decode_axis(struct chip *chip, const struct layer *layer, uint32_t reg, const char *direction, uint32_t maximum,
                    struct axis *axis)
{
    int32_t input = (int32_t)(maximum + 1 - 2 * axis->pad), window = (int32_t)axis->window;
    int32_t pooled = (input - window) / (int32_t)layer->stride + 1;
    int32_t output = pooled + (int32_t)(2 * axis->pad - axis->kernel + 1);

    if (input < 1 || input < window || output < 1)
        return fault(chip, CHIP_START, register_address(chip, layer, layer->master, reg),
                     "%s of layer %u = 0x%08X leaves no output %s", chip->device->layer[reg].name, layer->index,
                     layer_register(chip, layer, layer->master, reg), direction);
    axis->input = (uint32_t)input;
    axis->pooled = (uint32_t)pooled;
    axis->output = (uint32_t)output;
    return CHIP_OK;
}

/* The groups whose sums the master adds: itself and those of cnnsiena (AI84 3.5.4, AI85 4.5.9). */
int32_t decode_contributors(struct chip *chip, struct layer *layer)
{
    uint32_t master = layer->master;

    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t sum = layer_register(chip, layer, g, chip->device->lctl) >> 12 & 0xF;
        uint32_t address = register_address(chip, layer, g, chip->device->lctl);

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
    layer->contributors = 1u << master | (layer_register(chip, layer, master, chip->device->lctl) >> 12 & 0xF);
    return CHIP_OK;
}

/* The single group that adds the bias (AI84 5, AI85 6). */
int32_t decode_bias(struct chip *chip, struct layer *layer)
{
    const struct bias_fields *fields = &chip->device->bias;

    layer->bias_group = -1;
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t value = layer_register(chip, layer, g, fields->reg);
        uint32_t address = register_address(chip, layer, g, fields->reg);

        if (!(layer->participants >> g & 1) || !(value >> fields->enable & 1))
            continue;
        if (layer->bias_group >= 0)
            return fault(chip, CHIP_START, address, "groups %d and %u both add a bias in layer %u",
                         (int)layer->bias_group, g, layer->index);
        if (!(layer->contributors >> g & 1))
            return fault(chip, CHIP_START, address, "group %u has the bias of layer %u, but is not part of the sum",
                         g, layer->index);
        layer->bias_group = (int32_t)g;
        layer->first_bias = value >> fields->first & fields->mask;
    }
    return CHIP_OK;
}

/* AI84 6.2; AI85 7.2, where it may be any lane of the instance. */
static int may_read_chw(const struct device *device, uint32_t enabled)
{
    for (uint32_t instance = enabled; instance; instance >>= LANES)
        if (count_bits(instance & 0xF) > 1)
            return 0;
    return !(enabled & ~device->chw_processors);
}

int32_t decode_enables(struct chip *chip, struct layer *layer)
{
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        uint32_t value = layer->participants >> g & 1 ? layer_register(chip, layer, g, chip->device->ena) : 0;
        uint32_t p = value & 0xFFFF, address = register_address(chip, layer, g, chip->device->ena);

        if (value >> 16 != (layer->kernels ? p : 0))
            return fault(chip, CHIP_START, address,
                         "ENA of layer %u in group %u = 0x%08X: mask and processor enables must be equal",
                         layer->index, g, value);
        if (layer->chw && !may_read_chw(chip->device, p))
            return fault(chip, CHIP_START, address,
                         "layer %u reads CHW data with processors 0x%04X of group %u: only %s processor of an instance "
                         "may", layer->index, p, g, chip->device->chw_processors == 0x1111 ? "the first" : "one");
        layer->enabled[g] = p;
    }
    return CHIP_OK;
}

uint32_t count_bits(uint32_t value)
{
    uint32_t count = 0;

    for (; value; value &= value - 1)
        count++;
    return count;
}
