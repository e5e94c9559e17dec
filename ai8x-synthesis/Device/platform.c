/* The platform of a demo that runs without the vendor's SDK: console and exit by Arm semihosting, time from the cycle
 * counter; on the PC, time from the C library. Weak functions can be replaced by a board's own. */
#include "tornadocnn.h"

#define WEAK __attribute__((weak))

WEAK void icache_enable(void) {}

/* A board lights LED 0 during a run (7.6). */
WEAK void cnn_led(int on)
{
    (void)on;
}

/* A board shows the verdict; here main() prints it. */
WEAK void pass(void) {}

WEAK void fail(void) {}

#if __STDC_HOSTED__ && !defined MXC_SDK

#include <time.h>

static clock_t timer_start;

void cnn_timer_start(void)
{
    timer_start = clock();
}

uint32_t cnn_timer_stop(void)
{
    return (uint32_t)((double)(clock() - timer_start) * 1e6 / CLOCKS_PER_SEC);
}

#else

/* Registers of the Cortex-M4's debug unit (Armv7-M architecture reference, C1.6.5 and C1.8). */
#define DEMCR (*(volatile uint32_t *)0xE000EDFC)
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000)
#define DWT_CTRL_CYCCNTENA 1u
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004)

static uint32_t timer_start;

WEAK void cnn_timer_start(void)
{
    DEMCR |= DEMCR_TRCENA;
    DWT_CTRL |= DWT_CTRL_CYCCNTENA;
    timer_start = DWT_CYCCNT;
}

WEAK uint32_t cnn_timer_stop(void)
{
    return (DWT_CYCCNT - timer_start) / (CORE_CLOCK_HZ / 1000000u);
}

#endif

#ifdef CNN_BARE_METAL

#include <stdarg.h>
#include <stddef.h>

enum { SYS_WRITEC = 0x03, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };

static void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void platform_exit(int status)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)status};

    for (;;)
        semihosting(SYS_EXIT_EXTENDED, block);
}

WEAK void SYS_ClockEnable(sys_periph_clock_t clock)
{
    (void)clock;
}

static void put(char character)
{
    semihosting(SYS_WRITEC, &character);
}

/* One conversion: flags 0 and -, width. */
struct format {
    int left, zero, width;
};

static int put_padding(int count, char character)
{
    for (int i = 0; i < count; i++)
        put(character);
    return count > 0 ? count : 0;
}

/* sign is "" or "-"; zeros go between sign and digits, spaces around both. */
static int put_field(struct format format, const char *sign, const char *text)
{
    int length = 0, printed, padding;

    while (text[length])
        length++;
    padding = format.width - length - (*sign != 0);
    printed = format.left || format.zero ? 0 : put_padding(padding, ' ');
    if (*sign) {
        put(*sign);
        printed++;
    }
    if (format.zero && !format.left)
        printed += put_padding(padding, '0');
    for (int i = 0; i < length; i++)
        put(text[i]);
    return printed + length + (format.left ? put_padding(padding, ' ') : 0);
}

static int put_number(struct format format, const char *sign, uint32_t value, uint32_t base)
{
    char digits[11], *first = digits + sizeof digits - 1;

    *first = 0;
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    return put_field(format, sign, first);
}

static const char *parse_format(const char *at, struct format *format)
{
    *format = (struct format){0, 0, 0};
    for (; *at == '0' || *at == '-'; at++) {
        format->zero |= *at == '0';
        format->left |= *at == '-';
    }
    for (; *at >= '0' && *at <= '9'; at++)
        format->width = 10 * format->width + (*at - '0');
    return at;
}

static int put_text(struct format format, const char *text)
{
    format.zero = 0;
    return put_field(format, "", text);
}

static int put_conversion(char kind, struct format format, va_list *arguments)
{
    char text[2] = {kind, 0};

    if (kind == 'd') {
        int32_t value = va_arg(*arguments, int);
        return put_number(format, value < 0 ? "-" : "", value < 0 ? 0u - (uint32_t)value : (uint32_t)value, 10);
    }
    if (kind == 'u' || kind == 'x')
        return put_number(format, "", va_arg(*arguments, unsigned), kind == 'u' ? 10 : 16);
    if (kind == 's')
        return put_text(format, va_arg(*arguments, const char *));
    if (kind == 'c')
        text[0] = (char)va_arg(*arguments, int);
    return put_text(format, text);
}

int printf(const char *format, ...)
{
    int count = 0;
    va_list arguments;

    va_start(arguments, format);
    for (const char *at = format; *at; at++) {
        struct format conversion;

        if (*at != '%') {
            put(*at);
            count++;
            continue;
        }
        at = parse_format(at + 1, &conversion);
        if (!*at)
            break;
        count += put_conversion(*at, conversion, &arguments);
    }
    va_end(arguments);
    return count;
}

/* Compilers call these three for assignments and initialisations, also without a C library. The volatile pointers keep
 * them from recognising the loops and calling the functions from themselves. */
void *memcpy(void *to, const void *from, size_t count)
{
    volatile uint8_t *target = to;
    const uint8_t *source = from;

    while (count--)
        *target++ = *source++;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    volatile uint8_t *target = to;
    const uint8_t *source = from;

    if (target <= source)
        return memcpy(to, from, count);
    while (count--)
        target[count] = source[count];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    volatile uint8_t *target = to;

    while (count--)
        *target++ = (uint8_t)value;
    return to;
}

/* Clang calls them by these names (Run-time ABI for the Arm Architecture); 4 and 8 tell the alignment. */
#define ALIAS(name) __attribute__((alias(name)))

void __aeabi_memcpy(void *to, const void *from, size_t count)
{
    memcpy(to, from, count);
}

void __aeabi_memcpy4(void *to, const void *from, size_t count) ALIAS("__aeabi_memcpy");
void __aeabi_memcpy8(void *to, const void *from, size_t count) ALIAS("__aeabi_memcpy");

void __aeabi_memmove(void *to, const void *from, size_t count)
{
    memmove(to, from, count);
}

void __aeabi_memmove4(void *to, const void *from, size_t count) ALIAS("__aeabi_memmove");
void __aeabi_memmove8(void *to, const void *from, size_t count) ALIAS("__aeabi_memmove");

void __aeabi_memset(void *to, size_t count, int value)
{
    memset(to, value, count);
}

void __aeabi_memset4(void *to, size_t count, int value) ALIAS("__aeabi_memset");
void __aeabi_memset8(void *to, size_t count, int value) ALIAS("__aeabi_memset");

void __aeabi_memclr(void *to, size_t count)
{
    memset(to, 0, count);
}

void __aeabi_memclr4(void *to, size_t count) ALIAS("__aeabi_memclr");
void __aeabi_memclr8(void *to, size_t count) ALIAS("__aeabi_memclr");

#endif
