/* Stand-in: the interrupt of the accelerator, and what CMSIS gives to a Cortex-M4 program. The registers are those of the
 * Armv7-M architecture reference, B3.2 and B3.4; the interrupt's number is in the AI85 hardware reference, 3.7. */
#ifndef MXC_DEVICE_H
#define MXC_DEVICE_H

#include <stdint.h>

typedef enum { CNN_IRQn = 101 } IRQn_Type;

void SystemCoreClockUpdate(void);

typedef struct {
    volatile uint32_t CPUID, ICSR, VTOR, AIRCR, SCR;
} SCB_Type;

#define SCB ((SCB_Type *)0xE000ED00)
#define SCB_SCR_SLEEPDEEP_Msk (1u << 2)

#define NVIC_ISER ((volatile uint32_t *)0xE000E100)
#define NVIC_ICER ((volatile uint32_t *)0xE000E180)

static inline void NVIC_EnableIRQ(IRQn_Type irqn)
{
    NVIC_ISER[irqn / 32] = 1u << (irqn % 32);
}

static inline void NVIC_DisableIRQ(IRQn_Type irqn)
{
    NVIC_ICER[irqn / 32] = 1u << (irqn % 32);
}

static inline void __enable_irq(void)
{
    __asm__ volatile("cpsie i" : : : "memory");
}

static inline void __disable_irq(void)
{
    __asm__ volatile("cpsid i" : : : "memory");
}

static inline void __ISB(void)
{
    __asm__ volatile("isb 0xf" : : : "memory");
}

static inline void __WFI(void)
{
    __asm__ volatile("wfi" : : : "memory");
}

#endif
