/* Register-level model of a CNN accelerator: the bus interface.
 *
 * The model knows only what was written to its addresses. Whatever hardware could not do, or would do with undefined
 * results, is a fault: the first one stops the model, and every later access reports it again. Section numbers in these
 * files are those of the hardware reference of the device: "AI85 5.8" is section 5.8 of the AI85 hardware reference. In
 * the files of one device (name84.c, name85.c) the device is left out.
 */
#ifndef CHIP_H
#define CHIP_H

#include <stddef.h>
#include <stdint.h>

enum chip_fault_code {
    CHIP_OK = 0,
    CHIP_ADDRESS,       /* an address or a width of access that does not exist (AI84 2.1, 2.4; AI85 2) */
    CHIP_FIELD,         /* a reserved bit or an unsupported value of a field (AI84 3, AI85 3) */
    CHIP_ORDER,         /* the words of a kernel out of order (AI84 4.2, AI85 5.8, 5.9) */
    CHIP_START,         /* started, but not configured completely and consistently (AI84 1.5, 3, 7; AI85 4.5, 8) */
    CHIP_UNINITIALISED, /* reads memory that holds no value */
    CHIP_RUNNING,       /* access during a run (AI84 2.4) */
    CHIP_MEMORY,        /* the computer that runs the model is out of memory */
    CHIP_NOT_MODELLED,  /* a part of the accelerator that exists, but not in the model */
};

struct chip_fault {
    int32_t code;     /* enum chip_fault_code */
    uint32_t address; /* where, on the bus */
    char text[256];
};

struct chip;

/* A chip after reset; NULL if the device number (84, 85) is unknown or memory is short. */
struct chip *chip_create(uint32_t device);
void chip_destroy(struct chip *chip);

/* One aligned 32-bit access. Both return CHIP_OK or the code of the fault; a fault leaves *value unchanged. */
int32_t chip_write32(struct chip *chip, uint32_t address, uint32_t value);
int32_t chip_read32(struct chip *chip, uint32_t address, uint32_t *value);

/* One 8-bit write. Its only use is to begin a run of packed weights (AI85 5.8); anything else is a fault. */
int32_t chip_write8(struct chip *chip, uint32_t address, uint32_t value);

/* count accesses in order, up to the first fault. */
int32_t chip_write_many(struct chip *chip, size_t count, const uint32_t *addresses, const uint32_t *values);
int32_t chip_read_many(struct chip *chip, size_t count, const uint32_t *addresses, uint32_t *values);

/* The interrupt line: 1 after completion, until the flag is cleared in CTL. Asking counts as polling, like reading
 * CTL. */
int32_t chip_irq(struct chip *chip);

/* Estimated accelerator clocks, see cycles.c: of the last run whose completion was seen, of a layer (from 0) of the last
 * started run, 0 before the first has completed, and of all completed runs. */
uint64_t chip_cycles(const struct chip *chip);
uint64_t chip_layer_cycles(const struct chip *chip, uint32_t layer);
uint64_t chip_total_cycles(const struct chip *chip);

const struct chip_fault *chip_last_fault(const struct chip *chip);

/* For debuggers, which hardware has nothing like. `after` is called when a layer of a run has been computed, with its
 * number and the clocks of the run until then; NULL ends that. chip_peek copies bytes of data memory at any time, within
 * such a call too, whether they hold a value or not; CHIP_ADDRESS if an address is not data memory. */
typedef void chip_observer(void *context, uint32_t layer, uint64_t clocks);
void chip_observe(struct chip *chip, chip_observer *after, void *context);
int32_t chip_peek(const struct chip *chip, size_t count, const uint32_t *addresses, uint8_t *bytes);

#endif
