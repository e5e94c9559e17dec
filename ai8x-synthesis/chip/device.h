/* What distinguishes the devices, as data. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>
#include <stdint.h>

struct chip;
struct layer;

enum { MAX_LAYERS = 32, MAX_REGISTERS = 21, MAX_GROUPS = 4, MAX_PROCESSORS = 64 };

/* Sets of supported values of a field: bit v stands for value v. */
#define ANY 0xFFFFFFFFu  /* every value */
#define ZERO 0x1u        /* only 0: a mode without a proven meaning */
#define NOT_MODELLED 0x0u /* only 0: the model leaves the rest out */

struct field {
    const char *name;
    uint8_t high, low;
    uint32_t allowed;
};

/* A register. common: bits that must be equal in all groups that are started; layers: of how many it exists. */
struct description {
    const char *name;
    uint32_t common, layers;
    struct field fields[25];
};

/* Where a group's bias is programmed: register, and positions of its fields. */
struct bias_fields {
    uint32_t reg, enable, first, mask;
};

/* A range of addresses that the model leaves out. */
struct window {
    uint32_t address, size;
    const char *name;
};

/* Addresses are bytes; those of registers and memories are relative to the group. Strides are those of processors,
 * instances and register numbers. */
struct device {
    uint32_t number;
    uint32_t base, group_stride, groups, group_processors;
    uint32_t global_registers; /* their count, at the beginning of the group */
    uint32_t layer_registers, register_stride, registers;
    uint32_t tram, tram_stride, tram_entries;
    uint32_t mask_ram, mask_ram_stride, mask_columns;
    uint32_t bias_ram, bias_entries;
    uint32_t data_memory, instance_stride, instance_words;
    uint32_t always_on; /* absolute address of the register; 0: there is none */
    const struct window *left_out;
    const struct description *global, *layer, *always_on_register;
    uint32_t lctl, ena; /* numbers of these layer registers */
    uint32_t chw_processors; /* of a group: those that may read CHW data, one of an instance at most */
    struct bias_fields bias;
    uint32_t commit_bits;   /* that must be 0 in the word that commits a kernel */
    uint32_t ctl_required;  /* bits of CTL that must be 1 in a group that is started */
    uint32_t ctl_packed;    /* the bit of CTL that turns packed loading on; 0: there is none */
    uint32_t zeros_written; /* 1: programs write registers that are 0 too */
    uint32_t all_done;      /* 1: the completion flag rises in all groups that were started; 0: in the master */
    int32_t (*decode)(struct chip *chip, struct layer *layer);
    uint64_t (*cycles)(const struct layer *layer);
    uint64_t startup_cycles;
};

extern const struct description GLOBAL84[], LAYER84[], GLOBAL85[], LAYER85[], ALWAYS_ON85;

/* NULL if there is no such device. */
const struct device *find_device(uint32_t number);

/* Addresses. Processors and instances count through all groups. */
uint32_t group_address(const struct device *device, uint32_t group);
uint32_t layer_register_address(const struct device *device, uint32_t group, uint32_t reg, uint32_t layer);
uint32_t bias_address(const struct device *device, uint32_t group, uint32_t entry);
uint32_t column_address(const struct device *device, uint32_t processor, uint32_t column);
uint32_t data_address(const struct device *device, uint32_t word); /* word: through all instances */
uint32_t processors(const struct device *device);
uint32_t data_words(const struct device *device);

#endif
