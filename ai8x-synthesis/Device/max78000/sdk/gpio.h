/* Stand-in: pins. */
#ifndef GPIO_H
#define GPIO_H

#include <stdint.h>

typedef struct mxc_gpio_regs mxc_gpio_regs_t;
typedef enum { MXC_GPIO_FUNC_OUT = 1 } mxc_gpio_func_t;
typedef enum { MXC_GPIO_PAD_NONE } mxc_gpio_pad_t;

typedef struct {
    mxc_gpio_regs_t *port;
    uint32_t mask;
    mxc_gpio_func_t func;
    mxc_gpio_pad_t pad;
} mxc_gpio_cfg_t;

#define MXC_GPIO0 ((mxc_gpio_regs_t *)0)
#define MXC_GPIO1 ((mxc_gpio_regs_t *)1)
#define MXC_GPIO2 ((mxc_gpio_regs_t *)2)
#define MXC_GPIO_PIN_0 (1u << 0)
#define MXC_GPIO_PIN_1 (1u << 1)
#define MXC_GPIO_PIN_2 (1u << 2)
#define MXC_GPIO_PIN_3 (1u << 3)
#define MXC_GPIO_PIN_4 (1u << 4)
#define MXC_GPIO_PIN_5 (1u << 5)
#define MXC_GPIO_PIN_6 (1u << 6)
#define MXC_GPIO_PIN_7 (1u << 7)

int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg);
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask);
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask);

#endif
