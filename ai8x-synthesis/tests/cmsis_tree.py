"""A small stand-in for CMSIS as Arm delivers it, to show that the Makefile finds, compiles and links what it should.

Folders, names, headers, macros and instructions are used as there; the functions are plain."""

from pathlib import Path
from string import Template

CMSIS_COMPILER = """
#ifndef __CMSIS_COMPILER_H
#define __CMSIS_COMPILER_H
#include <stdint.h>
#define __ASM __asm
#define __STATIC_FORCEINLINE __attribute__((always_inline)) static inline
#if defined(__ARM_FEATURE_DSP) && (__ARM_FEATURE_DSP == 1)
#define ARM_MATH_DSP
__STATIC_FORCEINLINE uint32_t __ROR(uint32_t op1, uint32_t op2) { return (op1 >> op2) | (op1 << (32U - op2)); }
__STATIC_FORCEINLINE uint32_t __SXTB16(uint32_t op1)
{
    uint32_t result;
    __ASM("sxtb16 %0, %1" : "=r"(result) : "r"(op1));
    return result;
}
__STATIC_FORCEINLINE uint32_t __SMLAD(uint32_t op1, uint32_t op2, uint32_t op3)
{
    uint32_t result;
    __ASM volatile("smlad %0, %1, %2, %3" : "=r"(result) : "r"(op1), "r"(op2), "r"(op3));
    return result;
}
#define __PKHBT(ARG1, ARG2, ARG3) __extension__ ({ uint32_t __RES, __ARG1 = (ARG1), __ARG2 = (ARG2); \\
    __ASM("pkhbt %0, %1, %2, lsl %3" : "=r"(__RES) : "r"(__ARG1), "r"(__ARG2), "I"(ARG3)); __RES; })
#define __PKHTB(ARG1, ARG2, ARG3) __extension__ ({ uint32_t __RES, __ARG1 = (ARG1), __ARG2 = (ARG2); \\
    __ASM("pkhtb %0, %1, %2, asr %3" : "=r"(__RES) : "r"(__ARG1), "r"(__ARG2), "I"(ARG3)); __RES; })
#define __SSAT(ARG1, ARG2) __extension__ ({ int32_t __RES, __ARG1 = (ARG1); \\
    __ASM("ssat %0, %1, %2" : "=r"(__RES) : "I"(ARG2), "r"(__ARG1)); __RES; })
#else
__STATIC_FORCEINLINE int32_t __SSAT(int32_t val, uint32_t sat)
{
    const int32_t max = (int32_t)((1U << (sat - 1U)) - 1U);
    return val > max ? max : val < -1 - max ? -1 - max : val;
}
#endif
#endif
"""

TYPES = """
#include "cmsis_compiler.h"
#include <string.h>
#include <math.h>
#include <float.h>
#include <limits.h>
typedef int8_t q7_t;
typedef int16_t q15_t;
typedef int32_t q31_t;
typedef int64_t q63_t;
typedef float float32_t;
"""

ARM_MATH = f"""
#ifndef _ARM_MATH_H
#define _ARM_MATH_H
#if !defined(ARM_MATH_CM4) && !defined(ARM_MATH_CM0)
#error "Define according the used Cortex core ARM_MATH_CM4 or ARM_MATH_CM0"
#endif
#if defined(__VFP_FP__) && !defined(__SOFTFP__) && !(defined(__FPU_PRESENT) && (__FPU_PRESENT == 1U))
#error "Compiler generates FPU instructions for a device without an FPU (check __FPU_PRESENT)"
#endif
{TYPES}
typedef enum {{ ARM_MATH_SUCCESS = 0, ARM_MATH_ARGUMENT_ERROR = -1, ARM_MATH_SIZE_MISMATCH = -3 }} arm_status;
__STATIC_FORCEINLINE arm_status arm_sqrt_f32(float32_t in, float32_t *pOut)
{{
    *pOut = in >= 0.0f ? sqrtf(in) : 0.0f;
    return ARM_MATH_SUCCESS;
}}
#define __SIMD32(addr) (*(int32_t **)&(addr))
#endif
"""

NN_MATH_TYPES = f"""
#ifndef _ARM_NN_MATH_TYPES_H_
#define _ARM_NN_MATH_TYPES_H_
{TYPES}
typedef enum {{ ARM_CMSIS_NN_SUCCESS = 0, ARM_CMSIS_NN_ARG_ERROR = -1 }} arm_cmsis_nn_status;
#endif
"""

