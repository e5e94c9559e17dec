/* Verdict of the stand-in for the test bench. pass() ends a test; fail() before it means failure. */
#include "global_functions.h"

static int failed;

void fail(void)
{
    failed = 1;
}

void pass(void)
{
    printf(failed ? "*** FAIL ***\n" : "*** PASS ***\n");
    platform_exit(failed);
}
