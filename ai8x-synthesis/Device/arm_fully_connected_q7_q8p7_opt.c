/* Fully connected layer with 8-bit weights and 16-bit Q8.7 output (AI84 hardware reference 8.2). */
#include "tornadocnn.h"

static q15_t saturate(int32_t value)
{
    if (value > INT16_MAX)
        return INT16_MAX;
    return (q15_t)(value < INT16_MIN ? INT16_MIN : value);
}

/* Columns 0 to 3 of one row of an interleaved 4x4 block: of two neighbouring rows, columns 0 and 2 come first. */
static int32_t dot4(const q7_t *weights, const q15_t *data)
{
    return weights[0] * data[0] + weights[8] * data[1] + weights[2] * data[2] + weights[10] * data[3];
}

/* Adds four interleaved rows to sum[]; returns the weights of the next block of rows. */
static const q7_t *add_four_rows(int32_t sum[4], const q7_t *weights, const q15_t *data, uint16_t columns)
{
    uint16_t n = 0;

    for (; n + 4 <= columns; n += 4, weights += 16) {
        sum[0] += dot4(weights, data + n);
        sum[1] += dot4(weights + 1, data + n);
        sum[2] += dot4(weights + 4, data + n);
        sum[3] += dot4(weights + 5, data + n);
    }
    for (; n < columns; n++)
        for (int row = 0; row < 4; row++)
            sum[row] += *weights++ * data[n];
    return weights;
}

void arm_fully_connected_q7_q8p7_opt(const q7_t *pV, const q7_t *pM, uint16_t dim_vec, uint16_t num_of_rows,
                                     uint16_t bias_shift, uint16_t out_shift, const q7_t *bias, q15_t *pOut,
                                     q15_t *vec_buffer)
{
    const int32_t rounding = (int32_t)((1u << out_shift) >> 1), bias_factor = (int32_t)(1u << bias_shift);
    uint16_t r = 0;

    for (uint16_t n = 0; n < dim_vec; n++)
        vec_buffer[n] = pV[n];
    for (; r + 4 <= num_of_rows; r += 4) {
        int32_t sum[4];

        for (int row = 0; row < 4; row++)
            sum[row] = bias[r + row] * bias_factor + rounding;
        pM = add_four_rows(sum, pM, vec_buffer, dim_vec);
        for (int row = 0; row < 4; row++)
            pOut[r + row] = saturate(sum[row] >> out_shift);
    }
    for (; r < num_of_rows; r++) {
        int32_t sum = bias[r] * bias_factor + rounding;

        for (uint16_t n = 0; n < dim_vec; n++)
            sum += *pM++ * vec_buffer[n];
        pOut[r] = saturate(sum >> out_shift);
    }
}