SUPPORT = Template("""
#ifndef _ARM_NNSUPPORTFUNCTIONS_H_
#define _ARM_NNSUPPORTFUNCTIONS_H_
#include "$types"
$round
__STATIC_FORCEINLINE uint32_t arm_nn_read_q7x4_ia(const q7_t **in_q7) { $read }
__STATIC_FORCEINLINE uint32_t arm_nn_read_q15x2_ia(const q15_t **in_q15)
{
    uint32_t val;
    memcpy(&val, *in_q15, 4);
    *in_q15 += 2;
    return val;
}
typedef void converter(const q7_t *pSrc, q15_t *pDst, uint32_t blockSize);
typedef q7_t *multiplier(const q7_t *pA, const q15_t *pInBuffer, uint16_t ch_im_out, uint16_t numCol_A,
                         uint16_t bias_shift, uint16_t out_shift, const q7_t *bias, q7_t *pOut);
converter arm_q7_to_q15_no_shift, arm_q7_to_q15_reordered_no_shift;
multiplier arm_nn_mat_mult_kernel_q7_q15, arm_nn_mat_mult_kernel_q7_q15_reordered;

__STATIC_FORCEINLINE void convolve(const q7_t *in, int in_x, int in_y, int channels, const q7_t *wt, int outputs,
                                   int k_x, int k_y, int p_x, int p_y, int s_x, int s_y, const q7_t *bias,
                                   uint16_t bias_shift, uint16_t out_shift, q7_t *out, int out_x, int out_y,
                                   q15_t *column, converter *convert, multiplier *multiply)
{
    for (int pixel = 0; pixel < out_x * out_y; pixel++) {
        q15_t *at = column;
        for (int n = 0; n < k_x * k_y; n++, at += channels) {
            const int y = pixel / out_x * s_y - p_y + n / k_x, x = pixel % out_x * s_x - p_x + n % k_x;
            memset(at, 0, sizeof(q15_t) * channels);
            if (y >= 0 && y < in_y && x >= 0 && x < in_x)
                convert(in + (y * in_x + x) * channels, at, channels);
        }
        out = multiply(wt, column, outputs, channels * k_x * k_y, bias_shift, out_shift, bias, out);
    }
}
#endif
""")

# Four values a step; the reordered functions leave them in the order 0 2 1 3, in which SXTB16 extends them.
CONVERT = Template("""
#include "arm_nnsupportfunctions.h"
void $name(const q7_t *pSrc, q15_t *pDst, uint32_t blockSize)
{
#if defined(ARM_MATH_DSP)
    for (; blockSize >= 4; blockSize -= 4, pDst += 4) {
        const uint32_t in = arm_nn_read_q7x4_ia(&pSrc), odd = __SXTB16(__ROR(in, 8)), even = __SXTB16(in);
        uint32_t pairs[2] = {even, odd};
        if (!$reordered)
            pairs[0] = __PKHBT(even, odd, 16), pairs[1] = __PKHTB(odd, even, 16);
        memcpy(pDst, pairs, 8);
    }
#endif
    while (blockSize--)
        *pDst++ = *pSrc++;
}
""")

MULTIPLY = Template("""
#include "arm_nnsupportfunctions.h"
q7_t *$name(const q7_t *pA, const q15_t *pInBuffer, uint16_t ch_im_out, uint16_t numCol_A, uint16_t bias_shift,
            uint16_t out_shift, const q7_t *bias, q7_t *pOut)
{
    for (int row = 0; row < ch_im_out; row++) {
        const q15_t *pB = pInBuffer;
        uint32_t count = numCol_A;
        q31_t sum = (q31_t)((uint32_t)bias[row] << bias_shift) + NN_ROUND(out_shift);
#if defined(ARM_MATH_DSP)
        for (; count >= 4; count -= 4) {
            const uint32_t in = arm_nn_read_q7x4_ia(&pA), odd = __SXTB16(__ROR(in, 8)), even = __SXTB16(in);
            const uint32_t first = arm_nn_read_q15x2_ia(&pB), second = arm_nn_read_q15x2_ia(&pB);
            sum = __SMLAD($reordered ? even : __PKHBT(even, odd, 16), first, sum);
            sum = __SMLAD($reordered ? odd : __PKHTB(odd, even, 16), second, sum);
        }
#endif
        while (count--)
            sum += *pA++ * *pB++;
        *pOut++ = (q7_t)__SSAT(sum >> out_shift, 8);
    }
    return pOut;
}
""")

RELU = """
#include "arm_nnfunctions.h"
void arm_relu_q7(q7_t *data, uint16_t size)
{
    while (size--) {
        *data = *data < 0 ? 0 : *data;
        data++;
    }
}
"""

# As Arm declares them.
SQUARE = """$status arm_convolve_HWC_q7_$kind(const q7_t *Im_in, const uint16_t dim_im_in, const uint16_t ch_im_in,
    const q7_t *wt, const uint16_t ch_im_out, const uint16_t dim_kernel, const uint16_t padding, const uint16_t stride,
    const q7_t *bias, const uint16_t bias_shift, const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out,
    q15_t *bufferA, q7_t *bufferB)"""
