/* The functions of Arm's CMSIS-NN that generated programs call, in plain C, for building without Arm's sources. Names,
 * order and types of the arguments are those of CMSIS 5.6 to 5.9, so that a program builds unchanged with either.
 *
 * Differences from Arm's, none of which changes a result that Arm's computes correctly:
 * - Arm's functions without SIMD instructions keep coordinates in a signed char: images of more than 127 rows or
 *   columns fail there (AI84 hardware reference 13.5).
 * - Arm's use bufferA only partly, or not at all without SIMD instructions; these use all of the documented size.
 * - bufferB is not used by either and may be null.
 * - CMSIS before 5.8 needs an out_shift of 1 or more. */
#ifndef ARM_NNFUNCTIONS_H
#define ARM_NNFUNCTIONS_H

#include <stdint.h>

typedef int8_t q7_t;
typedef int16_t q15_t;
typedef enum { ARM_MATH_SUCCESS = 0, ARM_MATH_SIZE_MISMATCH = -3 } arm_status;

/* Convolution of an HWC image (AI84 hardware reference 13.1 and 13.2):
 *   Im_out[y][x][o] = clip((SUM + (bias[o] << bias_shift) + ((1 << out_shift) >> 1)) >> out_shift, -128, 127)
 *   SUM over ky, kx, c of wt[o][ky][kx][c] * Im_in[y * stride - padding + ky][x * stride - padding + kx][c]
 * Values outside the image are 0. The sum must fit 32 bits, which 8-bit values exceed at 131072 of them a window. bias
 * must not be null. Im_in and Im_out must not overlap. bufferA: 2 * ch_im_in * window size values. Sizes of the output
 * are the caller's.
 *
 * The fast functions return ARM_MATH_SIZE_MISMATCH and write nothing unless ch_im_in is a multiple of 4 and ch_im_out
 * of 2; the basic ones always succeed. Both compute the same. */
arm_status arm_convolve_HWC_q7_basic(const q7_t *Im_in, const uint16_t dim_im_in, const uint16_t ch_im_in,
                                     const q7_t *wt, const uint16_t ch_im_out, const uint16_t dim_kernel,
                                     const uint16_t padding, const uint16_t stride, const q7_t *bias,
                                     const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out,
                                     const uint16_t dim_im_out, q15_t *bufferA, q7_t *bufferB);

arm_status arm_convolve_HWC_q7_fast(const q7_t *Im_in, const uint16_t dim_im_in, const uint16_t ch_im_in,
                                    const q7_t *wt, const uint16_t ch_im_out, const uint16_t dim_kernel,
                                    const uint16_t padding, const uint16_t stride, const q7_t *bias,
                                    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out,
                                    const uint16_t dim_im_out, q15_t *bufferA, q7_t *bufferB);

arm_status arm_convolve_HWC_q7_basic_nonsquare(
    const q7_t *Im_in, const uint16_t dim_im_in_x, const uint16_t dim_im_in_y, const uint16_t ch_im_in, const q7_t *wt,
    const uint16_t ch_im_out, const uint16_t dim_kernel_x, const uint16_t dim_kernel_y, const uint16_t padding_x,
    const uint16_t padding_y, const uint16_t stride_x, const uint16_t stride_y, const q7_t *bias,
    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out_x,
    const uint16_t dim_im_out_y, q15_t *bufferA, q7_t *bufferB);

arm_status arm_convolve_HWC_q7_fast_nonsquare(
    const q7_t *Im_in, const uint16_t dim_im_in_x, const uint16_t dim_im_in_y, const uint16_t ch_im_in, const q7_t *wt,
    const uint16_t ch_im_out, const uint16_t dim_kernel_x, const uint16_t dim_kernel_y, const uint16_t padding_x,
    const uint16_t padding_y, const uint16_t stride_x, const uint16_t stride_y, const q7_t *bias,
    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out_x,
    const uint16_t dim_im_out_y, q15_t *bufferA, q7_t *bufferB);

/* ReLU in place: negative values become 0. */
void arm_relu_q7(q7_t *data, uint16_t size);

#endif
