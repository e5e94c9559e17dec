/* Run-time support of generated demos: types, the software layers and the platform. Section numbers are those of the
 * AI84 hardware reference. With MXC_SDK defined, start-up code, printf() and clocks come from the vendor's SDK. */
#ifndef TORNADOCNN_H
#define TORNADOCNN_H

#include <stdint.h>

#define CNN_FAIL 0
#define CNN_OK 1

typedef int8_t q7_t;
typedef int16_t q15_t;
typedef enum { ARM_MATH_SUCCESS = 0 } arm_status;

/* Fully connected layer, 8-bit input to 16-bit Q8.7 output (8.2):
 *   pOut[r] = clip((SUM over n of pM[r][n] * pV[n] + (bias[r] << bias_shift) + rounding) >> out_shift, -32768, 32767)
 * pM is interleaved in blocks of four rows, bias must not be null, vec_buffer holds dim_vec values. */
arm_status arm_fully_connected_q7_q8p7_opt(const q7_t *pV, const q7_t *pM, uint16_t dim_vec, uint16_t num_of_rows,
                                           uint16_t bias_shift, uint16_t out_shift, const q7_t *bias, q15_t *pOut,
                                           q15_t *vec_buffer);

/* Softmax to base 2, Q8.7 to Q15 (8.3): with exponents rounded to integers, and with seven fractional bits. */
void arm_softmax_q8p7_q15(const q15_t *vec_in, uint16_t dim_vec, q15_t *p_out);
void arm_softmax_q8p7_q15_frac(const q15_t *vec_in, uint16_t dim_vec, q15_t *p_out);

/* Hooks. Those in platform.c are weak: a board's own functions of the same name replace them. */
#define CNN_START cnn_led(1)
#define CNN_COMPLETE cnn_led(0)

void cnn_led(int on);
void icache_enable(void);
void pass(void);
void fail(void);

/* A stopwatch in microseconds, from the processor's cycle counter. */
#define CORE_CLOCK_HZ 100000000u
void cnn_timer_start(void);
uint32_t cnn_timer_stop(void);

#ifdef MXC_SDK
#include <stdio.h>
#include "mxc_sys.h"
#else
typedef enum { SYS_PERIPH_CLOCK_AI } sys_periph_clock_t;
void SYS_ClockEnable(sys_periph_clock_t clock);

/* Knows %d %u %x %s %c %%, a width, and the flags 0 and -. Returns the number of characters printed. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program; never returns. */
void platform_exit(int status) __attribute__((noreturn));
#endif

#endif