NONSQUARE = """$status arm_convolve_HWC_q7_${kind}_nonsquare(const q7_t *Im_in, const uint16_t dim_im_in_x,
    const uint16_t dim_im_in_y, const uint16_t ch_im_in, const q7_t *wt, const uint16_t ch_im_out,
    const uint16_t dim_kernel_x, const uint16_t dim_kernel_y, const uint16_t padding_x, const uint16_t padding_y,
    const uint16_t stride_x, const uint16_t stride_y, const q7_t *bias, const uint16_t bias_shift,
    const uint16_t out_shift, q7_t *Im_out, const uint16_t dim_im_out_x, const uint16_t dim_im_out_y, q15_t *bufferA,
    q7_t *bufferB)"""
BODY = """
{
    if ($fast && (ch_im_in % 4 != 0 || ch_im_out % 2 != 0))
        return $mismatch;
    convolve(Im_in, $dim_im_in, ch_im_in, wt, ch_im_out, $dim_kernel, $padding, $stride, bias, bias_shift, out_shift,
             Im_out, $dim_im_out, bufferA, arm_q7_to_q15_${suffix}no_shift,
             arm_nn_mat_mult_kernel_q7_q15$kernel);
    return 0;
}
"""
SIZES = ("dim_im_in", "dim_kernel", "padding", "stride", "dim_im_out")

# 5.6 reads words through pointers to bytes and cannot round without shift; 5.9 needs no DSP library.
VERSIONS = {
    "5.6": {
        "types": "arm_math.h", "status": "arm_status", "mismatch": "ARM_MATH_SIZE_MISMATCH",
        "round": "#define NN_ROUND(out_shift) (0x1 << (out_shift - 1))", "read": "return *__SIMD32(*in_q7)++;",
        "folders": {"arm_q7_to_q15": "NNSupportFunctions", "arm_nn_mat": "ConvolutionFunctions"}},
    "5.9": {
        "types": "arm_nn_math_types.h", "status": "arm_cmsis_nn_status", "mismatch": "ARM_CMSIS_NN_ARG_ERROR",
        "round": "#define NN_ROUND(out_shift) ((0x1 << out_shift) >> 1)",
        "read": "uint32_t val; memcpy(&val, *in_q7, 4); *in_q7 += 4; return val;",
        "folders": {"arm_q7_to_q15": "NNSupportFunctions", "arm_nn_mat": "NNSupportFunctions"}},
}  # fmt: skip


def write_cmsis(folder: Path, version: str) -> Path:
    """Write the folder CMSIS_5 of a version; returns it."""
    values = VERSIONS[version]
    nn, headers = folder / "CMSIS_5/CMSIS/NN", folder / "CMSIS_5/CMSIS"
    declarations = [Template(text).substitute(values, kind=kind) + ";" for kind in ("basic", "fast")
                    for text in (SQUARE, NONSQUARE)]
    files = {
        headers / "Core/Include/cmsis_compiler.h": CMSIS_COMPILER,
        nn / "Include/arm_nnsupportfunctions.h": SUPPORT.substitute(values),
        nn / "Include/arm_nnfunctions.h": "\n".join([
            "#ifndef _ARM_NNFUNCTIONS_H", "#define _ARM_NNFUNCTIONS_H", '#include "arm_nnsupportfunctions.h"',
            f'#include "{values["types"]}"', *declarations, "void arm_relu_q7(q7_t *data, uint16_t size);", "#endif"]),
        nn / "Source/ActivationFunctions/arm_relu_q7.c": RELU,
        nn / "Source/PoolingFunctions/arm_pool_q7_HWC.c": "#error not needed\n",
    }
    if version == "5.6":
        files[headers / "DSP/Include/arm_math.h"] = ARM_MATH
    else:
        files[nn / "Include/arm_nn_math_types.h"] = NN_MATH_TYPES
    sources = nn / "Source"
    for name, text in _sources(values).items():
        place = next((path for start, path in values["folders"].items() if name.startswith(start)),
                     "ConvolutionFunctions")
        files[sources / place / f"{name}.c"] = text
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder / "CMSIS_5"


def _sources(values: dict[str, str]) -> dict[str, str]:
    sources = {}
    for suffix, kernel, reordered in (("", "", 0), ("reordered_", "_reordered", 1)):
        convert, multiply = f"arm_q7_to_q15_{suffix}no_shift", f"arm_nn_mat_mult_kernel_q7_q15{kernel}"
        sources[convert] = CONVERT.substitute(name=convert, reordered=reordered)
        sources[multiply] = MULTIPLY.substitute(name=multiply, reordered=reordered)
        kind = "fast" if reordered else "basic"
        for end, head, x, y in (("", SQUARE, "", ""), ("_nonsquare", NONSQUARE, "_x", "_y")):
            sizes = {size: f"{size}{x}, {size}{y}" for size in SIZES}
            sources[f"arm_convolve_HWC_q7_{kind}{end}"] = '#include "arm_nnfunctions.h"\n' + Template(
                head + BODY).substitute(values, **sizes, kind=kind, fast=reordered, suffix=suffix, kernel=kernel)
    return sources
