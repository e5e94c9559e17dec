/* The registers of AI85 (3.2 to 3.5). Modes that no proven program uses support only 0 (19.4). */
#include "model.h"

const struct description GLOBAL85[] = {
    {"CTL", 0, 0, {{"cnn_ena", 0, 0, ANY}, {"rdy_sel", 2, 1, ANY}, {"clk_ena", 3, 3, ANY}, {"calcmax", 4, 4, ZERO},
                   {"poolena", 5, 5, ZERO}, {"bigdata", 6, 6, ZERO}, {"apbclkena", 7, 7, ANY},
                   {"oneshot", 8, 8, NOT_MODELLED}, {"ext_sync", 11, 9, ANY}, {"cnn_irq", 12, 12, NOT_MODELLED},
                   {"pool_rnd", 13, 13, ANY}, {"strm_ena", 14, 14, NOT_MODELLED}, {"fifo_ena", 15, 15, NOT_MODELLED},
                   {"mlat_ld", 16, 16, NOT_MODELLED}, {"mlatch_sel", 18, 17, NOT_MODELLED},
                   {"lilbuf", 19, 19, NOT_MODELLED}, {"mexpress", 20, 20, ANY}, {"simple1b", 21, 21, NOT_MODELLED},
                   {"ffifoena", 22, 22, NOT_MODELLED}, {"fifogrp", 23, 23, NOT_MODELLED},
                   {"fclk_dly", 29, 24, NOT_MODELLED}, {"timeshft", 30, 30, NOT_MODELLED},
                   {"qupac", 31, 31, NOT_MODELLED}}},
    {"SRAM", 0, 0, {{"tuning", 13, 0, ANY}, {"sleep and power down", 22, 14, ZERO}}},
    {"LCNT_MAX", 0, 0, {{"layers - 1", 4, 0, ANY}}},
    {"TEST", 0, 0, {{"self-test and zeroise", 28, 0, NOT_MODELLED}}},
};

const struct description ALWAYS_ON85 = {
    "AON_CTL", 0, 0, {{"rdy_sel", 1, 0, ANY}, {"deep sleep", 11, 8, ANY}, {"power down", 15, 12, ANY},
                      {"read margin", 19, 16, ANY}}};

/* Group summing, bias, the enables, and the write pointer of layers without kernels may differ between groups (4.5). */
const struct description LAYER85[] = {
    {"RCNT", ANY, 32, {{"pad", 17, 16, 0x7}, {"max", 9, 0, ANY}}},
    {"CCNT", ANY, 32, {{"pad", 17, 16, 0x7}, {"max", 9, 0, ANY}}},
    {"ONED", ANY, 32, {{"tscnt_max", 3, 0, ANY}, {"oned_sad", 7, 4, 0x1FF}, {"oned_width", 11, 8, 0x3FF},
                       {"oned_iena", 12, 12, ANY}, {"ewise_ena", 13, 13, NOT_MODELLED},
                       {"ewise_fun", 15, 14, NOT_MODELLED}, {"prepool", 16, 16, NOT_MODELLED},
                       {"2d_conv", 17, 17, NOT_MODELLED}, {"ewise_cnt", 21, 18, NOT_MODELLED}}},
    {"PRCNT", ANY, 32, {{"pooling rows - 1", 3, 0, ANY}}},
    {"PCCNT", ANY, 32, {{"pooling columns - 1", 3, 0, ANY}}},
    {"STRIDE", ANY, 32, {{"stride - 1", 3, 0, ANY}}},
    {"WPTR_BASE", 0, 32, {{"write pointer", 16, 0, ANY}}},
    {"WPTR_TOFFS", ANY, 32, {{"time-slot offset", 16, 0, ANY}}},
    {"WPTR_MOFFS", ANY, 32, {{"mask offset", 16, 0, ANY}}},
    {"WPTR_CHOFFS", ANY, 32, {{"expansion offset", 16, 0, ANY}}},
    {"RPTR_BASE", ANY, 32, {{"read pointer", 16, 0, ANY}}},
    {"LCTL", 0xFFFF0FFF, 32, {{"sslave", 3, 0, ZERO}, {"mslave", 4, 4, ZERO}, {"master", 5, 5, ANY},
                              {"parallel", 6, 6, ANY}, {"pool_ena", 7, 7, ANY}, {"maxpl_ena", 8, 8, ANY},
                              {"act_ena", 9, 9, ANY}, {"cpad_only", 10, 10, ZERO}, {"sramlsrc", 11, 11, ANY},
                              {"cnnsi_ena", 15, 12, ANY}, {"bigdwrt", 16, 16, ANY}}},
    {"MCNT", ANY, 32, {{"mcnt_max", 15, 0, ANY}, {"mcnt_sad", 31, 16, ANY}}},
    {"TPTR", ANY, 32, {{"tptr_max", 11, 0, ANY}, {"tptr_sad", 27, 16, ANY}}},
    {"ENA", 0, 32, {{"processor enable", 15, 0, ANY}, {"mask enable", 31, 16, ANY}}},
    {"POST", 0xFFFFE000, 32, {{"bptr_sad", 11, 0, ANY}, {"bptr_ena", 12, 12, ANY}, {"scale_reg", 16, 13, ANY},
                              {"scale_shft", 17, 17, ANY}, {"xpmp_cnt", 21, 18, ANY}, {"mask_size", 23, 22, ANY},
                              {"ts_ena", 24, 24, ANY}, {"onexone_ena", 25, 25, ANY}, {"out_abs", 26, 26, ANY},
                              {"flatten_ena", 27, 27, ANY}, {"deconv_ena", 28, 28, NOT_MODELLED}}},
    {"STREAM1", ANY, 8, {{"isval", 13, 0, NOT_MODELLED}}},
    {"STREAM2", ANY, 8, {{"invol", 3, 0, NOT_MODELLED}, {"dsval1", 8, 4, NOT_MODELLED},
                         {"dsval2", 27, 16, NOT_MODELLED}}},
    {"FMAX", ANY, 8, {{"fbuf_max", 16, 0, NOT_MODELLED}}},
    {"IFRM", ANY, 1, {{"ifrm", 19, 0, NOT_MODELLED}}},
    {"LCTL2", ANY, 32, {{"inpchexp", 3, 0, ANY}, {"wptr_inc", 7, 4, ANY}, {"xpch_max", 16, 8, ANY}}},
};
