# The library of a CMSIS-NN program.
#
#   make                              the functions of this folder, which need nothing else
#   make CMSIS_NN=/path/to/CMSIS_5    Arm's sources of CMSIS 5.6 to 5.9 as delivered (also .../CMSIS and .../CMSIS/NN)
#
# Arm's convolution without SIMD instructions, as on the PC, works for images of up to 127 rows and columns (AI84
# hardware reference 13.5).

PORTABLE := cmsis_nn_portable

# This folder is searched after a C library's: its string.h and math.h are for compilers that have none.
LATE_INCLUDE := -idirafter $(PORTABLE)

ifeq ($(CMSIS_NN),)

LIBRARY := $(sort $(wildcard $(PORTABLE)/*.c))
INCLUDES := $(LATE_INCLUDE)

else

ifneq ($(words $(CMSIS_NN)),1)
$(error CMSIS_NN=$(CMSIS_NN) must be a path without blanks, since make cannot handle them; use a link without)
endif

HEADER := Include/arm_nnfunctions.h
NN := $(abspath $(patsubst %/$(HEADER),%,$(firstword $(wildcard $(CMSIS_NN)/CMSIS/NN/$(HEADER) \
    $(CMSIS_NN)/NN/$(HEADER) $(CMSIS_NN)/$(HEADER)))))
ifeq ($(NN),)
$(error CMSIS_NN=$(CMSIS_NN) must be the folder of CMSIS 5.6 to 5.9, which holds CMSIS/NN/$(HEADER); it does not. \
Give another folder, or leave CMSIS_NN out to use $(PORTABLE)/)
endif

FUNCTIONS := arm_convolve_HWC_q7_basic arm_convolve_HWC_q7_basic_nonsquare arm_convolve_HWC_q7_fast \
    arm_convolve_HWC_q7_fast_nonsquare arm_relu_q7 arm_nn_mat_mult_kernel_q7_q15 \
    arm_nn_mat_mult_kernel_q7_q15_reordered arm_q7_to_q15_no_shift arm_q7_to_q15_reordered_no_shift
LIBRARY := $(foreach name,$(FUNCTIONS),$(shell find $(NN)/Source -name $(name).c))
MISSING := $(filter-out $(basename $(notdir $(LIBRARY))),$(FUNCTIONS))
ifneq ($(MISSING),)
$(error CMSIS_NN=$(CMSIS_NN): $(NN)/Source must hold $(addsuffix .c,$(MISSING)), as CMSIS 5.6 to 5.9 do; it does not. \
Give the folder of one of these, or leave CMSIS_NN out to use $(PORTABLE)/)
endif

# As a system's headers, about which the compiler does not warn.
HEADERS := $(wildcard $(addprefix $(NN)/,Include ../DSP/Include ../Core/Include))
INCLUDES := $(addprefix -isystem ,$(HEADERS)) $(LATE_INCLUDE)
# Asked for by versions that do not find out themselves. __FPU_PRESENT: the device has the unit that is compiled for.
CORE := -DARM_MATH_CM4 -D__FPU_PRESENT=1U
HOST_CORE := -DARM_MATH_CM0 -D__ARM_ARCH_6M__=1

# Arm's functions access bytes as words: some through pointers, some with memcpy(), which then must become an
# instruction and not a call. Compilers know memcpy() only in a hosted environment.
$(FUNCTIONS:%=build/arm/%.o) $(FUNCTIONS:%=build/pc/%.o): STRICT := -w -fno-strict-aliasing
$(FUNCTIONS:%=build/arm/%.o): ENVIRONMENT := -fhosted

endif
