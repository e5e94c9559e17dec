/* Convolution of HWC images in plain C. The windows of two output pixels are copied to bufferA, interleaved; then every
 * weight and every value of a window is loaded once for a block of two output channels and two pixels. */
#include "arm_nnfunctions.h"

struct layer {
    const q7_t *in, *weights, *bias;
    int32_t in_x, in_y, in_channels, out_x, out_y, out_channels, kernel_x, kernel_y, padding_x, padding_y, stride_x,
        stride_y, bias_shift, out_shift;
};

/* Copies channels to every second value of the column. */
static q15_t *copy(q15_t *column, const q7_t *pixel, int32_t channels)
{
    for (int32_t c = 0; c < channels; c++, column += 2)
        *column = pixel[c];
    return column;
}

static q15_t *fill(q15_t *column, int32_t channels)
{
    for (int32_t c = 0; c < channels; c++, column += 2)
        *column = 0;
    return column;
}

/* Copies the window of an output pixel to every second value of the column. */
static void copy_window(const struct layer *layer, int32_t pixel, q15_t *column)
{
    const int32_t first_x = pixel % layer->out_x * layer->stride_x - layer->padding_x;
    const int32_t first_y = pixel / layer->out_x * layer->stride_y - layer->padding_y;

    for (int32_t y = first_y; y < first_y + layer->kernel_y; y++)
        for (int32_t x = first_x; x < first_x + layer->kernel_x; x++)
            if (y < 0 || y >= layer->in_y || x < 0 || x >= layer->in_x)
                column = fill(column, layer->in_channels);
            else
                column = copy(column, layer->in + (y * layer->in_x + x) * layer->in_channels, layer->in_channels);
}

/* Adds the products of two kernels and two interleaved columns of `count` values to sum[kernel][column]. */
static void add_products(int32_t sum[2][2], const q7_t *kernel0, const q7_t *kernel1, const q15_t *columns,
                         int32_t count)
{
    int32_t sum00 = sum[0][0], sum01 = sum[0][1], sum10 = sum[1][0], sum11 = sum[1][1];

    for (const q7_t *end = kernel0 + count; kernel0 != end; columns += 2) {
        const int32_t weight0 = *kernel0++, weight1 = *kernel1++, value0 = columns[0], value1 = columns[1];

        sum00 += weight0 * value0;
        sum01 += weight0 * value1;
        sum10 += weight1 * value0;
        sum11 += weight1 * value1;
    }
    sum[0][0] = sum00, sum[0][1] = sum01, sum[1][0] = sum10, sum[1][1] = sum11;
}

static q7_t scale(int32_t sum, int32_t shift)
{
    sum >>= shift;
    if (sum > INT8_MAX)
        return INT8_MAX;
    return (q7_t)(sum < INT8_MIN ? INT8_MIN : sum);
}

/* Output channels `channel` and the one after it, of the `pixels` (1 or 2) whose windows are in the columns. An output
 * channel without another after it is computed twice. */
static void convolve_block(const struct layer *layer, int32_t channel, int32_t pixels, const q15_t *columns, q7_t *out)
{
    const int32_t count = layer->in_channels * layer->kernel_x * layer->kernel_y;
    const int32_t second = channel + 1 < layer->out_channels ? 1 : 0;
    const int32_t rounding = (int32_t)((1u << layer->out_shift) >> 1);
    const int32_t bias_factor = (int32_t)(1u << layer->bias_shift);
    const q7_t *kernel = layer->weights + channel * count;
    const int32_t start0 = layer->bias[channel] * bias_factor + rounding;
    const int32_t start1 = layer->bias[channel + second] * bias_factor + rounding;
    int32_t sum[2][2] = {{start0, start0}, {start1, start1}};

    add_products(sum, kernel, kernel + second * count, columns, count);
    for (int32_t pixel = 0; pixel < pixels; pixel++)
        for (int32_t c = 0; c <= second; c++)
            out[pixel * layer->out_channels + channel + c] = scale(sum[c][pixel], layer->out_shift);
}

static void convolve(const struct layer *layer, q15_t *columns, q7_t *out)
{
    const int32_t pixels = layer->out_x * layer->out_y;

    for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
        const int32_t last = pixel + 1 < pixels ? 1 : 0;

        for (int32_t i = 0; i < 2; i++) /* a pixel without another after it is there twice, to define both columns */
            copy_window(layer, pixel + i * last, columns + i);
        for (int32_t channel = 0; channel < layer->out_channels; channel += 2)
            convolve_block(layer, channel, last + 1, columns, out + pixel * layer->out_channels);
    }
}

