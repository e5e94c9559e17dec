/* Vector table and start-up code for a Cortex-M4 without the vendor's SDK. */
#include "tornadocnn.h"

#ifdef CNN_BARE_METAL

/* Set by link.ld. */
extern uint32_t stack_top[], data_start[], data_end[], data_load[], bss_start[], bss_end[];

int main(void);

/* Coprocessor access control: full access to the floating-point unit (Armv7-M architecture reference, B3.2.20). */
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define CPACR_FPU (0xFu << 20)

void reset_handler(void)
{
    const uint32_t *from = data_load;

    CPACR |= CPACR_FPU;
    for (volatile uint32_t *to = data_start; to < data_end; to++)
        *to = *from++;
    for (volatile uint32_t *to = bss_start; to < bss_end; to++)
        *to = 0;
    platform_exit(main());
}

/* Any exception ends the program with this status. */
static void fault_handler(void)
{
    platform_exit(255);
}

struct vectors {
    const uint32_t *stack;
    void (*handler[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {
    stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, 0, 0, 0, 0,
     fault_handler, fault_handler, 0, fault_handler, fault_handler},
};

#endif
