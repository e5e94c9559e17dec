/* What must hold when the master is started (AI84 1.5, 3, 7.3; AI85 4.5, 4.7, 8.2), and the loop over the layers. */
#include "layer.h"

static int32_t check_control(struct chip *chip, uint32_t master, uint32_t g)
{
    const struct group *group = &chip->group[g];
    uint32_t address = group_address(chip->device, g), missing = chip->device->ctl_required & ~group->ctl;

    if (g != master && (!(group->ctl & CTL_SLAVE) || (group->ctl >> 9 & 3) != master))
        return fault(chip, CHIP_START, address,
                     "group %u was started as master, but the enabled group %u is not slaved to it: CTL = 0x%08X",
                     master, g, group->ctl);
    if (missing)
        return fault(chip, CHIP_START, address, "group %u started with CTL = 0x%08X: bits 0x%08X must be 1", g,
                     group->ctl, missing);
    if (group->has_run)
        return fault(chip, CHIP_START, address,
                     "group %u was not stopped after the last run: clear bit 0 of CTL of all used groups first", g);
    if (group->staging.words)
        return fault(chip, CHIP_START, address, "group %u started while a kernel is staged and not committed", g);
    if ((chip->always_on >> 8 | chip->always_on >> 12) >> g & 1)
        return fault(chip, CHIP_START, address,
                     "group %u started, but AON_CTL = 0x%08X leaves its mask RAM without power", g, chip->always_on);
    return CHIP_OK;
}

static int32_t check_layers(struct chip *chip, uint32_t master, uint32_t g)
{
    const struct group *group = &chip->group[g];
    uint32_t address = group_address(chip->device, g);

    if (chip->device->zeros_written && !group->layers_max_written)
        return fault(chip, CHIP_START, address, "group %u started but LCNT_MAX is not configured", g);
    if (group->layers_max != chip->group[master].layers_max)
        return fault(chip, CHIP_START, address, "LCNT_MAX differs: %u in group %u, %u in group %u",
                     chip->group[master].layers_max, master, group->layers_max, g);
    for (uint32_t l = 0; l <= group->layers_max; l++)
        if (!(group->configured >> l & 1))
            return fault(chip, CHIP_START, address, "group %u started but layer %u is not configured", g, l);
    return CHIP_OK;
}

static int32_t check_equal(struct chip *chip, uint32_t master, uint32_t group, uint32_t l)
{
    for (uint32_t r = 0; r < chip->device->registers; r++) {
        uint32_t a = chip->group[master].reg[r][l], b = chip->group[group].reg[r][l];

        if ((a ^ b) & chip->device->layer[r].common)
            return fault(chip, CHIP_START, layer_register_address(chip->device, group, r, l),
                         "%s of layer %u differs: 0x%08X in group %u, 0x%08X in group %u", chip->device->layer[r].name,
                         l, a, master, b, group);
    }
    return CHIP_OK;
}

/* The groups that are enabled. */
static int32_t participants(struct chip *chip, uint32_t master, uint32_t *mask)
{
    *mask = 0;
    for (uint32_t g = 0; g < chip->device->groups; g++) {
        if (!(chip->group[g].ctl & CTL_ENABLE))
            continue;
        *mask |= 1u << g;
        if (check_control(chip, master, g) || check_layers(chip, master, g))
            return chip->fault.code;
    }
    for (uint32_t g = 0; g < chip->device->groups; g++)
        for (uint32_t l = 0; (*mask >> g & 1) && l <= chip->group[master].layers_max; l++)
            if (check_equal(chip, master, g, l))
                return chip->fault.code;
    return CHIP_OK;
}

static int32_t run(struct chip *chip, uint32_t master, uint32_t groups)
{
    chip->run_cycles = chip->device->startup_cycles;
    for (uint32_t l = 0; l <= chip->group[master].layers_max; l++) {
        struct layer layer = {.index = l, .master = master, .participants = groups};

        if (chip->device->decode(chip, &layer) || run_layer(chip, &layer))
            return chip->fault.code;
        chip->layer_cycles[l] = chip->device->cycles(&layer);
        chip->run_cycles += chip->layer_cycles[l];
        if (chip->observer)
            chip->observer(chip->observer_context, l, chip->run_cycles);
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
    chip->participants = groups;
    chip->running = 1;
    chip->polls = 0;
    return CHIP_OK;
}
