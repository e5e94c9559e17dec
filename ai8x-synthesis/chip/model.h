/* The state of the model, shared by its parts. */
#ifndef MODEL_H
#define MODEL_H

#include "chip.h"

enum {
    LAYERS = 32,
    REGISTERS = 13,
    MAX_GROUPS = 4,
    KERNEL = 9,       /* bytes of a 3x3 kernel */
    LANES = 4,        /* bytes of a data memory word, one per processor */
    KERNEL_WORDS = 4, /* address space of a kernel: three words and the commit word (4.2) */
};

/* Layer register numbers (3.2). */
enum { RCNT = 0, CCNT = 1, PRCNT = 3, PCCNT = 4, STRIDE = 5, WPTR_BASE = 6, WPTR_OFF = 7, RPTR_BASE = 8, LCTL = 9,
       MCNT = 10, TPTR = 11, ENA = 12 };

enum { CTL_ENABLE = 1u << 0, CTL_SLAVE = 1u << 11, CTL_DONE = 1u << 12 };

/* Addresses are bytes, offsets are relative to the group (2.1). */
struct device {
    uint32_t number;
    uint32_t base, group_stride, groups, group_processors;
    uint32_t layer_registers, register_stride;
    uint32_t tram, tram_stride, tram_entries;
    uint32_t mask_ram, mask_ram_stride, mask_columns;
    uint32_t bias_ram, bias_entries;
    uint32_t data_memory, instance_stride, instance_words;
};

/* One kernel on its way to mask RAM: words 0 to 2 wait for the commit (4.2). */
struct staging {
    uint32_t words; /* staged so far, 0 to 3 */
    uint32_t entry; /* processor * columns + column */
    uint32_t word[3];
};

struct group {
    uint32_t ctl, sram_control, layers_max;
    uint8_t layers_max_written;
    uint8_t has_run;     /* took part in a run and was not stopped since */
    uint32_t configured; /* bit l: a register of layer l was written */
    uint32_t reg[REGISTERS][LAYERS];
    struct staging staging;
};

/* Why a byte of data memory may be read or not. */
enum byte_state { NEVER_WRITTEN = 0, VALID, FROM_UNWRITTEN_KERNEL };

/* The mask RAM entry that was missing when a byte was computed. */
struct origin {
    uint8_t layer, processor, column;
};

struct chip {
    const struct device *device;
    struct chip_fault fault;
    struct group group[MAX_GROUPS];
    uint16_t *tram;         /* [processor][entry] */
    int8_t *kernel;         /* [processor][column][KERNEL], row-major */
    uint8_t *committed;     /* [processor][column] */
    int8_t *bias;           /* [group][entry] */
    uint8_t *bias_written;  /* [group][entry] */
    uint8_t *data;          /* [instance][word][LANES] */
    uint8_t *state;         /* enum byte_state of every byte of data */
    struct origin *origin;  /* of the bytes in state FROM_UNWRITTEN_KERNEL */
    uint32_t master, running, polls;
    uint64_t run_cycles; /* of the run in progress */
    uint64_t cycles, total_cycles;
};

/* Pixels of a layer in one direction: padding follows pooling (1.2). */
struct axis {
    uint32_t input, pooled, pad, output;
};

/* One layer as decoded from the registers (1.5). Pointers are words. */
struct layer {
    uint32_t index;
    struct axis rows, columns;
    uint32_t pool, stride; /* pool 0: none; then stride is 1 */
    uint32_t max_pool, relu, chw;
    uint32_t masks, first_column;
    uint32_t read_pointer, write_pointer, write_step;
    uint32_t participants, contributors; /* bit g: group g */
    uint32_t enabled[MAX_GROUPS];        /* bit p: processor p of the group */
    int32_t bias_group;                  /* -1: no bias */
    uint32_t first_bias;
};

/* Records the first fault (printf-style) and returns its code. */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
int32_t fault(struct chip *chip, enum chip_fault_code code, uint32_t address, const char *format, ...);

/* Addresses (2.2). Processors and instances count through all groups. */
uint32_t group_address(const struct device *device, uint32_t group);
uint32_t layer_register_address(const struct device *device, uint32_t group, uint32_t reg, uint32_t layer);
uint32_t bias_address(const struct device *device, uint32_t group, uint32_t entry);
uint32_t data_address(const struct device *device, uint32_t word); /* word: global word address (1.5.6) */
uint32_t processors(const struct device *device);
uint32_t data_words(const struct device *device);

/* registers.c: names, fields and their legal values. */
const char *layer_register_name(uint32_t reg);
int32_t check_global_register(struct chip *chip, uint32_t address, uint32_t offset, uint32_t value);
int32_t check_layer_register(struct chip *chip, uint32_t address, uint32_t reg, uint32_t value);

/* start.c: checks the configuration and runs all layers. */
int32_t start(struct chip *chip, uint32_t master);

/* layer.c: runs one layer. */
int32_t run_layer(struct chip *chip, const struct layer *layer);
uint64_t layer_cycles(const struct layer *layer);

#endif
