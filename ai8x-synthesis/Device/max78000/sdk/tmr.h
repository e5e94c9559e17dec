/* Stand-in: a timer as stopwatch; it tells microseconds. */
#ifndef TMR_H
#define TMR_H

typedef struct mxc_tmr_regs mxc_tmr_regs_t;

#define MXC_TMR0 ((mxc_tmr_regs_t *)0)
#define MXC_TMR1 ((mxc_tmr_regs_t *)1)
#define MXC_TMR2 ((mxc_tmr_regs_t *)2)
#define MXC_TMR3 ((mxc_tmr_regs_t *)3)

int MXC_TMR_SW_Start(mxc_tmr_regs_t *tmr);
int MXC_TMR_SW_Stop(mxc_tmr_regs_t *tmr);

#endif
