/* For compilers without a C library: what static inline functions of Arm's headers mention. No program that is linked
 * here calls them. */
#ifndef MATH_H
#define MATH_H

float expf(float x);
float fabsf(float x);
float floorf(float x);
float logf(float x);
float powf(float x, float y);
float sqrtf(float x);

#endif
