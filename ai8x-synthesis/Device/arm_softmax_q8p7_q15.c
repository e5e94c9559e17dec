/* Softmax to base 2, Q8.7 to Q15 (AI84 hardware reference 8.3). */
#include "tornadocnn.h"

#define ROUND 63 /* rounds the exponent; 63 since May 2020, 64 before: different only for exact ties */
#define RANGE 2048 /* inputs that are 16.0 or more below the maximum count as 0 */

static uint32_t saturate_unsigned(int32_t value, uint32_t highest)
{
    if (value < 0)
        return 0;
    return (uint32_t)value > highest ? highest : (uint32_t)value;
}

static int32_t find_base(const q15_t *vec_in, uint16_t dim_vec)
{
    int32_t highest = INT16_MIN;

    for (uint16_t i = 0; i < dim_vec; i++)
        if (vec_in[i] > highest)
            highest = vec_in[i];
    return highest - RANGE;
}

/* 2^32 / sum without 64-bit division. The maximum alone adds more than 2^15 to the sum, so that the result fits. */
static uint32_t reciprocal(uint32_t sum)
{
    return UINT32_MAX / sum + (UINT32_MAX % sum == sum - 1);
}

void arm_softmax_q8p7_q15(const q15_t *vec_in, uint16_t dim_vec, q15_t *p_out)
{
    const int32_t base = find_base(vec_in, dim_vec);
    uint32_t sum = 0, output_base;

    for (uint16_t i = 0; i < dim_vec; i++)
        if (vec_in[i] > base)
            sum += 1u << saturate_unsigned((ROUND + vec_in[i] - base) >> 7, 31);
    output_base = dim_vec ? reciprocal(sum) : 0;
    for (uint16_t i = 0; i < dim_vec; i++) {
        uint32_t shift = saturate_unsigned(17 + ((ROUND + base - vec_in[i]) >> 7), 31);
        uint32_t value = vec_in[i] > base ? output_base >> shift : 0;

        p_out[i] = (q15_t)(value > INT16_MAX ? INT16_MAX : value);
    }
}

/* One step of the polynomial, with the wrap-around of 32-bit arithmetic. */
static int32_t step(int32_t r, int32_t f, uint32_t addend)
{
    return (int32_t)((uint32_t)r * (uint32_t)f + addend);
}

/* 2^(f / 2^16 - 1) as a 31-bit fraction, for f between -0.5 and 0.5. */
static uint32_t power_of_two(int32_t f)
{
    int32_t r = step(0x0E20, f, 0x3E1CC333) >> 17;

    r = step(r, f, 0x58BD46A6) >> 16;
    return (uint32_t)step(r, f, 0x7FFDE4A3);
}

static uint32_t shift_right(uint32_t value, int32_t shift)
{
    return shift > 31 ? 0 : value >> shift;
}

void arm_softmax_q8p7_q15_frac(const q15_t *vec_in, uint16_t dim_vec, q15_t *p_out)
{
    const int32_t base = find_base(vec_in, dim_vec);
    uint32_t sum = 0, output_base;

    for (uint16_t i = 0; i < dim_vec; i++) {
        int32_t t = (int32_t)saturate_unsigned(vec_in[i] - base, 4095), s = (t + 64) & ~127;

        if (vec_in[i] > base)
            sum += shift_right(power_of_two((t - s) * 512), (((15 << 16) - s * 512) >> 16) + 16);
    }
    output_base = dim_vec ? reciprocal(sum) : 0;
    for (uint16_t i = 0; i < dim_vec; i++) {
        int32_t t = (int32_t)saturate_unsigned(2049 + base - vec_in[i], 4095), s = (t + 64) & ~127;
        uint32_t u = shift_right(power_of_two((s - t) * 512), 31 - (((15 << 16) - s * 512) >> 16));

        p_out[i] = (q15_t)(vec_in[i] > base ? (uint16_t)(output_base * u >> 16) : 0);
    }
}
