/* Stand-in for the support code of the test bench for RTL simulation of MAX78000 (AI85 hardware reference 16.2). The
 * emulated microcontroller has the registers, so that a program without power or clock stops at its first access. */
#ifndef GLOBAL_FUNCTIONS_H
#define GLOBAL_FUNCTIONS_H

#include "gcr_regs.h"
#include "tornadocnn.h"

#endif
