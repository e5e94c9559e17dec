/* The registers of AI84 (3.1, 3.2). */
#include "model.h"

const struct description GLOBAL84[] = {
    {"CTL", 0, 0, {{"cnn_ena", 0, 0, ANY}, {"rdy_sel", 2, 1, ANY}, {"calcmax", 4, 4, ZERO}, {"poolena", 5, 5, ZERO},
                   {"bigdata", 6, 6, ZERO}, {"actena", 7, 7, ZERO}, {"oneshot", 8, 8, ZERO}, {"ext_sync", 11, 9, ANY},
                   {"cnn_irq", 12, 12, ZERO}}},
    {"SRAM control", 0, 0, {{"tuning", 14, 0, ANY}}},
    {"LCNT_MAX", 0, 0, {{"layers - 1", 4, 0, ANY}}},
};

/* Pads 0 to 2 (3.3); pooling windows and strides of 1, 2 and 4, stored less one (1.4, 3.4). Group summing, bias and the
 * enables may differ between groups (1.5). Reserved modes, and those without a proven meaning: appendix E 11. */
const struct description LAYER84[] = {
    {"RCNT", ANY, 32, {{"rcnt_pad", 9, 8, 0x7}, {"rcnt_max", 7, 0, ANY}}},
    {"CCNT", ANY, 32, {{"ccnt_pad", 9, 8, 0x7}, {"ccnt_max", 7, 0, ANY}}},
    {"(none)", ANY, 0, {{NULL, 0, 0, 0}}},
    {"PRCNT", ANY, 32, {{"pooling rows - 1", 3, 0, 0xB}}},
    {"PCCNT", ANY, 32, {{"pooling columns - 1", 3, 0, 0xB}}},
    {"STRIDE", ANY, 32, {{"pooling stride - 1", 3, 0, 0xB}}},
    {"WPTR_BASE", ANY, 32, {{"write pointer", 15, 0, ANY}}},
    {"WPTR_OFF", ANY, 32, {{"mask offset", 31, 16, ANY}, {"time-slot offset", 15, 0, ZERO}}},
    {"RPTR_BASE", ANY, 32, {{"read pointer", 15, 0, ANY}}},
    {"LCTL", 0xFFFF0FFF, 32, {{"sslave", 3, 0, ZERO}, {"mslave", 4, 4, ZERO}, {"master", 5, 5, ANY},
                              {"parallel", 6, 6, ANY}, {"poolena", 7, 7, ANY}, {"maxpl_ena", 8, 8, ANY},
                              {"act_ena", 9, 9, ANY}, {"cpad_only", 10, 10, ZERO}, {"sramlsrc", 11, 11, ANY},
                              {"cnnsiena", 15, 12, ANY}}},
    {"MCNT", 0xFE00FFFF, 32, {{"mask count - 1", 6, 0, ANY}, {"mask start", 14, 8, ANY}, {"bias start", 23, 16, ANY},
                              {"bias enable", 24, 24, ANY}}},
    {"TPTR", ANY, 32, {{"TRAM pointer maximum", 7, 0, ANY}}},
    {"ENA", 0, 32, {{"processor enable", 15, 0, ANY}, {"mask enable", 31, 16, ANY}}},
};
