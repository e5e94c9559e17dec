/* Stand-in: clocks. */
#ifndef MXC_SYS_H
#define MXC_SYS_H

#include "gcr_regs.h"
#include "mxc_device.h"

typedef enum { MXC_SYS_CLOCK_IPO } mxc_sys_system_clock_t;
typedef enum { MXC_SYS_PERIPH_CLOCK_CNN = MXC_F_GCR_PCLKDIS0_CNN_POS } mxc_sys_periph_clock_t;

int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock);
void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock);
void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock);

#endif
