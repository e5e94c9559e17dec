/* The functions of the stand-in's headers. What the emulated microcontroller does not have (cache, pins, timers, LEDs,
 * clock sources) does nothing here; power, clock and interrupt of the accelerator are registers, as on the part. */
#include "gcr_regs.h"
#include "gpio.h"
#include "icc.h"
#include "led.h"
#include "mxc_delay.h"
#include "mxc_device.h"
#include "mxc_sys.h"
#include "nvic_table.h"
#include "tmr.h"
#include "tornadocnn.h"

#define EXCEPTIONS 16 /* before the first interrupt (Armv7-M architecture reference, B1.5.2) */
#define INTERRUPTS 120

typedef void (*handler_t)(void);

void SystemCoreClockUpdate(void) {}

void MXC_ICC_Enable(mxc_icc_regs_t *icc)
{
    (void)icc;
}

/* The 2 s in which a debugger can stop the core pass at once. */
int MXC_Delay(uint32_t us)
{
    (void)us;
    return 0;
}

int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock)
{
    (void)clock;
    return 0;
}

void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock)
{
    MXC_GCR->pclkdis0 &= ~(1u << clock);
}

void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock)
{
    MXC_GCR->pclkdis0 |= 1u << clock;
}

/* The stopwatch of the processor's cycle counter serves as every timer. */
int MXC_TMR_SW_Start(mxc_tmr_regs_t *tmr)
{
    (void)tmr;
    cnn_timer_start();
    return 0;
}

int MXC_TMR_SW_Stop(mxc_tmr_regs_t *tmr)
{
    (void)tmr;
    return (int)cnn_timer_stop();
}

void LED_On(unsigned int idx)
{
    (void)idx;
}

void LED_Off(unsigned int idx)
{
    (void)idx;
}

int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg)
{
    (void)cfg;
    return 0;
}

void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask)
{
    (void)port;
    (void)mask;
}

void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask)
{
    (void)port;
    (void)mask;
}

static void unexpected_interrupt(void)
{
    printf("interrupt without a handler\n");
    platform_exit(255);
}

/* The table starts at a multiple of its size, rounded up to a power of two (Armv7-M architecture reference, B3.2.5). */
static handler_t vectors[EXCEPTIONS + INTERRUPTS] __attribute__((aligned(1024)));

static void use_vectors_in_ram(void)
{
    const handler_t *flash = (const handler_t *)SCB->VTOR;

    for (int i = 0; i < EXCEPTIONS + INTERRUPTS; i++)
        vectors[i] = i < EXCEPTIONS ? flash[i] : unexpected_interrupt;
    SCB->VTOR = (uint32_t)vectors;
}

void MXC_NVIC_SetVector(IRQn_Type irqn, void (*irq_handler)(void))
{
    if (SCB->VTOR != (uint32_t)vectors)
        use_vectors_in_ram();
    vectors[EXCEPTIONS + irqn] = irq_handler;
}
