/* Stand-in: instruction cache. */
#ifndef ICC_H
#define ICC_H

typedef struct mxc_icc_regs mxc_icc_regs_t;

#define MXC_ICC0 ((mxc_icc_regs_t *)0)

void MXC_ICC_Enable(mxc_icc_regs_t *icc);

#endif