arm_status arm_convolve_HWC_q7_basic_nonsquare(
    const q7_t *Im_in, const uint16_t dim_im_in_x, const uint16_t dim_im_in_y, const uint16_t ch_im_in, const q7_t *wt,
    const uint16_t ch_im_out, const uint16_t dim_kernel_x, const uint16_t dim_kernel_y, const uint16_t padding_x,
    const uint16_t padding_y, const uint16_t stride_x, const uint16_t stride_y, const q7_t *bias,
    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out_x,
    const uint16_t dim_im_out_y, q15_t *bufferA, q7_t *bufferB)
{
    const struct layer layer = {
        .in = Im_in, .weights = wt, .bias = bias, .in_x = dim_im_in_x, .in_y = dim_im_in_y, .in_channels = ch_im_in,
        .out_x = dim_im_out_x, .out_y = dim_im_out_y, .out_channels = ch_im_out, .kernel_x = dim_kernel_x,
        .kernel_y = dim_kernel_y, .padding_x = padding_x, .padding_y = padding_y, .stride_x = stride_x,
        .stride_y = stride_y, .bias_shift = bias_shift, .out_shift = out_shift,
    };

    (void)bufferB;
    convolve(&layer, bufferA, Im_out);
    return ARM_MATH_SUCCESS;
}

arm_status arm_convolve_HWC_q7_fast_nonsquare(
    const q7_t *Im_in, const uint16_t dim_im_in_x, const uint16_t dim_im_in_y, const uint16_t ch_im_in, const q7_t *wt,
    const uint16_t ch_im_out, const uint16_t dim_kernel_x, const uint16_t dim_kernel_y, const uint16_t padding_x,
    const uint16_t padding_y, const uint16_t stride_x, const uint16_t stride_y, const q7_t *bias,
    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out_x,
    const uint16_t dim_im_out_y, q15_t *bufferA, q7_t *bufferB)
{
    if (ch_im_in % 4 || ch_im_out % 2)
        return ARM_MATH_SIZE_MISMATCH;
    return arm_convolve_HWC_q7_basic_nonsquare(Im_in, dim_im_in_x, dim_im_in_y, ch_im_in, wt, ch_im_out, dim_kernel_x,
                                               dim_kernel_y, padding_x, padding_y, stride_x, stride_y, bias, bias_shift,
                                               out_shift, Im_out, dim_im_out_x, dim_im_out_y, bufferA, bufferB);
}

arm_status arm_convolve_HWC_q7_basic(const q7_t *Im_in, const uint16_t dim_im_in, const uint16_t ch_im_in,
                                     const q7_t *wt, const uint16_t ch_im_out, const uint16_t dim_kernel,
                                     const uint16_t padding, const uint16_t stride, const q7_t *bias,
                                     const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out,
                                     const uint16_t dim_im_out, q15_t *bufferA, q7_t *bufferB)
{
    return arm_convolve_HWC_q7_basic_nonsquare(Im_in, dim_im_in, dim_im_in, ch_im_in, wt, ch_im_out, dim_kernel,
                                               dim_kernel, padding, padding, stride, stride, bias, bias_shift,
                                               out_shift, Im_out, dim_im_out, dim_im_out, bufferA, bufferB);
}

arm_status arm_convolve_HWC_q7_fast(const q7_t *Im_in, const uint16_t dim_im_in, const uint16_t ch_im_in,
                                    const q7_t *wt, const uint16_t ch_im_out, const uint16_t dim_kernel,
                                    const uint16_t padding, const uint16_t stride, const q7_t *bias,
                                    const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out,
                                    const uint16_t dim_im_out, q15_t *bufferA, q7_t *bufferB)
{
    return arm_convolve_HWC_q7_fast_nonsquare(Im_in, dim_im_in, dim_im_in, ch_im_in, wt, ch_im_out, dim_kernel,
                                              dim_kernel, padding, padding, stride, stride, bias, bias_shift, out_shift,
                                              Im_out, dim_im_out, dim_im_out, bufferA, bufferB);
}
