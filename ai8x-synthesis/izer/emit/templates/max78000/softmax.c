// Softmax with base-2 exponentials, of 32-bit outputs.

#include "cnn.h"

// The exponent of a value above `base` is 16 for the largest one; one that is 16 below it counts as 0. The exponents are
// rounded to integers, for the sum and for the results alike.
void softmax_q17p14_q15(const q31_t *vec_in, const uint16_t dim_vec, q15_t *p_out)
{
  q31_t base = vec_in[0];
  uint32_t sum = 0;

  for (int i = 1; i < dim_vec; i++)
    if (vec_in[i] > base) base = vec_in[i];
  base -= 16 << 14;

  for (int i = 0; i < dim_vec; i++)
    if (vec_in[i] > base) sum += 1u << ((8192 + vec_in[i] - base) >> 14);

  // 2^32 / sum without 64-bit numbers. At most 1 << 16, since the largest value alone makes a sum of 1 << 16
  uint32_t reciprocal = 0xffffffffu / sum;
  if ((sum & (sum - 1)) == 0) reciprocal++;

  for (int i = 0; i < dim_vec; i++) {
    p_out[i] = 0;
    if (vec_in[i] > base) {
      uint8_t shift = (uint8_t) (17 + ((8191 + base - vec_in[i]) >> 14));
      uint32_t value = reciprocal >> shift;
      p_out[i] = (q15_t) (value > 32767 ? 32767 : value);
    }
  }
}

void softmax_shift_q17p14_q15(q31_t *vec_in, const uint16_t dim_vec, uint8_t in_shift, q15_t *p_out)
{
  for (int i = 0; i < dim_vec; i++)
    vec_in[i] = (q31_t) ((uint32_t) vec_in[i] << in_shift);
  softmax_q17p14_q15(vec_in, dim_vec, p_out);
}
