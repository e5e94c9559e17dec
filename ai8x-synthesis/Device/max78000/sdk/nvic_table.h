/* Stand-in: interrupt vectors. */
#ifndef NVIC_TABLE_H
#define NVIC_TABLE_H

#include "mxc_device.h"

void MXC_NVIC_SetVector(IRQn_Type irqn, void (*irq_handler)(void));

#endif
