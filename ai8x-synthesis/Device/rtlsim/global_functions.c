/* Verdict and clock gates of the stand-in for the test bench. pass() ends a test; fail() before it means failure (7.7). */
#include "global_functions.h"

#define PERCKCN1_ACCELERATOR 0x20u

struct gcr_registers gcr_registers = {0xFFFFFFFFu}; /* all clocks are off */

static int failed;

void fail(void)
{
    failed = 1;
}

void pass(void)
{
    if (gcr_registers.perckcn1 & PERCKCN1_ACCELERATOR) {
        printf("The accelerator's clock is off\n");
        failed = 1;
    }
    printf(failed ? "*** FAIL ***\n" : "*** PASS ***\n");
    platform_exit(failed);
}
