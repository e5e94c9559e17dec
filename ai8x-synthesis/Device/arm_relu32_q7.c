/* ReLU for more values than the 16-bit count of CMSIS-NN's arm_relu_q7() allows (AI84 hardware reference 13.4). */
#include "tornadocnn.h"

void arm_relu32_q7(q7_t *data, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (data[i] < 0)
            data[i] = 0;
}
