/* The state of the model, and what its parts offer to each other. */
#ifndef MODEL_H
#define MODEL_H

#include "chip.h"
#include "device.h"

enum {
    COLUMN = 9,       /* bytes of a column of mask RAM */
    LANES = 4,        /* bytes of a data memory word, one per processor */
    KERNEL_WORDS = 4, /* address space of a column: three words and the commit word (AI84 4.2, AI85 2.3) */
};

enum { CTL_ENABLE = 1u << 0, CTL_SLAVE = 1u << 11, CTL_DONE = 1u << 12 };

/* One column on its way to mask RAM: words 0 to 2 wait for the commit (AI84 4.2, AI85 5.9). */
struct staging {
    uint32_t words; /* staged so far, 0 to 3 */
    uint32_t entry; /* processor * columns + column */
    uint32_t word[3];
};

/* A run of packed columns: its bytes are cut into columns (AI85 5.8). */
struct packed {
    uint32_t active, processor, column; /* column: the one being filled */
    uint32_t address;                   /* of the next word */
    uint32_t count;                     /* bytes that wait */
    uint8_t bytes[12];
};

struct group {
    uint32_t ctl, sram_control, layers_max;
    uint8_t layers_max_written;
    uint8_t has_run;     /* took part in a run and was not stopped since */
    uint32_t configured; /* bit l: a register of layer l was written */
    uint32_t reg[MAX_REGISTERS][MAX_LAYERS];
    struct staging staging;
    struct packed packed;
};

/* Why a byte of data memory may be read or not. */
enum byte_state { NEVER_WRITTEN = 0, VALID, FROM_UNWRITTEN_KERNEL, FROM_UNWRITTEN_BIAS, FROM_UNWRITTEN_DATA };

/* What was missing when a layer computed a byte: column `entry` of processor `unit`, bias `entry` of group `unit`, or
 * the byte that processor `unit` reads from word `entry` of its instance. */
struct origin {
    uint8_t layer, unit;
    uint16_t entry;
};

struct chip {
    const struct device *device;
    struct chip_fault fault;
    struct group group[MAX_GROUPS];
    uint32_t always_on;
    uint16_t *tram;        /* [processor][entry] */
    int8_t *kernel;        /* [processor][column][COLUMN], the most significant byte first */
    uint8_t *committed;    /* [processor][column] */
    int8_t *bias;          /* [group][entry] */
    uint8_t *bias_written; /* [group][entry] */
    uint8_t *data;         /* [instance][word][LANES] */
    uint8_t *state;        /* enum byte_state of every byte of data */
    struct origin *origin; /* of the bytes in a state FROM_... */
    uint32_t master, participants; /* of the last run; participants: bit g for group g */
    uint32_t running, polls;
    uint64_t run_cycles; /* of the run in progress */
    uint64_t layer_cycles[MAX_LAYERS]; /* of the layers of that run, or of the last one */
    uint64_t cycles, total_cycles;
    chip_observer *observer; /* NULL: nobody looks */
    void *observer_context;
};

/* What an address means. unit: register, or processor through all groups; entry: layer, column, entry, or word of data
 * memory through all instances. */
enum region { NOWHERE, GLOBAL_REGISTER, LAYER_REGISTER, ALWAYS_ON, TRAM, MASK_RAM, BIAS_RAM, DATA_MEMORY };

struct place {
    enum region region;
    uint32_t group, unit, entry, word;
};

/* Records the first fault (printf-style) and returns its code. */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
int32_t fault(struct chip *chip, enum chip_fault_code code, uint32_t address, const char *format, ...);

/* registers.c */
int32_t check_register(struct chip *chip, uint32_t address, const struct description *reg, uint32_t value);
int32_t check_width(struct chip *chip, uint32_t address, const char *name, uint32_t bits, uint32_t value);

/* memory.c: the memories as the bus sees them. */
int32_t write_memory(struct chip *chip, uint32_t address, struct place at, uint32_t value);
int32_t read_memory(struct chip *chip, uint32_t address, struct place at, uint32_t *value);
void describe_unknown(const struct chip *chip, uint32_t byte, char *text, size_t size);

/* packed.c: packed loading of mask RAM. */
int32_t begin_packed(struct chip *chip, uint32_t address, struct place at, uint32_t value);
int32_t write_packed(struct chip *chip, uint32_t address, struct place at, uint32_t value);
int32_t end_packed(struct chip *chip, uint32_t group);

/* start.c: checks the configuration and runs all layers. */
int32_t start(struct chip *chip, uint32_t master);

#endif
