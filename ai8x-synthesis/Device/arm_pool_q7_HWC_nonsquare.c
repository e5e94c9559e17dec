/* Maximum and average pooling of HWC images that need not be square (AI84 hardware reference 13.4). CMSIS-NN has these
 * for square images only, changes the source, and with SIMD instructions truncates averages twice (13.5). */
#include "tornadocnn.h"

/* One axis of the image: y or x. */
struct axis {
    int32_t in, out, kernel, padding, stride;
};

/* A window clipped to the image, in one channel: its first value, its size, and the steps between values. */
struct window {
    const q7_t *first;
    int32_t rows, columns, row_step, column_step;
};

typedef q7_t reduction(const struct window *window);

static q7_t maximum(const struct window *window)
{
    int32_t highest = -129;
    const q7_t *row = window->first;

    for (int32_t y = 0; y < window->rows; y++, row += window->row_step) {
        const q7_t *value = row;

        for (int32_t x = 0; x < window->columns; x++, value += window->column_step)
            if (*value > highest)
                highest = *value;
    }
    return (q7_t)highest;
}

static q7_t average(const struct window *window)
{
    int32_t sum = 0;
    const q7_t *row = window->first;

    for (int32_t y = 0; y < window->rows; y++, row += window->row_step) {
        const q7_t *value = row;

        for (int32_t x = 0; x < window->columns; x++, value += window->column_step)
            sum += *value;
    }
    return (q7_t)(sum / (window->rows * window->columns));
}

/* First position of a window on an axis; sets the number of positions. */
static int32_t clip(const struct axis *axis, int32_t index, int32_t *count)
{
    int32_t start = index * axis->stride - axis->padding, end = start + axis->kernel;

    start = start < 0 ? 0 : start;
    end = end > axis->in ? axis->in : end;
    *count = end - start;
    return start;
}

static void pool(const q7_t *in, const struct axis *y, const struct axis *x, int32_t channels, reduction *reduce,
                 q7_t *out)
{
    struct window window = {.row_step = x->in * channels, .column_step = channels};

    for (int32_t out_y = 0; out_y < y->out; out_y++) {
        const q7_t *rows = in + clip(y, out_y, &window.rows) * window.row_step;

        for (int32_t out_x = 0; out_x < x->out; out_x++) {
            window.first = rows + clip(x, out_x, &window.columns) * channels;
            for (int32_t c = 0; c < channels; c++, window.first++)
                *out++ = reduce(&window);
        }
    }
}

void arm_maxpool_nonsquare_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                            uint16_t dim_kernel_x, uint16_t dim_kernel_y, uint16_t padding_x,
                                            uint16_t padding_y, uint16_t stride_x, uint16_t stride_y,
                                            uint16_t dim_im_out_x, uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out)
{
    const struct axis y = {dim_im_in_y, dim_im_out_y, dim_kernel_y, padding_y, stride_y};
    const struct axis x = {dim_im_in_x, dim_im_out_x, dim_kernel_x, padding_x, stride_x};

    (void)bufferA;
    pool(Im_in, &y, &x, ch_im_in, maximum, Im_out);
}

void arm_avepool_nonsquare_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                            uint16_t dim_kernel_x, uint16_t dim_kernel_y, uint16_t padding_x,
                                            uint16_t padding_y, uint16_t stride_x, uint16_t stride_y,
                                            uint16_t dim_im_out_x, uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out)
{
    const struct axis y = {dim_im_in_y, dim_im_out_y, dim_kernel_y, padding_y, stride_y};
    const struct axis x = {dim_im_in_x, dim_im_out_x, dim_kernel_x, padding_x, stride_x};

    (void)bufferA;
    pool(Im_in, &y, &x, ch_im_in, average, Im_out);
}

void arm_maxpool_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                  uint16_t dim_kernel, uint16_t padding, uint16_t stride, uint16_t dim_im_out_x,
                                  uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out)
{
    arm_maxpool_nonsquare_q7_HWC_nonsquare(Im_in, dim_im_in_x, dim_im_in_y, ch_im_in, dim_kernel, dim_kernel, padding,
                                           padding, stride, stride, dim_im_out_x, dim_im_out_y, bufferA, Im_out);
}

void arm_avepool_q7_HWC_nonsquare(q7_t *Im_in, uint16_t dim_im_in_x, uint16_t dim_im_in_y, uint16_t ch_im_in,
                                  uint16_t dim_kernel, uint16_t padding, uint16_t stride, uint16_t dim_im_out_x,
                                  uint16_t dim_im_out_y, q7_t *bufferA, q7_t *Im_out)
{
    arm_avepool_nonsquare_q7_HWC_nonsquare(Im_in, dim_im_in_x, dim_im_in_y, ch_im_in, dim_kernel, dim_kernel, padding,
                                           padding, stride, stride, dim_im_out_x, dim_im_out_y, bufferA, Im_out);
}
