/* Stand-in for the support code of the test bench for RTL simulation (AI84 hardware reference 7.7). cnn-run.py builds
 * tests with it; it is not copied into their folders. */
#ifndef GLOBAL_FUNCTIONS_H
#define GLOBAL_FUNCTIONS_H

#include "tornadocnn.h"

/* The clock gates of the microcontroller; bit 5 of perckcn1 stops the accelerator's clock (7.2). */
struct gcr_registers {
    volatile uint32_t perckcn1;
};

extern struct gcr_registers gcr_registers;
#define MXC_GCR (&gcr_registers)

#endif
