/* Stand-in: delays. */
#ifndef MXC_DELAY_H
#define MXC_DELAY_H

#include <stdint.h>

#define MXC_DELAY_SEC(s) ((uint32_t)((s) * 1000000u))

int MXC_Delay(uint32_t us);

#endif
