/* Stand-in: the fields of the global control registers that concern the accelerator (AI85 hardware reference 3.7, which
 * does not give the registers' addresses: these here are the emulated microcontroller's). */
#ifndef GCR_REGS_H
#define GCR_REGS_H

#include <stdint.h>

typedef struct {
    volatile uint32_t unused0[6], pclkdiv, unused1[2], pclkdis0;
} mxc_gcr_regs_t;

#define MXC_GCR ((mxc_gcr_regs_t *)0x40000000)

#define MXC_F_GCR_PCLKDIV_CNNCLKDIV (7u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1 (4u << 14)
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL (1u << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK 0u
#define MXC_F_GCR_PCLKDIS0_CNN_POS 25

#endif
