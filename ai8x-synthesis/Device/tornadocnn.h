/* Run-time support of generated demos: types, the software layers and the platform. Section numbers are those of the
 * AI84 hardware reference. With MXC_SDK defined, start-up code, printf() and clocks come from the vendor's SDK; a
 * program for the PC has them from its C library. */
#ifndef TORNADOCNN_H
#define TORNADOCNN_H

#include <stdint.h>

#define CNN_FAIL 0
#define CNN_OK 1

/* Those of Arm's headers, which may be included too, before or after: C11 allows a typedef twice if it is the same. */
typedef int8_t q7_t;
typedef int16_t q15_t;

/* Pooling of HWC images without changing the source (13.4). For every output pixel and channel, the window starts at
 * index * stride - padding and is clipped to the image, where it must hold at least one pixel; the output is its
 * maximum, or its sum divided by the number of its pixels inside the image, truncated toward zero. The sizes of the
 * outputs are the caller's. bufferA is not used and may be null.
 *
 * Im_out may be Im_in if padding is 0, strides are 1 or more and dim_im_out_x <= dim_im_in_x: output pixel (y, x) is
 * then written as pixel y * dim_im_out_x + x, and no window that is still to be read starts before pixel
 * y * dim_im_in_x + x. */
void arm_maxpool_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                  uint16_t dim_kernel, uint16_t padding, uint16_t stride, uint16_t dim_im_out_x,
                                  uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out);
void arm_avepool_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                  uint16_t dim_kernel, uint16_t padding, uint16_t stride, uint16_t dim_im_out_x,
                                  uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out);

/* The same with windows, padding and strides that need not be square. */
void arm_maxpool_nonsquare_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                            uint16_t dim_kernel_x, uint16_t dim_kernel_y, uint16_t padding_x,
                                            uint16_t padding_y, uint16_t stride_x, uint16_t stride_y,
                                            uint16_t dim_im_out_x, uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out);
void arm_avepool_nonsquare_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                            uint16_t dim_kernel_x, uint16_t dim_kernel_y, uint16_t padding_x,
                                            uint16_t padding_y, uint16_t stride_x, uint16_t stride_y,
                                            uint16_t dim_im_out_x, uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out);

/* ReLU in place, with a 32-bit number of values (13.4): negative values become 0. */
void arm_relu32_q7(q7_t *data, uint32_t size);

/* Fully connected layer, 8-bit input to 16-bit Q8.7 output (8.2):
 *   pOut[r] = clip((SUM over n of pM[r][n] * pV[n] + (bias[r] << bias_shift) + rounding) >> out_shift, -32768, 32767)
 * pM is interleaved in blocks of four rows, bias must not be null, vec_buffer holds dim_vec values. */
void arm_fully_connected_q7_q8p7_opt(const q7_t *pV, const q7_t *pM, uint16_t dim_vec, uint16_t num_of_rows,
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

/* A stopwatch in microseconds: the processor's cycle counter, on the PC the processor time. */
#define CORE_CLOCK_HZ 100000000u
void cnn_timer_start(void);
uint32_t cnn_timer_stop(void);

#ifdef MXC_SDK
#include <stdio.h>
#include "mxc_sys.h"
#elif __STDC_HOSTED__
#include <stdio.h>
#else
#define CNN_BARE_METAL

typedef enum { SYS_PERIPH_CLOCK_AI } sys_periph_clock_t;
void SYS_ClockEnable(sys_periph_clock_t clock);

/* Knows %d %u %x %s %c %%, a width, and the flags 0 and -. Returns the number of characters printed. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program; never returns. */
void platform_exit(int status) __attribute__((noreturn));
#endif

#endif
